"""The API over HTTP, without a tunnel: lists, details, bodies, replays; and whom it does not answer."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from actors.bus.addresses import HostPort
from actors.bus.inspection import Answered, Ended, Head, Part
from actors.inspector import assets
from actors.inspector.api import MAX_REQUEST_BYTES, Api, Rules, make_serve
from actors.inspector.door import Door
from actors.inspector.edits import CannotReplay, Edits
from actors.inspector.feed import MAX_FEEDS, Feeds
from actors.inspector.foreign import Foreign
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded, Store
from actors.web.pages import Serve, serving
from tests.kit.processes import PATIENCE
from tests.kit.seen import batch_of, part, store, take

TOKEN = "the-token"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


class Source:
    """What the actor is to the API."""

    def __init__(self, kept: Store) -> None:
        self.store = kept
        self.replayed: list[tuple[str, Edits]] = []

    def status(self) -> dict[str, Any]:
        return {"url": "https://a.example", "origin": "127.0.0.1:8080", "state": "registered"}

    def urls(self) -> list[str]:
        return ["https://a.example", "https://b.example"]

    async def replay(self, entry: Recorded, edits: Edits) -> str:
        if edits.target == "/down":
            raise CannotReplay("no connection", 503)
        self.replayed.append((entry.id, edits))
        return "0.1.99"


class Bench:
    """An inspector's HTTP side."""

    def __init__(self, source: Source, address: HostPort) -> None:
        self.source = source
        self.address = address
        self.client = httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE)
        self.trusted = httpx.AsyncClient(
            base_url=f"http://{address}", timeout=PATIENCE, headers={"X-Inspector-Token": TOKEN}
        )

    async def get(self, path: str, **parameters: str) -> Any:
        answer = await self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.asynccontextmanager
async def bench(kept: Store) -> AsyncIterator[Bench]:
    source, masks = Source(kept), Masks()
    made: list[Serve] = []
    feeds = Feeds(kept, source.status)
    async with serving(lambda client, request: made[0](client, request), "127.0.0.1", 0, stop_timeout=0.1) as bound:
        address = HostPort(*bound)
        rules = Rules(Door(address, token=TOKEN), masks, TOKEN)
        api = Api(source, rules)
        made.append(make_serve(rules, feeds, [*api.routes(), *Foreign(source, rules, api).routes()]))
        made_bench = Bench(source, address)
        async with made_bench.client, made_bench.trusted:
            yield made_bench
        feeds.close()


SECRET = [(b"Authorization", b"s3cret"), (b"A", b"b")]


async def test_list_is_filtered_and_paged() -> None:
    async with bench(store(*(part(number, "POST" if number % 2 else "GET") for number in range(1, 9)))) as made:
        told = await made.get("/api/exchanges", limit="3")
        assert [one["id"] for one in told["exchanges"]] == ["0.1.8", "0.1.7", "0.1.6"]
        assert (told["dropped"], told["sequence"]) == (0, made.source.store.sequence)
        told = await made.get("/api/exchanges", limit="3", before="0.1.6", method="GET")
        assert [one["id"] for one in told["exchanges"]] == ["0.1.4", "0.1.2"]
        for wrong in ({"limit": "many"}, {"status": "x"}, {"since": "x"}):
            answer = await made.client.get("/api/exchanges", params=wrong)
            assert answer.status_code == 400
            assert "give" in answer.json()["error"]


