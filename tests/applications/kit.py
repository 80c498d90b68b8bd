"""Applications from PyPI and npm, a tunnel before them as the public has it, and pages in Chromium."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.kit.processes import Process, running, supervisor

NOTHING_OF_OURS: Final = {"PYTHONPATH": ""}
"""For an application: what the tests put on the path of our own processes is none of its business."""

APPLICATION_PATIENCE: Final = 90.0
"""Seconds until a server listens, or a page shows something: much is compiled while it is waited for."""

PUBLIC_NAME: Final = "four-words-of-it.trycloudflare.com"
"""Many an application takes every `*.localhost`, which is what the local edge gives away, for home. Only a name as the
service gives it shows which flag is wanted in public."""

VERSIONS: Final[set[str]] = set()
"""What was installed for the tests so far."""


class Environment(NamedTuple):
    """A virtual environment."""

    folder: Path

    def program(self, name: str = "python") -> Path:
        """A command in it."""
        return self.folder / "bin" / name


def _install(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot be installed now: {' '.join(map(str, command))}: {done.stderr.strip()[-500:]}")


def pip_installed(folder: Path, *packages: str) -> Environment:
    """A virtual environment with `packages` in it."""
    environment = Environment(folder / "environment")
    subprocess.run([sys.executable, "-m", "venv", environment.folder], check=True)
    pip: list[str | Path] = [environment.program(), "-m", "pip", "--disable-pip-version-check"]
    _install([*pip, "install", "--quiet", *packages], folder)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, text=True).stdout
    wanted = {package.partition("[")[0].partition("<")[0].lower() for package in packages}
    VERSIONS.update(f"{one['name']} {one['version']}" for one in json.loads(listed) if one["name"].lower() in wanted)
    return environment


def npm_installed(folder: Path, *packages: str) -> Path:
    """A folder with `packages` among its node_modules."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not there (apt-get install npm)")
    project = folder / "project"
    project.mkdir()
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    _install([npm, "install", "--no-audit", "--no-fund", *packages], project)
    for package in packages:
        about = json.loads((project / "node_modules" / package / "package.json").read_text())
        VERSIONS.add(f"{about['name']} {about['version']}")
    return project


@contextlib.asynccontextmanager
async def served(port: int, *command: str | Path, cwd: Path) -> AsyncIterator[Process]:
    """An application that listens on `port`."""
    async with running(command, cwd=cwd, env=NOTHING_OF_OURS) as process:
        async with asyncio.timeout(APPLICATION_PATIENCE):
            while not await _listens(port):
                assert process.process.returncode is None, "\n".join(process.stderr[-30:])
                await asyncio.sleep(0.1)
        yield process


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


class Public(NamedTuple):
    """A tunnel, as its visitors see it."""

    page: str
    """For a browser of ours: under a name of the service's by https, under the local edge's own by http."""
    local: str
    """For other clients, which cannot be told where a name leads."""
    ca: str
    """PEM file that those are to trust; "" by http."""

    @property
    def trust(self) -> dict[str, str]:
        """The same, in the variables of Python's clients and of git."""
        return {"SSL_CERT_FILE": self.ca, "GIT_SSL_CAINFO": self.ca} if self.ca else {}


@contextlib.asynccontextmanager
async def behind_tunnel(port: int, state: Path, *flags: str, tls: bool) -> AsyncIterator[Public]:
    """A tunnel to `port` over the local edge, with the flags that the application wants."""
    edge = ("--local-edge", *(["--local-edge-tls"] if tls else []))
    # Pages keep streams open; nobody waits for them at the end of a test.
    ours = ("--json", "--connections", "1", "--grace-period", "1")
    async with supervisor("--port", port, *edge, *ours, *flags, state=state) as process:
        await process.event("state", serves=True)
        told = json.loads((state / "tunnel.json").read_text())
        yield Public(f"https://{PUBLIC_NAME}" if tls else told["url"], told["local_url"], told["local_ca"])


class Page:
    """A page in a browser."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self._wait = WebDriverWait(browser, APPLICATION_PATIENCE, ignored_exceptions=[WebDriverException])

    def element(self, selector: str, text: str = "") -> WebElement:
        """Wait for a visible element, by its CSS selector, that has a text.

        Raises:
            TimeoutException: there came none; the message has what the page says instead.
        """

        def found(browser: webdriver.Chrome) -> WebElement | bool:
            for element in browser.find_elements(By.CSS_SELECTOR, selector):
                if element.is_displayed() and text in (element.text or element.get_attribute("value") or ""):
                    return element
            return False

        try:
            return self._wait.until(found)  # type: ignore[return-value]
        except WebDriverException as error:
            logged = [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]
            error.msg = f"no {selector} with {text!r}; the page: {self.text()[:500]!r}; its console: {logged[-5:]}"
            raise

    def pressed(self, button: str, shown: str, text: str, patience: float = APPLICATION_PATIENCE) -> None:
        """Press a button until `shown` has `text`, since it cannot be seen when a page has come alive.

        Raises:
            TimeoutException: it has not, for `patience` seconds.
        """
        self.element(button)

        def pressed(browser: webdriver.Chrome) -> bool:
            browser.find_element(By.CSS_SELECTOR, button).click()
            return browser.find_element(By.CSS_SELECTOR, shown).text == text

        WebDriverWait(self.browser, patience, ignored_exceptions=[WebDriverException]).until(pressed)

    def text(self) -> str:
        """All that can be read on it."""
        return self.browser.find_element(By.TAG_NAME, "body").text


@contextlib.contextmanager
def opened(public: Public, path: str, folder: Path) -> Iterator[Page]:
    """A page in Chromium, which is led to the edge by the public name. What it looked like at last is in `page.png`."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and its driver are not there (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.accept_insecure_certs = True  # the edge's own authority signs for no name of the service's
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    front = urllib.parse.urlsplit(public.local).netloc
    for argument in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--window-size=1100,800"),
        f"--host-resolver-rules=MAP {PUBLIC_NAME}:443 {front}",
        f"--user-data-dir={folder / 'profile'}",
    ):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    VERSIONS.add(f"Chromium {browser.capabilities['browserVersion']}")
    try:
        browser.get(public.page + path)
        yield Page(browser)
    finally:
        with contextlib.suppress(WebDriverException):
            browser.save_screenshot(str(folder / "page.png"))
        browser.quit()


async def said_by(python: Path, script: Path, public: Public, *arguments: str) -> list[str]:
    """Run a client's script with a Python of its own, to its end; return the lines that it printed."""
    async with running([python, script, *arguments], env={**NOTHING_OF_OURS, **public.trust}) as process:
        status = await process.wait()
        assert status == 0, "\n".join(process.stderr[-30:])
        return process.stdout
