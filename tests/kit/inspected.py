"""A tunnel with an inspector, and its page in a real browser."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.kit.browser import Page, chromium
from tests.kit.shop import Shop, shop
from tests.kit.tunnel import Tunnel, tunnel

HOOK = {
    "id": "evt_1PqvX2",
    "type": "invoice.paid",
    "created": 1764158589,
    "livemode": False,
    "data": {"object": {"id": "in_1PqvX2", "amount_paid": 4200, "currency": "eur", "customer": "Ada Lovelace"}},
}
"""A webhook, which the shop does not know what to do with until it is mended."""


class Place(NamedTuple):
    """A tunnel with an inspector, the shop behind it, and the page."""

    page: Page
    made: Tunnel
    shop: Shop
    url: str
    """Of the inspector."""

    async def rows(self) -> list[str]:
        """What the rows in sight say, from above."""
        script = """
            const rows = [...document.querySelectorAll("[role=option]:not([hidden])")];
            rows.sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top);
            return rows.map(row => row.getAttribute("aria-label"));
        """
        return list(await self.page.run(script))

    async def choose(self, words: str, *, state: str = "ended") -> None:
        """Click the newest request whose label has these words, and wait for its details as they are in this state."""
        row = """[...document.querySelectorAll("[role=option]:not([hidden])")]
            .filter(row => row.getAttribute("aria-label").includes(arguments[0]))
            .sort((one, other) => one.ariaPosInSet - other.ariaPosInSet)[0]"""
        await self.page.until(f"{row} !== undefined", words)
        await self.page.run(f"{row}.click()", words)
        chosen = "document.querySelector('[role=option][aria-selected=true]')?.dataset.id"
        await self.page.until(f"document.querySelector('#detail').dataset.id === {chosen}")
        await self.page.until("document.querySelector('#detail').dataset.state === arguments[0]", state)
        await self.page.until("!document.querySelector('#detail [aria-busy]')")

    async def seen(self, words: str, selector: str = "#detail") -> None:
        """Wait until a part of the page says these words."""
        await self.page.until("document.querySelector(arguments[0])?.innerText.includes(arguments[1])", selector, words)


WATCHING = """
    window.violations = [];
    window.pwned = 0;
    addEventListener("securitypolicyviolation", event => violations.push(event.blockedURI));
"""


@contextlib.asynccontextmanager
async def inspected(state: Path, *arguments: str) -> AsyncIterator[Place]:
    """All of it; at the end neither the browser nor the page's Content-Security-Policy has had anything to say."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, chromium(Path(folder)) as browser:
        page = Page(browser)
        async with shop() as (opened, port), tunnel(port, state, "--inspect", *arguments) as made:
            url = (await made.process.event("starting"))["inspector_url"]
            await page.size(1280, 800)
            await page.command("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHING})
            await page.open(url)
            await page.until("document.querySelector('#state').dataset.state === 'good'")
            yield Place(page, made, opened, url)
            assert await page.run("return [window.violations, window.pwned]") == [[], 0]
            assert await page.complaints() == []
