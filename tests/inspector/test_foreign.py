"""The forms of others: ngrok's agent API, and HTTP Archive."""

import asyncio
import base64
import json
from typing import Any

import pytest

from actors.bus.addresses import HostPort
from actors.bus.inspection import Answered, Ended
from actors.inspector import har, ngrok, raw
from actors.inspector.api import Api, Rules
from actors.inspector.door import Door
from actors.inspector.foreign import Foreign
from actors.inspector.masks import Masks
from actors.web.http_server import phrase
from actors.web.pages import Answer, Asked
from tests.inspector.test_api import SECRET, TOKEN, Source, bench
from tests.kit.seen import MASKS, batch_of, part, recorded, store, take


async def test_tunnels() -> None:
    async with bench(store(part(1))) as made:
        told = await made.get("/api/tunnels")
        assert (told["uri"], len(told["tunnels"])) == ("/api/tunnels", 2)
        first = told["tunnels"][0]
        assert (first["name"], first["public_url"], first["proto"]) == ("command_line", "https://a.example", "https")
        assert first["config"] == {"addr": "http://127.0.0.1:8080", "inspect": True}
        assert first["metrics"]["http"]["count"] == 1
        assert await made.get(first["uri"]) == first
        answer = await made.client.get("/api/tunnels/other")
        assert (answer.status_code, answer.json()["status_code"]) == (404, 404)
        assert (await made.trusted.post("/api/tunnels", json={"addr": 80})).status_code == 501
        assert (await made.trusted.delete("/api/tunnels/command_line")).status_code == 501


async def test_requests() -> None:
    kept = store(*(part(number, "POST", "/x", fields=SECRET, body=b"in", answer=b"out") for number in range(1, 60)))
    async with bench(kept) as made:
        assert len((await made.get("/api/requests/http"))["requests"]) == 50
        assert len((await made.get("/api/requests/http", limit="3", tunnel_name="command_line"))["requests"]) == 3
        assert (await made.get("/api/requests/http", tunnel_name="other"))["requests"] == []
        assert (await made.client.get("/api/requests/http?limit=x")).status_code == 400
        one = await made.get("/api/requests/http/0.1.59")
        assert one == (await made.get("/api/requests/http", limit="1"))["requests"][0]
        assert (one["uri"], one["tunnel_name"]) == ("/api/requests/http/0.1.59", "command_line")
        assert (one["start"], one["duration"]) == ("2023-11-14T22:14:19Z", 20_000_000)
        asked, answered = base64.b64decode(one["request"]["raw"]), base64.b64decode(one["response"]["raw"])
        assert asked == b"POST /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: [masked]\r\nA: b\r\n\r\nin"
        assert answered == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nout"
        assert one["request"]["headers"] == {"Host": ["a.example"], "Authorization": ["[masked]"], "A": ["b"]}
        assert (one["response"]["status"], one["response"]["status_code"]) == ("200 OK", 200)
        assert (await made.client.get("/api/requests/http/none")).status_code == 404


async def test_replay_and_clearing() -> None:
    async with bench(store(part(1))) as made:
        assert (await made.client.post("/api/requests/http", json={"id": "0.1.1"})).status_code == 403
        wish = {"id": "0.1.1", "tunnel_name": "command_line"}
        assert (await made.trusted.post("/api/requests/http", json=wish)).status_code == 204
        assert [name for name, _ in made.source.replayed] == ["0.1.1"]
        assert (await made.trusted.post("/api/requests/http", json={"id": "none"})).status_code == 404
        assert (await made.trusted.post("/api/requests/http", content=b"{")).status_code == 400
        assert (await made.trusted.delete("/api/requests/http")).status_code == 204
        assert (await made.get("/api/requests/http"))["requests"] == []


def test_addresses_of_origins() -> None:
    for origin, address in (
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("https://a.test:443", "https://a.test:443"),
        ("unix:/run/x", "unix:/run/x"),
        ("", ""),
    ):
        assert ngrok.tunnels(["https://a"], origin, 0)[0]["config"]["addr"] == address


def test_heads_as_bytes() -> None:
    entry = recorded(fields=[(b"Host", b"b.example"), (b"Cookie", b"a")], answered=None, ended=Ended(0.1))
    head = b"GET / HTTP/1.1\r\nHost: b.example\r\nCookie: a\r\n\r\n"
    assert raw.request_head(entry, MASKS, unmasked=True) == head
    assert raw.response_head(entry, MASKS, unmasked=True) == b""
    assert phrase(799) == ""


def entries(made: dict[str, Any]) -> list[dict[str, Any]]:
    return list(made["log"]["entries"])