async def test_details_and_what_is_masked() -> None:
    async with bench(store(part(1, fields=SECRET))) as made:
        assert "s3cret" not in str(await made.get("/api/exchanges/0.1.1"))
        answer = await made.client.get("/api/exchanges/0.1.1?unmasked=1")
        assert (answer.status_code, "s3cret" in answer.text) == (403, False)
        for wrong in ("?unmasked=1&token=wrong", "?unmasked=1&token=", f"?unmasked=1&token={TOKEN}x"):
            assert (await made.client.get(f"/api/exchanges/0.1.1{wrong}")).status_code == 403
        answer = await made.trusted.get("/api/exchanges/0.1.1?unmasked=1")
        assert "s3cret" in answer.text
        answer = await made.client.get(f"/api/exchanges/0.1.1?unmasked=1&token={TOKEN}")
        assert "s3cret" in answer.text
        assert "s3cret" not in (await made.trusted.get("/api/exchanges/0.1.1")).text, "not even then, unless asked"
        assert (await made.client.get("/api/exchanges/0.1.7")).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "attached"),
    [
        (PNG, "image/png", False),
        (b"<script>alert(1)</script>", "application/octet-stream", True),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "application/octet-stream", True),
        (b"%PDF-1.7", "application/octet-stream", True),
        (b"", "application/octet-stream", True),
    ],
)
async def test_bodies_are_never_what_a_browser_would_run(content: bytes, kind: str, attached: bool) -> None:
    fields = [(b"Content-Type", b"text/html")]
    one = part(1, "POST", fields=fields, body=content, answer=content, answer_fields=fields)
    async with bench(store(one)) as made:
        for which in ("request", "response"):
            answer = await made.client.get(f"/api/exchanges/0.1.1/{which}/body")
            assert (answer.content, answer.headers["content-type"]) == (content, kind)
            assert ("content-disposition" in answer.headers) == attached
            assert "sandbox" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_bodies_without_their_encoding() -> None:
    packed = gzip.compress(b"hello " * 100)
    kept = store(
        part(1, answer=packed, answer_fields=[(b"Content-Encoding", b"gzip")]),
        part(2, answer=b"plain", answer_fields=[(b"content-encoding", b"br")]),
    )
    async with bench(kept) as made:
        path = "/api/exchanges/0.1.1/response/body"
        assert (await made.client.get(path)).content == packed
        assert (await made.client.get(path, params={"decoded": "1"})).content == b"hello " * 100
        answer = await made.client.get("/api/exchanges/0.1.2/response/body?decoded=1")
        assert (answer.status_code, "br" in answer.json()["error"]) == (422, True)


async def test_replay() -> None:
    async with bench(store(part(1))) as made:
        path = "/api/exchanges/0.1.1/replay"
        assert (await made.client.post(path)).status_code == 403
        answer = await made.trusted.post(path)
        assert (answer.status_code, answer.json()) == (202, {"id": "0.1.99"})
        assert (await made.trusted.post(path, json={"target": "/x", "body": "y"})).status_code == 202
        assert made.source.replayed == [("0.1.1", Edits()), ("0.1.1", Edits(target="/x", body="y"))]
        for given, status in ((b'{"target":"/down"}', 503), (b"[]", 400), (b'{"nothing":1}', 400)):
            answer = await made.trusted.post(path, content=given)
            assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
        large = json.dumps({"body": "x" * MAX_REQUEST_BYTES})
        assert (await made.trusted.post(path, content=large)).status_code == 413
        assert (await made.trusted.post("/api/exchanges/0.1.9/replay")).status_code == 404


async def test_clearing() -> None:
    async with bench(store(part(1))) as made:
        assert (await made.client.delete("/api/exchanges")).status_code == 403
        assert len(made.source.store) == 1
        assert (await made.trusted.delete("/api/exchanges")).status_code == 204
        assert (await made.get("/api/exchanges"))["exchanges"] == []


async def test_every_answer_is_closed_to_other_sites() -> None:
    async with bench(store(part(1))) as made:
        paths = [
            "/",
            "/assets/nothing.js",
            "/api/status",
            "/api/exchanges/0.1.1",
            "/nowhere",
            "/api/events",
            "/api/har",
        ]
        paths += ["/api/exchanges/0.1.1/request/body", "/api/tunnels"]
        for path in paths:
            for more in ({}, {"Host": "evil.example"}):
                async with made.client.stream("GET", path, headers=more) as answer:
                    policy = answer.headers["content-security-policy"]
                    assert policy.startswith("default-src 'none'; script-src 'self'"), path
                    assert "frame-ancestors 'none'" in policy
                    assert answer.headers["cache-control"] == "no-store"
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert answer.headers["referrer-policy"] == "no-referrer"
                    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
                    assert "access-control-allow-origin" not in answer.headers


