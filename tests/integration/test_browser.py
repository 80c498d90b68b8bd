"""The hello-world page in a real browser, through the tunnel: page, WebSocket, event stream."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.kit.browser import chromium
from tests.kit.processes import PATIENCE
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as started:
        yield started


async def test_hello_world_page(browser: webdriver.Chrome, state: Path) -> None:
    async with tunnel(None, state, connections=2) as made:
        await asyncio.to_thread(look, browser, made.url)


def look(browser: webdriver.Chrome, url: str) -> None:
    browser.get(url)
    assert browser.title == "Hello from your tunnel"
    wait = WebDriverWait(browser, PATIENCE)
    for element, text in (("websocket", "echoed “hello”"), ("sse", "event 2"), ("uptime", " s"), ("address", url)):
        wait.until(lambda page, element=element, text=text: text in page.find_element(By.ID, element).text)  # type: ignore[misc]
    # Else they would hold the tunnel up for the grace period.
    browser.execute_script("events.close(); socket.close()")
