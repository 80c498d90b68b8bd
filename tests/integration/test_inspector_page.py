"""The inspector's page in a real browser, beside a real tunnel: what came, each kind of body, and replays."""

import asyncio
import json
import urllib.parse
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.kit.inspected import HOOK, inspected
from tests.kit.load import load
from tests.kit.processes import PATIENCE

pytestmark = pytest.mark.slow

BOUNDARY = "----a7"
FORM = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nHoliday\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="notes"; filename="notes.json"\r\n'
    f'Content-Type: application/json\r\n\r\n{{"pages":[1,2]}}\r\n--{BOUNDARY}--\r\n'
).encode()


async def test_the_list_is_live_while_many_requests_come(state: Path) -> None:
    async with inspected(state) as place:
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


async def test_filters(state: Path) -> None:
    async with inspected(state) as place:
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


async def test_each_kind_of_body(state: Path) -> None:
    async with inspected(state) as place:
        page, visitor = place.page, place.made.visitor

        async def viewed(side: str) -> str:
            return str(
                await page.run(
                    "return document.querySelector(arguments[0])?.innerText", f"#part-{side} .view[aria-pressed=true]"
                )
            )

        await visitor.get("/json")
        await place.choose("GET /json")
        assert await viewed("response") == "JSON"
        assert (
            '{\n  "number": 12345678901234567890,\n  "list": [\n    1,\n    null,\n    true\n  ],'
            in await page.text("#part-response pre")
        )

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


async def test_a_webhook_is_looked_at_mended_and_replayed(state: Path) -> None:
    async with inspected(state) as place:
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

        # JSON can be laid out to be edited.
        await page.press("e")
        await page.until("document.querySelector('#edit-dialog').open")
        await page.click("#edit-lay-out")
        assert await page.run("return document.querySelector('#edit-dialog [name=body]').value") == json.dumps(
            HOOK, indent=2
        )
        await page.press(Keys.ESCAPE)

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


async def test_edit_and_replay(state: Path) -> None:
    async with inspected(state) as place:
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
