"""Requests as HTTP/2 visitors, browsers and scripts send them: bodies that nothing announced, heads at the limits."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from actors.errors import EdgeProtocolError
from actors.exchange.http1 import MAX_TARGET_BYTES
from actors.wire.connect import (
    ConnectionType,
    ConnectRequest,
    ConnectResponse,
    HeadReader,
    encode_request,
)
from tests.kit.origins import answer, read_head, scripted
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what it got: the head as it came, and the body without its framing."""
    while True:
        head = await read_head(reader)
        lowered = head.lower()
        body = b""
        if b"content-length: " in lowered:
            body = await reader.readexactly(int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0]))
        elif b"transfer-encoding: chunked" in lowered:
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        said = json.dumps({"head": head.decode("latin-1"), "body": body.decode("latin-1")}).encode()
        writer.write(answer(b"" if head.startswith(b"HEAD") else said))


async def asked(made: Tunnel, method: str, *fields: tuple[str, str], **options: Any) -> tuple[ConnectResponse, str]:
    """What a stream of the edge with such a request gets: the head of the answer, and the body."""
    metadata = [("HttpMethod", method), ("HttpHost", made.host), *((f"HttpHeader:{k}", v) for k, v in fields)]
    request = {"dest": f"https://{made.host}/x", "metadata": metadata} | options
    got = await made.open_stream(**request)
    reader = HeadReader()
    head = reader.feed_response(bytes.fromhex(got["data"]))
    if head is None:
        raise EdgeProtocolError(f"no answer: {got}")
    return head, reader.rest.decode()


def status_of(head: ConnectResponse) -> int:
    return int(dict(head.metadata)["HttpStatus"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "GET", "OPTIONS"])
async def test_body_that_nothing_announced_arrives(state: Path, method: str) -> None:
    """The edge sends such streams for visitors of HTTP/2 who said no length."""
    async with scripted(echo) as port, tunnel(port, state) as made:
        head, said = await asked(made, method, body="hello world")
        seen = json.loads(said)
        assert status_of(head) == 200
        assert seen["body"] == "hello world"
        assert "\r\nTransfer-Encoding: chunked\r\n" in seen["head"]
        assert "content-length" not in seen["head"].lower()


async def test_request_without_a_body_says_so_where_origins_expect_it(state: Path) -> None:
    async with scripted(echo) as port, tunnel(port, state) as made:
        for method in ("POST", "PUT", "PATCH"):
            _, said = await asked(made, method)
            assert "\r\nContent-Length: 0\r\n" in json.loads(said)["head"], method
        for method in ("GET", "DELETE", "MKCOL", "OPTIONS"):
            _, said = await asked(made, method)
            seen = json.loads(said)["head"].lower()
            assert "content-length" not in seen, method
            assert "transfer-encoding" not in seen, method


@pytest.mark.quic_only("a head of HTTP/2 without an end says that a body follows")
async def test_get_does_not_wait_for_the_end_of_its_stream(state: Path) -> None:
    """Nobody knows whether every edge sends FIN with the head of a GET: it is answered all the same."""
    async with scripted(echo) as port, tunnel(port, state) as made:
        for method in ("GET", "HEAD", "OPTIONS"):
            head, _ = await asked(made, method, fin=False)
            assert status_of(head) == 200


async def test_upload_that_begins_late_is_not_held_back_for_ever(state: Path) -> None:
    """An origin may answer before a body comes: its head arrives, without the end of a body."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer(b"no", "401 Unauthorized"))

    async with scripted(serve) as port, tunnel(port, state) as made:
        head, said = await asked(made, "POST", fin=False)
    assert (status_of(head), said) == (401, "no")
    assert b"Transfer-Encoding: chunked" in heads[0]


@pytest.mark.quic_only("requests of HTTP/2 have no field Upgrade")
async def test_websocket_that_the_edge_takes_for_http_is_upgraded(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw")
        writer.write(await reader.readexactly(4))

    async with scripted(serve) as port, tunnel(port, state) as made:
        fields = [("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        head, said = await asked(made, "GET", *fields, body="ping")
    assert status_of(head) == 101
    assert said == "rawping"


async def test_heads_as_large_as_the_edge_takes_them_go_all_the_way(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := await reader.read(65536)):
                return
            head += data
        writer.write(answer(f"{len(head)} {head.count(b'X-')}".encode(), Connection="close"))

    async with scripted(serve) as port, tunnel(port, state) as made:
        target = "/" + "a" * (MAX_TARGET_BYTES - 1)
        answered = await made.visitor.get(target, headers={"X-Large": "a" * 120 * 1024})
        assert answered.status_code == 200
        assert int(answered.text.split()[0]) > 150 * 1024
        many = [(f"X-{number}", "1") for number in range(980)]
        assert int((await made.visitor.get("/", headers=many)).text.split()[1]) >= 980
        assert (await made.visitor.get(target + "a")).status_code == 414
        too_many = [*many, *((f"Y-{number}", "1") for number in range(100))]
        assert (await made.visitor.get("/", headers=too_many)).status_code == 431


async def test_twins_pass(state: Path) -> None:
    async with scripted(echo) as port, tunnel(port, state) as made:
        twins = json.loads((await made.visitor.get("/", headers={"X_A": "1", "X-A": "2"})).text)
        assert "x_a: 1\r\nx-a: 2\r\n" in twins["head"].lower()  # HTTP/2 has no capitals


@pytest.mark.quic_only("its streams have no raw bytes")
async def test_raw_bytes_in_a_target_are_percent_encoded(state: Path) -> None:
    async with scripted(echo) as port, tunnel(port, state) as made:
        metadata = (("HttpMethod", b"GET"), ("HttpHost", made.host.encode()))
        request = ConnectRequest("https://h/caf\u00e9?q=\udcff", ConnectionType.HTTP, metadata)
        head, said = await asked(made, "GET", raw=encode_request(request).hex())
        assert status_of(head) == 200
        assert json.loads(said)["head"].startswith("GET /caf%C3%A9?q=%FF HTTP/1.1\r\n")


async def test_refused_request_is_logged_with_its_method_and_head_gets_no_body(state: Path) -> None:
    async with scripted(echo) as port, tunnel(port, state, "--log-requests") as made:
        bad = [("X", "a\x01b"), ("Cf-Connecting-Ip", "203.0.113.9")]
        head, said = await asked(made, "HEAD", *bad)
        assert (status_of(head), said) == (400, "")
        head, said = await asked(made, "POST", *bad)
        assert status_of(head) == 400
        assert "control character" in said
        lines = [json.loads(line) for line in made.process.stderr if '"event": "request"' in line]
        assert [(line["method"], line["status"], line["reason"]) for line in lines] == [
            ("HEAD", 400, "bad_request"),
            ("POST", 400, "bad_request"),
        ]
        assert lines[0]["visitor"] == "203.0.113.9"
        warnings = [line for line in made.process.stderr if "did not get the origin's answer" in line]
        assert len(warnings) == 1
