"""Gradio: a function called from its page, by its queue, whose answers come as an event stream."""

import asyncio
from pathlib import Path

import pytest

from tests.applications.kit import Environment, Public, behind_tunnel, opened, pip_installed, served
from tests.kit.origins import free_port

APPLICATION = """
import sys
import gradio as gr

def greet(name):
    for end in range(1, len(name) + 1):
        yield f"Hello {name[:end]}"

gr.Interface(greet, gr.Textbox(label="Name"), gr.Textbox(label="Greeting"), flagging_mode="never").launch(
    server_port=int(sys.argv[1])
)
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    return pip_installed(folder, "gradio")


@pytest.mark.parametrize("flags", [(), ("--as-cloudflare",)], ids=["free", "as-cloudflare"])
async def test_function_is_called(
    environment: Environment, state: Path, tmp_path: Path, flags: tuple[str, ...], *, tls: bool
) -> None:
    """The service holds event streams back until they end; the page waits for that."""
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    command: list[str | Path] = [environment.program(), tmp_path / "application.py", str(port)]
    async with served(port, *command, cwd=tmp_path), behind_tunnel(port, state, *flags, tls=tls) as public:
        await asyncio.to_thread(look, public, tmp_path)


def look(public: Public, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("textarea").send_keys("world")
        page.element("button", "Submit").click()
        page.element("textarea", "Hello world")
