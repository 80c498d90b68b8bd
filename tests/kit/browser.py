"""A real browser, asked from a test."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.kit.processes import PATIENCE

LOOKS_EVERY = 0.1
"""Seconds between two looks at a page while something is waited for."""


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Chromium, with a profile of its own in `folder`; the test is skipped where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


class Page:
    """A page in it, without the loop of the test being held up."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self._browser = browser

    async def open(self, url: str) -> None:
        await asyncio.to_thread(self._browser.get, url)

    async def size(self, width: int, height: int, *, dark: bool = False, scale: float = 1) -> None:
        """Give it another size in CSS pixels, and colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        await self.command("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", {"features": [scheme]})

    async def command(self, name: str, arguments: dict[str, Any]) -> Any:
        """A command of the DevTools protocol."""
        return await asyncio.to_thread(self._browser.execute_cdp_cmd, name, arguments)

    async def run(self, script: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(self._browser.execute_script, script, *arguments)

    async def until(self, expression: str, *arguments: Any) -> Any:
        """Wait until an expression in JavaScript is true of the page; returns its value."""

        def look() -> Any:
            wait = WebDriverWait(self._browser, PATIENCE, LOOKS_EVERY)
            try:
                return wait.until(lambda browser: browser.execute_script(f"return {expression}", *arguments))
            except TimeoutException:
                seen = self._browser.execute_script("return document.body.innerText")
                raise AssertionError(
                    f"never true: {expression} {json.dumps(arguments)}; the page says:\n{seen}"
                ) from None

        return await asyncio.to_thread(look)

    async def text(self, selector: str) -> str:
        return str(await self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    async def click(self, selector: str) -> None:
        await asyncio.to_thread(lambda: self._browser.find_element(By.CSS_SELECTOR, selector).click())

    async def press(self, keys: str, selector: str | None = None) -> None:
        """Press keys, in an element or where the focus is."""

        def press() -> None:
            if selector is not None:
                self._browser.find_element(By.CSS_SELECTOR, selector).send_keys(keys)
            else:
                webdriver.ActionChains(self._browser).send_keys(keys).perform()

        await asyncio.to_thread(press)

    async def fill(self, selector: str, text: str) -> None:
        """Put a text in the place of what a field has."""

        def fill() -> None:
            field = self._browser.find_element(By.CSS_SELECTOR, selector)
            field.send_keys(Keys.CONTROL + "a")
            field.send_keys(text)

        await asyncio.to_thread(fill)

    async def shot(self, path: Path) -> None:
        await asyncio.to_thread(self._browser.save_screenshot, str(path))

    async def complaints(self) -> list[str]:
        """What the browser itself had to say since it was last asked: errors, and what a policy forbade."""
        return [str(entry["message"]) for entry in await asyncio.to_thread(self._browser.get_log, "browser")]
