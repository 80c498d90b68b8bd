"""The inspector's page as people use it: with keys only, on a phone, without seeing it, and while things go wrong."""

import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.kit.inspected import HOOK, inspected
from tests.kit.processes import running

pytestmark = pytest.mark.slow


async def test_messages_of_a_web_socket_as_they_come(state: Path) -> None:
    async with inspected(state) as place:
        page = place.page
        async with place.made.socket("/ws") as socket:
            await socket.send('{"op":"hello"}')
            await socket.recv()
            await place.choose("GET /ws", state="answered")
            await page.press("2")
            await page.until("document.querySelectorAll('.messages li').length === 2")
            await page.click(".messages li:first-child summary")
            assert await page.text(".messages li:first-child pre") == '{\n  "op": "hello"\n}'
            await socket.send(bytes(range(32)))
            await socket.recv()
            await page.until("document.querySelectorAll('.messages li').length === 4")
            assert await page.run("return document.querySelector('.messages li:first-child details').open")
            assert "00 01 02 03" in await page.text(".messages li:nth-child(3)")
            await socket.close(4000, "that is all")
        await place.seen("4000 · that is all", ".messages")


async def test_copied_as_curl_it_is_the_same_request(state: Path) -> None:
    async with inspected(state) as place:
        page = place.page
        origin = {"origin": place.url.rstrip("/"), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        await page.command("Browser.grantPermissions", origin)
        body = b'it\'s $HOME `id` "x" \\ %s !\n\x00\xff\xfe'
        fields = {"X-Odd": 'it\'s $(date) "so"', "Authorization": "Bearer s3cret", "Content-Type": "x/y"}
        await place.made.visitor.put("/echo?a[]=b'c&d=$e", content=body, headers=fields)
        await place.choose("PUT /echo?")
        await page.press("u")
        await place.seen("Bearer s3cret", "#part-request")
        await page.press("c")
        await place.seen("The command is copied", "#notices")
        await page.run("navigator.clipboard.readText().then(text => { window.copied = text })")
        command = await page.until("window.copied")
        # Its name leads to this machine wherever names below localhost do; else curl is told.
        front = urllib.parse.urlsplit(place.made.edge["http"])
        command = command.replace("curl ", f"curl --silent --connect-to ::{front.hostname}:{front.port} ", 1)
        async with running(["sh", "-c", command]) as curl:
            assert await curl.wait() == 0, curl.stderr
        original, again = place.shop.seen
        assert (again.line, again.body) == (original.line, original.body)
        for name in ("x-odd", "authorization", "content-type", "user-agent", "accept"):
            assert again.fields[name] == original.fields[name]


async def test_why_a_visitor_got_no_answer_is_said_in_words(state: Path) -> None:
    async with inspected(state, "--deny-path", "/private/**") as place:
        visitor = place.made.visitor
        assert (await visitor.get("/private/letters")).status_code == 403
        await place.choose("GET /private/letters")
        await place.seen("--deny-path", "#part-head .banner.bad")
        await place.seen("The answer is the tunnel’s own")
        assert await place.page.text("[role=option][aria-selected=true] .why")
        assert (await visitor.get("/torn")).status_code == 502
        await place.choose("GET /torn")
        await place.seen("closed", "#part-head .banner.bad")
        await place.page.until("document.querySelectorAll('#part-times .phase').length === 2")


async def test_keys(state: Path) -> None:
    async with inspected(state) as place:
        page = place.page
        for number in range(5):
            await place.made.visitor.get(f"/json?n={number}")
        await page.until("document.querySelector('#shown').innerText === '5 requests'")

        async def at(number: int) -> None:
            await page.until("document.querySelector('#detail-title')?.innerText.includes(arguments[0])", f"n={number}")

        for keys, number in (("j", 4), ("j", 3), (Keys.ARROW_DOWN, 2), ("k", 3), ("G", 0), ("g", 4), (Keys.END, 0)):
            await page.press(keys)
            await at(number)
        await page.press(Keys.ENTER)
        assert await page.run("return document.activeElement.id") == "detail-title"
        await page.press(Keys.ESCAPE)
        await page.until("document.querySelector('#detail').hidden && document.activeElement.id === 'list'")
        await page.press("?")
        await page.until("document.querySelector('#help-dialog').open")
        keys = await page.text("#help-keys")
        for words in ("replay", "copy as curl", "this help"):
            assert words in keys
        await page.click("#keys-on")
        await page.press(Keys.ESCAPE)
        await page.press("j")
        assert await page.run("return document.querySelector('#detail').hidden")
        await page.press("?")
        await page.click("#keys-on")
        await page.press(Keys.ESCAPE)
        await page.press("/json")
        assert await page.run("return document.querySelector('[name=text]').value") == "json"
        await page.press(Keys.ESCAPE + "t")
        assert await page.run("return document.documentElement.dataset.theme") == "light"


async def test_a_narrow_page_has_all_of_it(state: Path) -> None:
    """320 px: one pane at a time, and nothing to be scrolled sideways (WCAG 2.2, reflow)."""
    async with inspected(state) as place:
        page, visitor = place.page, place.made.visitor
        await page.size(320, 640)
        await visitor.post("/hook?" + "long=" * 60, json=HOOK, headers={"X-Long": "y" * 300})
        fits = "document.documentElement.scrollWidth <= 320 && document.querySelector('.right').scrollWidth <= 320"
        await page.until("document.querySelector('#shown').innerText === '1 request'")
        await page.until(fits)
        await page.click("#filter-toggle")
        await page.until(f"document.querySelector('[name=status]').offsetWidth > 80 && {fits}")
        await page.click("#filter-toggle")
        await place.choose("POST /hook?")
        assert await page.run("return document.querySelector('#list').offsetWidth") == 0
        await page.until(fits)
        await page.click("#act-replay")
        await place.seen("Original", "#panel-compare")
        await page.until(fits)
        await page.press("e")
        await page.until("document.querySelector('#edit-dialog').open")
        assert await page.run("return document.querySelector('#edit-dialog').scrollWidth") <= 320
        await page.press(Keys.ESCAPE)
        await page.run("document.querySelector('.right').scrollTop = 0")
        await page.click(".back")
        await page.until("document.querySelector('#list').offsetWidth === 320")


async def test_whoever_does_not_see_it_has_all_of_it(state: Path) -> None:
    """Everything that can be used has a name and a role (Chromium's own accessibility tree)."""
    async with inspected(state) as place:
        page = place.page
        await place.made.visitor.post("/hook", json=HOOK, headers={"Authorization": "Bearer x"})
        await place.choose("POST /hook")
        await page.command("Accessibility.enable", {})
        tree: list[dict[str, Any]] = (await page.command("Accessibility.getFullAXTree", {}))["nodes"]
        used = {
            "button",
            "link",
            "textbox",
            "searchbox",
            "combobox",
            "listbox",
            "option",
            "tab",
            "tabpanel",
            "checkbox",
        }
        nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
        assert [role for role, name in nodes if role in used and not name.strip()] == []
        roles = {role for role, _ in nodes}
        assert {"main", "banner", "search", "listbox", "option", "tab", "tabpanel", "heading", "status"} <= roles
        assert ("option", next(iter(await place.rows()))) in nodes


async def test_it_goes_on_when_the_inspector_was_started_again(state: Path) -> None:
    async with inspected(state) as place:
        page, made = place.page, place.made
        await made.visitor.get("/json?n=1")
        await page.until("document.querySelector('#shown').innerText === '1 request'")
        made.process.actors("inspector")[0].kill()
        await page.until("document.querySelector('#state').dataset.state === 'bad'")
        await page.until("document.querySelector('#state').dataset.state === 'good'")
        while await page.run("return document.querySelector('#shown').innerText.startsWith('0 ')"):
            await made.visitor.get("/json?n=2")
        await place.choose("GET /json?n=2")
        await page.click("#act-replay")
        await place.seen("Original", "#panel-compare")
        await page.complaints()  # of the time when nobody listened


async def test_all_of_it_is_forgotten_when_it_is_asked_for(state: Path) -> None:
    async with inspected(state) as place:
        page = place.page
        await place.made.visitor.get("/json")
        await page.until("document.querySelector('#shown').innerText === '1 request'")
        await page.click("[data-act=clear]")
        await page.click("#clear-dialog [data-close]")
        assert await page.text("#shown") == "1 request"
        await page.click("[data-act=clear]")
        await page.click("#clear-yes")
        await place.seen("No requests yet", "#list-empty")
