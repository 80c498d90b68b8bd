"""Streamlit: widgets over its WebSocket, and an upload."""

import asyncio
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.applications.kit import Environment, Public, behind_tunnel, opened, pip_installed, served
from tests.kit.origins import free_port

APPLICATION = """
import streamlit as st

count = st.session_state.setdefault("count", 0)
if st.button("Add"):
    st.session_state.count += 1
st.write(f"Counter: {st.session_state.count}")
if (upload := st.file_uploader("File")) is not None:
    st.write(f"Got {len(upload.getvalue())} bytes")
"""

SIZE = 3_000_000
"""Bytes of the upload: more than one window of the tunnel's flow control."""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    return pip_installed(folder, "streamlit")


async def test_page_of_widgets(environment: Environment, state: Path, tmp_path: Path, *, tls: bool) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    options = ["--server.port", str(port), "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    async with (
        served(port, environment.program("streamlit"), "run", tmp_path / "application.py", *options, cwd=tmp_path),
        behind_tunnel(port, state, tls=tls) as public,
    ):
        await asyncio.to_thread(look, public, tmp_path)


def look(public: Public, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        page.element("p", "Counter: 0")
        page.element("button", "Add").click()
        page.element("p", "Counter: 1")
        (folder / "file.bin").write_bytes(bytes(SIZE))
        page.browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(folder / "file.bin"))
        page.element("p", f"Got {SIZE} bytes")