async def test_archive_is_masked_until_asked() -> None:
    async with bench(store(part(1, fields=SECRET), part(2))) as made:
        answer = await made.client.get("/api/har")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "s3cret" not in answer.text
        assert len(entries(answer.json())) == 2
        assert (await made.client.get("/api/har?unmasked=1")).status_code == 403
        assert "s3cret" in (await made.client.get(f"/api/har?unmasked=1&token={TOKEN}")).text


def test_archive_has_bodies_cookies_and_times() -> None:
    fields = [(b"Cookie", b"a=1; b=2"), (b"Content-Type", b"application/json")]
    kept = store(
        part(
            1,
            "POST",
            "/x?q=1&e=",
            fields=fields,
            body=b"{}",
            answer=b"\xff",
            answer_fields=[(b"Set-Cookie", b"c=3; Path=/")],
        ),
        part(2, answered=None, reached=None, ended=Ended(0.5, 502, "r", "refused")),
    )
    first, second = [har.entry_of(each, MASKS, unmasked=True) for each in kept.oldest()]
    asked = first["request"]
    assert asked["url"] == "https://a.example/x?q=1&e="
    assert asked["queryString"] == [{"name": "q", "value": "1"}, {"name": "e", "value": ""}]
    assert asked["postData"] == {"mimeType": "application/json", "text": "{}"}
    assert asked["cookies"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert first["response"]["cookies"] == [{"name": "c", "value": "3"}]
    assert first["response"]["content"]["encoding"] == "base64"
    assert first["startedDateTime"] == "2023-11-14T22:13:21.000Z"
    assert first["timings"]["wait"] == 9.0
    assert (second["response"]["status"], second["comment"]) == (502, "refused")
    masked, _ = [har.entry_of(each, Masks(), unmasked=False) for each in kept.oldest()]
    assert masked["request"]["cookies"] == []


def test_archive_of_what_is_unusual() -> None:
    kept = store(
        part(
            1,
            answered=Answered(0.1, 101, []),
            raw=[(0.2, False, b"\x81\x02hi"), (0.3, False, b"\x82\x01\x00")],
            answer=b"",
        ),
        part(2, request=[b"a"], request_bytes=9, replay_of="0.1.1"),
        part(3, answered=None, ended=None),
    )
    first, second, third = [har.entry_of(each, MASKS, unmasked=False) for each in kept.oldest()]
    assert [(each["opcode"], each["data"], each["type"]) for each in first["_webSocketMessages"]] == [
        (1, "hi", "receive"),
        (2, "AA==", "receive"),
    ]
    assert second["comment"] == "replay of 0.1.1; bodies were cut off where --inspect-body ends"
    assert (third["response"]["status"], third["time"]) == (0, 0.0)


def test_archive_of_what_has_very_many_parts() -> None:
    """What a visitor sends as two bytes must not be thirty here."""
    cookies = [(b"Cookie", b"a;" * 20_000)]
    entry = har.entry_of(recorded(target="/?" + "a&" * 20_000, fields=cookies), MASKS, unmasked=True)
    assert len(entry["request"]["queryString"]) == len(entry["request"]["cookies"]) == har.MAX_PAIRS
    assert entry["request"]["url"].endswith("a&a&")


async def asked_of(source: Source, path: str, query: str) -> Answer:
    """What is answered, without a socket between."""
    rules = Rules(Door(HostPort("127.0.0.1", 4040), token=TOKEN), MASKS, TOKEN)
    api = Api(source, rules)
    (route,) = [each for each in (*api.routes(), *Foreign(source, rules, api).routes()) if each[:2] == ("GET", path)]
    return await route.handler(Asked("GET", path, {}, b"", query))


async def test_what_comes_while_a_list_is_made_is_told_to_whoever_follows() -> None:
    source = Source(store(*(part(number) for number in range(1, 100))))
    async with asyncio.TaskGroup() as group:
        listed = group.create_task(asked_of(source, "/api/exchanges", "limit=1000"))
        await asyncio.sleep(0)
        take(source.store, batch_of(part(100)))
    told = json.loads(listed.result().body)
    assert "0.1.100" not in [one["id"] for one in told["exchanges"]]
    assert [each.id for each in source.store.changed_since(told["sequence"])] == ["0.1.100"]


@pytest.mark.parametrize(
    ("path", "query"), [("/api/har", ""), ("/api/requests/http", "limit=300"), ("/api/exchanges", "text=not-there")]
)
async def test_others_have_their_turns_while_all_is_told(path: str, query: str) -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    source = Source(store(*(part(number) for number in range(1, 301))))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(another())
        assert (await asked_of(source, path, query)).status == 200
        running.cancel()
    assert turns >= 300
