"""What strangers send is shown on the inspector's page, and does nothing there."""

import json
import urllib.parse
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.kit.browser import Page
from tests.kit.inspected import inspected

pytestmark = pytest.mark.slow

BOUNDARY = "----a7"

HOSTILE = (
    "<img src=x onerror='pwned=1'><script>pwned=1</script><svg onload=pwned=1>'\"><a href=javascript:pwned=1>x</a>"
)


async def test_what_strangers_send_runs_nowhere(state: Path) -> None:
    """In every place of the page where something of theirs is shown, it is text."""
    async with inspected(state) as place:
        page, visitor = place.page, place.made.visitor
        place.shop.hostile = HOSTILE
        quoted = urllib.parse.quote(HOSTILE)
        parts = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{HOSTILE.replace(chr(34), "%22")}"; '
            f'filename="{HOSTILE[:30]}"\r\n'
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
                    await page.run(
                        "document.querySelector(arguments[0]).click()", f"#part-{side} .view[data-view={view}]"
                    )
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


async def test_bodies_that_are_made_to_be_slow_are_shown_in_part(state: Path) -> None:
    """As many elements as there are bytes would hold the page up for long: each view has a bound."""
    async with inspected(state) as place:
        page, visitor = place.page, place.made.visitor
        bodies = {
            "application/x-www-form-urlencoded": b"a&" * 30_000,
            "application/json": b'["x",' * 12_000,
            "text/xml": b"<a b='c'>" * 7_000,
            "text/html": b"<a>b" * 15_000,
            "multipart/form-data; boundary=X": b"--X\r\n\r\na\r\n" * 4_500,
            "text/plain": b"\n" * 60_000,
        }
        for number, (kind, body) in enumerate(bodies.items()):
            await visitor.post(f"/echo?n={number}&" + "q&" * 2000, content=body, headers={"Content-Type": kind})
            await place.choose(f"POST /echo?n={number}&")
            assert await page.run("return document.querySelectorAll('#detail *').length") < 50_000, kind
        # Two that have nothing in common.
        await visitor.post("/echo?last", content="\n".join(map(str, range(12_000))).encode())
        await place.choose("POST /echo?last")
        await page.press("e")
        await page.until("document.querySelector('#edit-dialog').open")
        await page.run(
            "const body = document.querySelector('#edit-dialog [name=body]');"
            "body.value = body.value.replaceAll('\\n', 'x\\n')"
        )
        await page.click("#edit-dialog [name=send]")
        await place.seen("Original", "#panel-compare")
        assert await page.run("return document.querySelectorAll('#detail *').length") < 50_000
        await place.seen("Show more", "#panel-compare")


async def only_text(page: Page) -> None:
    """No element in the page is one of theirs."""
    found = """return [...document.querySelectorAll(
            "script, img, svg, a, iframe, object, embed, style, link, form, base, meta")]
        .filter(each => !(each.matches("head > *, svg.icon, svg.icons, #filter, #edit-form, .skip, .button, .brand img")
            || (each.matches("figure img") && each.src.startsWith("blob:"))))
        .map(each => each.outerHTML)"""
    assert await page.run(found) == []
    assert (
        await page.run(
            "return [...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"
            ".filter(name => name.startsWith('on')).length"
        )
        == 0
    )