async def test_who_is_not_answered_learns_nothing() -> None:
    """Whatever he asks for, body and all."""
    async with bench(store(part(1, fields=SECRET))) as made:
        for given in (
            {"Host": "evil.example"},
            {"Cf-Ray": "1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://x"},
        ):
            for method, path in (
                ("GET", "/api/exchanges"),
                ("POST", "/api/exchanges/0.1.1/replay"),
                ("GET", "/api/har"),
            ):
                headers = {"X-Inspector-Token": TOKEN, **given}
                answer = await made.client.request(method, path, headers=headers, content=b"x" * 100_000)
                assert answer.status_code == 403, (given, path)
                assert set(answer.json()) == {"error"}
        assert not made.source.replayed


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/assets/../__init__.py",
            "/assets/%2e%2e/__init__.py",
            "/assets/..%2f__init__.py",
            "/assets/%2e%2e%2fapi.py",
        ),
        *(
            "/assets//etc/passwd",
            "/assets/%2fetc%2fpasswd",
            "/assets/",
            "/assets/.",
            "/assets/..",
            "/assets/index.html",
        ),
        *("/assets/..%5c__init__.py", "/assets/a%00.js", "//etc/passwd", "/../../etc/passwd", "/assets/....//x"),
        *("/assets/..%252f__init__.py", "/assets/__init__.py", "/page/index.html", "/assets/page/api.js"),
    ],
)
async def test_path_traversal(path: str) -> None:
    async with bench(store()) as made:
        reader, writer = await asyncio.open_connection(made.address.host, made.address.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {made.address}\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        assert b" 404 " in answer.partition(b"\r\n")[0], answer


async def test_page_has_the_token_and_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "index.html": assets.Asset(b'<meta name="token" content="{{token}}">', assets.TYPES[".html"]),
        "page.js": assets.Asset(b"1", assets.TYPES[".js"]),
    }
    monkeypatch.setattr(assets, "read_assets", lambda: files)
    async with bench(store()) as made:
        answer = await made.client.get("/")
        assert answer.text == f'<meta name="token" content="{TOKEN}">'
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        answer = await made.client.get("/assets/page.js")
        assert (answer.text, answer.headers["content-type"]) == ("1", "text/javascript; charset=utf-8")


async def heard(answer: httpx.Response, count: int) -> list[tuple[str, Any]]:
    """So many events."""
    found: list[tuple[str, Any]] = []
    kind = ""
    async with asyncio.timeout(PATIENCE):
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_events_resume_where_they_ended() -> None:
    async with bench(store(part(1), part(2), max_exchanges=3)) as made:
        kept = made.source.store
        async with made.client.stream("GET", "/api/events", params={"after": str(kept.first + 1)}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            told = await heard(answer, 2)
            assert [(kind, one.get("id")) for kind, one in told] == [("exchange", "0.1.2"), ("status", None)]
        last = kept.sequence
        take(kept, batch_of(part(3), part(4)))
        async with made.client.stream("GET", "/api/events", headers={"Last-Event-ID": str(last)}) as answer:
            told = await heard(answer, 3)
            assert told[0] == ("removed", ["0.1.1"])
            assert [one["id"] for _, one in told[1:]] == ["0.1.3", "0.1.4"]


async def test_events_of_what_changes_and_is_cleared() -> None:
    async with bench(store()) as made, made.client.stream("GET", "/api/events") as answer:
        kept = made.source.store
        lines = answer.aiter_lines()

        async def following(count: int) -> list[str]:
            kinds: list[str] = []
            async with asyncio.timeout(PATIENCE):
                async for line in lines:
                    if line.startswith("event: "):
                        kinds.append(line[7:])
                        if len(kinds) == count:
                            break
            return kinds

        assert await following(1) == ["status"]
        head = Head("http", b"GET", b"/", b"a", [])
        take(kept, batch_of(Part(1, 1.0, head=head)))
        assert await following(1) == ["exchange"]
        take(kept, batch_of(Part(1, 1.0, answered=Answered(0.1, 200, [])), Part(1, 1.0, ended=Ended(0.2, 200))))
        assert await following(1) == ["exchange"], "once for all that came since"
        kept.clear()
        take(kept, batch_of(part(2)))
        assert await following(2) == ["cleared", "exchange"]


@pytest.mark.parametrize("since", ["0", str(2**60)])
async def test_events_after_what_nobody_remembers_begin_anew(since: str) -> None:
    """Another inspector spoke then, or it is too long ago."""
    async with (
        bench(store(part(1))) as made,
        made.client.stream("GET", "/api/events", headers={"Last-Event-ID": since}) as answer,
    ):
        told = await heard(answer, 2)
        assert [kind for kind, _ in told] == ["cleared", "exchange"]


async def test_listeners_are_bounded() -> None:
    async with bench(store()) as made, contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_FEEDS):
            answer = await stack.enter_async_context(made.client.stream("GET", "/api/events"))
            assert answer.status_code == 200
        assert (await made.client.get("/api/events")).status_code == 503
