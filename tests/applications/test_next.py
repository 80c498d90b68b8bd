"""Next.js, development server: it hydrates, a server action is called, an edit is shown. It refuses foreign origins."""

import asyncio
from pathlib import Path

import pytest
from selenium.common.exceptions import TimeoutException

from tests.applications.kit import Public, behind_tunnel, npm_installed, opened, served
from tests.kit.origins import free_port

LAYOUT = "export default ({ children }) => <html><body>{children}</body></html>\n"
ACTION = """
"use server"
export async function double(number) { return number * 2 }
"""
COUNTER = """
"use client"
import { useState } from "react"
import { double } from "./action"

export default function Counter() {
  const [number, setNumber] = useState(1)
  return <>
    <p id="number">{number}</p>
    <button id="two" onClick={() => setNumber(2)}>Two</button>
    <button id="double" onClick={async () => setNumber(await double(number))}>Double</button>
  </>
}
"""
PAGE = """
import Counter from "./counter"
export default function Page() { return <main><h1>%s</h1><Counter /></main> }
"""


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    project = npm_installed(folder, "next", "react", "react-dom")
    (project / "app").mkdir()
    for name, text in {"layout": LAYOUT, "action": ACTION, "counter": COUNTER}.items():
        (project / "app" / f"{name}.js").write_text(text)
    return project


@pytest.fixture
def command(project: Path) -> list[str | Path]:
    (project / "app" / "page.js").write_text(PAGE % "As it was")
    return ["env", "NEXT_TELEMETRY_DISABLED=1", project / "node_modules" / ".bin" / "next", "dev", "-H", "127.0.0.1"]


async def test_page_is_alive(
    command: list[str | Path], project: Path, state: Path, tmp_path: Path, *, tls: bool
) -> None:
    port = free_port()
    async with (
        served(port, *command, "-p", str(port), cwd=project),
        behind_tunnel(port, state, "--host-header", "rewrite", tls=tls) as public,
    ):
        await asyncio.to_thread(look, public, project, tmp_path)


def look(public: Public, project: Path, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("h1", "As it was")
        page.pressed("#two", "#number", "2")
        page.element("#double").click()
        page.element("#number", "4")
        (project / "app" / "page.js").write_text(PAGE % "Edited")
        page.element("h1", "Edited")
        page.element("#number", "4")


async def test_page_stays_dead_without_the_flag(
    command: list[str | Path], project: Path, state: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        served(port, *command, "-p", str(port), cwd=project) as server,
        behind_tunnel(port, state, tls=True) as public,
    ):
        await asyncio.to_thread(see_it_dead, public, tmp_path)
        assert any("Blocked cross-origin request" in line for line in server.stdout + server.stderr)


def see_it_dead(public: Public, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("h1", "As it was")
        with pytest.raises(TimeoutException):
            page.pressed("#two", "#number", "2", patience=10)
