"""The inspector's page in a real browser, beside a real tunnel: what came, each kind of body, and replays."""

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.kit.browser import Page, chromium
from tests.kit.load import load
from tests.kit.processes import PATIENCE, running
from tests.kit.shop import Shop, shop
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow

HOOK = {
    "id": "evt_1PqvX2",
    "type": "invoice.paid",
    "created": 1764158589,
    "livemode": False,
    "data": {"object": {"id": "in_1PqvX2", "amount_paid": 4200, "currency": "eur", "customer": "Ada Lovelace"}},
}

BOUNDARY = "----a7"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nHoliday\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="notes"; filename="notes.json"\r\n'
    f'Content-Type: application/json\r\n\r\n{{"pages":[1,2]}}\r\n--{BOUNDARY}--\r\n'
).encode()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as started:
        yield started


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

    async def choose(self, words: str) -> None:
        """Click the newest request whose label has these words, and wait for its details."""
        row = """[...document.querySelectorAll("[role=option]:not([hidden])")]
            .filter(row => row.getAttribute("aria-label").includes(arguments[0]))
            .sort((one, other) => one.ariaPosInSet - other.ariaPosInSet)[0]"""
        await self.page.until(f"{row} !== undefined", words)
        await self.page.run(f"{row}.click()", words)
        chosen = "document.querySelector('[role=option][aria-selected=true]')?.dataset.id"
        await self.page.until(f"document.querySelector('#detail').dataset.id === {chosen}")
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
async def inspected(browser: webdriver.Chrome, state: Path, *arguments: str | Path) -> AsyncIterator[Place]:
    """All of it; at the end neither the browser nor its Content-Security-Policy has had anything to say."""
    page = Page(browser)
    async with shop() as (opened, port), tunnel(port, state, "--inspect", *arguments) as made:
        url = (await made.process.event("starting"))["inspector_url"]
        await page.size(1280, 800)
        await page.command("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHING})
        await page.open(url)
        await page.until("document.querySelector('#state').dataset.state === 'good'")
        try:
            yield Place(page, made, opened, url)
            assert await page.run("return [window.violations, window.pwned]") == [[], 0]
            assert await page.complaints() == []
        finally:
            await page.open("about:blank")


async def test_the_list_is_live_while_many_requests_come(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page, made = place.page, place.made
        front = urllib.parse.urlsplit(made.edge["http"])
        await made.visitor.post("/echo?the=one", content=b"read me")
        await place.choose("POST /echo?the=one")
        where = """document.querySelector("[role=option][aria-selected=true]")"""
        async with load((str(front.hostname), front.port or 0), made.host, rate=200.0) as counted:
            async with asyncio.timeout(PATIENCE):
                await counted.more(100)
            await page.until("document.querySelector('#shown').innerText.includes('request')")
            # Who reads keeps what is read before their eyes, whatever comes above it.
            await page.run(f"document.querySelector('#list').scrollTop = 1e9; {where}?.scrollIntoView()")
            await page.press(Keys.ESCAPE)
            await page.run("document.querySelector('#list').scrollTop = 3000")
            middle = "document.elementFromPoint(200, 500).closest('[role=option]')?.dataset.id"
            reading = await page.run(f"return {middle}")
            many = "Number(document.querySelector('#shown').innerText.replace(/[^0-9]/g, ''))"
            before = await page.run(f"return {many}")
            await page.until(f"{many} > arguments[0] + 100", before)
            assert reading is not None
            assert await page.run(f"return {middle}") == reading
            # At the top what comes is there at once, and the page has no more rows than can be seen.
            await page.run("document.querySelector('#list').scrollTop = 0")
            newest = "document.querySelector(\"[aria-posinset='1']\").dataset.id"
            first = await page.run(f"return {newest}")
            await page.until(f"{newest} !== arguments[0]", first)
            await page.until(f"{many} === 1000")
            assert await page.run("return document.querySelectorAll('[role=option]').length") < 60
            # The list stands still when it is told to, and says how much it has missed.
            await page.click("#act-pause")
            still = await page.run(f"return {newest}")
            await place.seen("new", "#act-pause")
            assert await page.run(f"return {newest}") == still
            await page.click("#act-pause")
            await page.until(f"{newest} !== arguments[0]", still)
        assert not counted.failures


async def test_filters(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page, visitor = place.page, place.made.visitor
        await visitor.get("/json")
        await visitor.get("/nowhere")
        await visitor.post("/hook", json=HOOK)
        await visitor.post("/echo", content=b"a needle in the body", headers={"X-Straw": "a Needle too"})
        await visitor.put("/echo", content=b"nothing")
        await page.until("document.querySelector('#shown').innerText === '5 requests'")

        async def shown(*paths: str) -> None:
            rows = "[...document.querySelectorAll('[role=option]:not([hidden]) .path')].map(path => path.innerText)"
            await page.until(f"{rows}.sort().join() === arguments[0]", ",".join(sorted(paths)))

        async def chosen(name: str, value: str) -> None:
            script = """
                const field = document.querySelector(`#filter [name=${arguments[0]}]`);
                field.value = arguments[1];
                field.dispatchEvent(new Event("input", {bubbles: true}));
            """
            await page.run(script, name, value)

        await chosen("method", "PUT")
        await shown("/echo")
        assert await page.text("#shown") == "1 of 5 requests"
        await page.click("#filter-reset")
        await chosen("status", "4xx")
        await shown("/nowhere")
        await chosen("status", "5xx")
        await shown("/hook")
        await chosen("status", "")
        await page.press("ECH", "[name=path]")
        await shown("/echo", "/echo")
        await page.press(Keys.ESCAPE + "0")
        await shown("/json", "/nowhere", "/hook", "/echo", "/echo")
        await page.press("/needle IN")
        await shown("/echo")
        # What comes later is found as well, and a reload keeps the filter.
        await visitor.post("/echo", content=b"one more Needle in hay")
        await shown("/echo", "/echo")
        await page.until("location.hash.includes('needle')")
        await page.run("location.reload()")
        await shown("/echo", "/echo")
        await page.press(Keys.ESCAPE + "0")
        await chosen("time", "60")
        await page.until("document.querySelector('#shown').innerText === '6 of 6 requests'")
        await chosen("time", "between")
        await chosen("until", "2020-01-01T00:00:00")
        await place.seen("None of them", "#list-empty")


async def test_each_kind_of_body(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page, visitor = place.page, place.made.visitor

        async def viewed(side: str) -> str:
            return str(await page.run("return document.querySelector(arguments[0])?.innerText", f"#part-{side} .view[aria-pressed=true]"))

        await visitor.get("/json")
        await place.choose("GET /json")
        assert await viewed("response") == "JSON"
        assert '{\n  "number": 12345678901234567890,\n  "list": [\n    1,\n    null,\n    true\n  ],' in await page.text("#part-response pre")

        await visitor.get("/xml")
        await place.choose("GET /xml")
        assert await viewed("response") == "XML"
        assert '\n  <items>\n    <item n="2"/>\n' in await page.text("#part-response pre")

        await visitor.get("/zipped")
        await place.choose("GET /zipped")
        assert await page.text("#part-response pre") == '{\n  "zipped": true\n}'
        assert "gzip" in await page.text("#part-response h4")

        await visitor.get("/png")
        await place.choose("GET /png")
        await page.until("document.querySelector('#part-response figure img').naturalWidth === 120")

        await visitor.get("/bytes")
        await place.choose("GET /bytes")
        assert await viewed("response") == "Hex"
        assert (await page.text("#part-response pre")).startswith("00000000  00 01 02 03 04 05 06 07  08 09")

        await visitor.get("/long")
        await place.choose("GET /long")
        await place.seen("Only the first 66 kB of 200 kB were kept", "#part-response")

        await visitor.post("/echo?q=a+b%20c&flag", data={"name": "Ada & Bob", "opts": '{"a":[1]}'})
        await place.choose("POST /echo?q=a+b%20c&flag")
        assert await viewed("request") == "Form"
        table = await page.text("#part-request .body-view")
        assert "Ada & Bob" in table
        assert '"a": [' in table
        assert "a b c" in await page.text("#part-request .fold")

        await visitor.post("/echo", content=FORM, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        await place.choose("POST /echo,")
        assert await viewed("request") == "Parts"
        parts = await page.text("#part-request .parts")
        for words in ("title", "Holiday", "notes.json", "application/json", '"pages": ['):
            assert words in parts
        await page.click("#part-request .body-tools [data-view=hex]")
        assert "00000000  2d 2d 2d 2d" in await page.text("#part-request .body-view")


async def test_a_webhook_is_looked_at_mended_and_replayed(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page = place.page
        signed = {"Stripe-Signature": "t=1764158589,v1=5257a8", "Authorization": "Bearer s3cret-of-the-sender"}
        assert (await place.made.visitor.post("/hook", json=HOOK, headers=signed)).status_code == 500
        await place.choose("POST /hook")
        await place.seen('"error": "unknown event"', "#part-response")
        await page.until("document.querySelectorAll('#part-times .phase').length === 3")
        assert "s3cret-of-the-sender" not in await page.run("return document.documentElement.outerHTML")

        place.shop.is_mended = True
        await page.click("#act-replay")
        await place.seen("Original", "#panel-compare")
        original, again = place.shop.seen
        assert again.body == original.body
        assert again.fields["stripe-signature"] == original.fields["stripe-signature"]
        assert again.fields["authorization"] == original.fields["authorization"] == "Bearer s3cret-of-the-sender"
        differing = """[...document.querySelectorAll("#panel-compare [role=row]:not([data-kind=same])")]
            .map(row => [row.dataset.kind, ...[...row.children].map(cell => cell.innerText.trim())])"""
        rows = await page.run(f"return {differing}")
        assert ["changed", "−\nstatus 500", "+\nstatus 200"] in [[kind, *map(clean, cells)] for kind, *cells in rows]
        assert any(kind == "removed" and "unknown event" in left for kind, left, _ in rows)
        assert any(kind == "added" and "took_ms" in right for kind, _, right in rows)
        await place.seen("A replay.")
        assert [label.split(",")[0] for label in await place.rows()] == ["Replay: POST /hook", "POST /hook"]

        # The original knows of it, and of the next one.
        await page.click("#part-head .link")
        await place.seen("Replayed once: 200")
        await page.press("r")
        await page.until("document.querySelector('#panel-compare select')?.options.length === 2")
        assert len(place.shop.seen) == 3

        # Secrets are shown when they are asked for, and hidden again.
        await page.press("1u")
        await place.seen("Bearer s3cret-of-the-sender", "#part-request")
        await page.press("u")
        await page.until("!document.body.innerText.includes('s3cret-of-the-sender')")


def clean(cell: str) -> str:
    """A cell as a person reads it: its sign, a line break, its text."""
    sign, text = cell[:1], cell[1:].strip()
    return f"{sign}\n{text}"


async def test_edit_and_replay(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page = place.page
        fields = {"Authorization": "Bearer s3cret", "X-Old": "1", "Content-Type": "text/plain"}
        await place.made.visitor.post("/echo", content=b"first\r\nsecond\r\n", headers=fields)
        await place.choose("POST /echo")
        await page.press("e")
        await page.until("document.querySelector('#edit-dialog').open")
        headers = await page.run("return document.querySelector('#edit-dialog [name=headers]').value")
        assert "s3cret" not in headers

        # What cannot be sent is said in the form, and nothing is sent.
        await page.fill("#edit-dialog [name=target]", "no/slash")
        await page.click("#edit-dialog [name=send]")
        await place.seen("must begin with", "#edit-error")
        await page.fill("#edit-dialog [name=headers]", "a line that is none")
        await page.fill("#edit-dialog [name=target]", "/echo?edited=1")
        await page.click("#edit-dialog [name=send]")
        await place.seen("Line 1", "#edit-error")
        assert len(place.shop.seen) == 1

        set_value = "document.querySelector(`#edit-dialog [name=${arguments[0]}]`).value = arguments[1]"
        await page.run(set_value, "headers", headers.replace("X-Old: 1", "X-New: 2").replace("x-old: 1", "X-New: 2"))
        await page.fill("#edit-dialog [name=method]", "PUT")
        await page.run(set_value, "body", "first\nsecond\nthird\n")
        await page.press(Keys.CONTROL + Keys.ENTER, "#edit-dialog [name=target]")
        await place.seen("Original", "#panel-compare")
        edited = place.shop.seen[-1]
        assert edited.line == "PUT /echo?edited=1"
        assert edited.body == b"first\r\nsecond\r\nthird\r\n"
        assert edited.fields["authorization"] == "Bearer s3cret"
        assert edited.fields["x-new"] == "2"
        assert "x-old" not in edited.fields
        assert edited.fields["content-length"] == "22"
        compared = await page.text("#panel-compare")
        for words in ("PUT /echo?edited=1", "third"):
            assert words in compared


HOSTILE = "<img src=x onerror='pwned=1'><script>pwned=1</script><svg onload=pwned=1>'\"><a href=javascript:pwned=1>x</a>"


async def test_what_strangers_send_runs_nowhere(browser: webdriver.Chrome, state: Path) -> None:
    """In every place of the page where something of theirs is shown, it is text."""
    async with inspected(browser, state) as place:
        page, visitor = place.page, place.made.visitor
        place.shop.hostile = HOSTILE
        quoted = urllib.parse.quote(HOSTILE)
        parts = (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{HOSTILE.replace(chr(34), '%22')}\"; filename=\"{HOSTILE[:30]}\"\r\n"
            f"Content-Type: text/html{HOSTILE}\r\n\r\n{HOSTILE}\r\n--{BOUNDARY}--\r\n"
        ).encode()
        bodies = {
            "application/json": json.dumps({HOSTILE: [HOSTILE]}).encode(),
            "text/xml": f"<a {HOSTILE}>{HOSTILE}</a>".encode(),
            "text/html": HOSTILE.encode(),
            "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg' onload='pwned=1'><script>pwned=1</script></svg>",
            "application/x-www-form-urlencoded": f"{quoted}={quoted}".encode(),
            f"multipart/form-data; boundary={BOUNDARY}": parts,
            "text/plain": HOSTILE.encode(),
            f"application/{HOSTILE}": HOSTILE.encode(),
        }
        for number, (kind, body) in enumerate(bodies.items()):
            target = f"/hostile?n={number}&{quoted}={quoted}"
            fields = {"X-Answer-As": kind, "Content-Type": kind, "X-Evil": HOSTILE, "User-Agent": HOSTILE}
            await visitor.post(target, content=body, headers=fields)
            await place.choose(f"POST /hostile?n={number}&")
            for side in ("request", "response"):
                views = await page.run(
                    "return [...document.querySelectorAll(arguments[0])].map(button => button.dataset.view)",
                    f"#part-{side} .body-section > .body-place > .body > .body-tools .view",
                )
                assert "hex" in views
                for view in views:
                    await page.run("document.querySelector(arguments[0]).click()", f"#part-{side} .view[data-view={view}]")
            await only_text(page)
        async with place.made.socket(f"/ws?{quoted}") as socket:
            for message in (HOSTILE, json.dumps({HOSTILE: HOSTILE}), HOSTILE.encode()):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.close(1000, HOSTILE)
        await place.choose("GET /ws?")
        await page.press("2")
        await page.until("document.querySelectorAll('.messages li').length >= 7")
        await page.run("document.querySelectorAll('.messages details').forEach(each => { each.open = true })")
        await page.until("document.querySelectorAll('.messages .content').length >= 6")
        await only_text(page)
        await place.choose("POST /hostile?n=0&")
        await page.press("r")
        await place.seen("Original", "#panel-compare")
        await only_text(page)
        await page.press("e")
        await page.until("document.querySelector('#edit-dialog').open")
        await only_text(page)
        await page.press(Keys.ESCAPE)
        await page.press(HOSTILE, "[name=path]")
        await page.press(HOSTILE, "[name=text]")
        await page.until("location.hash.length > 200")
        await only_text(page)
        await page.run("location.reload()")
        await page.until("document.querySelector('#state').dataset.state === 'good'")
        await only_text(page)


async def only_text(page: Page) -> None:
    """No element in the page is one of theirs."""
    found = """return [...document.querySelectorAll("script, img, svg, a, iframe, object, embed, style, link, form, base, meta")]
        .filter(each => !(each.matches("head > *, svg.icon, svg.icons, #filter, #edit-form, .skip, .button, .brand img")
            || (each.matches("figure img") && each.src.startsWith("blob:"))))
        .map(each => each.outerHTML)"""
    assert await page.run(found) == []
    assert await page.run("return [...document.querySelectorAll('*')].flatMap(each => [...each.attributes]).filter(each => each.name.startsWith('on')).length") == 0


async def test_messages_of_a_web_socket_as_they_come(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page = place.page
        async with place.made.socket("/ws") as socket:
            await socket.send('{"op":"hello"}')
            await socket.recv()
            await place.choose("GET /ws")
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


async def test_copied_as_curl_it_is_the_same_request(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page = place.page
        origin = {"origin": place.url.rstrip("/"), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        await page.command("Browser.grantPermissions", origin)
        body = b"it's $HOME `id` \"x\" \\ %s !\n\x00\xff\xfe"
        fields = {"X-Odd": "it's $(date) \"so\"", "Authorization": "Bearer s3cret", "Content-Type": "x/y"}
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


async def test_keys(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
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


async def test_a_narrow_page_has_all_of_it(browser: webdriver.Chrome, state: Path) -> None:
    """320 px: one pane at a time, and nothing to be scrolled sideways (WCAG 2.2, reflow)."""
    async with inspected(browser, state) as place:
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


async def test_whoever_does_not_see_it_has_all_of_it(browser: webdriver.Chrome, state: Path) -> None:
    """Everything that can be used has a name and a role (Chromium's own accessibility tree)."""
    async with inspected(browser, state) as place:
        page = place.page
        await place.made.visitor.post("/hook", json=HOOK, headers={"Authorization": "Bearer x"})
        await place.choose("POST /hook")
        await page.command("Accessibility.enable", {})
        tree: list[dict[str, Any]] = (await page.command("Accessibility.getFullAXTree", {}))["nodes"]
        used = {"button", "link", "textbox", "searchbox", "combobox", "listbox", "option", "tab", "tabpanel", "checkbox"}
        nodes = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
        assert [role for role, name in nodes if role in used and not name.strip()] == []
        roles = {role for role, _ in nodes}
        assert {"main", "banner", "search", "listbox", "option", "tab", "tabpanel", "heading", "status"} <= roles
        assert ("option", next(iter(await place.rows()))) in nodes


async def test_it_goes_on_when_the_inspector_was_started_again(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
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


async def test_all_of_it_is_forgotten_when_it_is_asked_for(browser: webdriver.Chrome, state: Path) -> None:
    async with inspected(browser, state) as place:
        page = place.page
        await place.made.visitor.get("/json")
        await page.until("document.querySelector('#shown').innerText === '1 request'")
        await page.click("[data-act=clear]")
        await page.click("#clear-dialog [data-close]")
        assert await page.text("#shown") == "1 request"
        await page.click("[data-act=clear]")
        await page.click("#clear-yes")
        await place.seen("No requests yet", "#list-empty")


