"""Vite's development server: a module edited on disk changes the page, and the page stays. It refuses unknown hosts."""

import asyncio
from pathlib import Path

import pytest

from tests.applications.kit import Public, behind_tunnel, npm_installed, opened, served
from tests.kit.origins import free_port

PAGE = '<!doctype html><title>Vite</title><p id="text"></p><script type="module" src="/main.js"></script>'
MAIN = """
import { text } from "./text.js"
const show = (text) => { document.querySelector("#text").textContent = text }
show(text)
window.loads = (window.loads ?? 0) + 1
import.meta.hot.accept("./text.js", (changed) => show(changed.text))
"""


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    project = npm_installed(folder, "vite")
    (project / "index.html").write_text(PAGE)
    (project / "main.js").write_text(MAIN)
    return project


@pytest.fixture
def command(project: Path) -> list[str | Path]:
    (project / "text.js").write_text('export const text = "as it was"')
    return [project / "node_modules" / ".bin" / "vite", "--host", "127.0.0.1", "--strictPort", "--port"]


async def test_edit_is_shown_without_a_reload(
    command: list[str], project: Path, state: Path, tmp_path: Path, *, tls: bool
) -> None:
    port = free_port()
    async with (
        served(port, *command, str(port), cwd=project),
        behind_tunnel(port, state, "--host-header", "rewrite", tls=tls) as public,
    ):
        await asyncio.to_thread(look, public, project, tmp_path)


def look(public: Public, project: Path, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("#text", "as it was")
        page.browser.execute_script("window.marked = 'still here'")
        (project / "text.js").write_text('export const text = "edited"')
        page.element("#text", "edited")
        assert page.browser.execute_script("return window.marked") == "still here"


async def test_host_is_refused_without_the_flag(command: list[str], project: Path, state: Path, tmp_path: Path) -> None:
    port = free_port()
    async with served(port, *command, str(port), cwd=project), behind_tunnel(port, state, tls=True) as public:
        await asyncio.to_thread(see_the_refusal, public, tmp_path)


def see_the_refusal(public: Public, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("body", "Blocked request")
