"""Requests through the tunnel to real origins: whole, streamed, equal."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.kit.origins import (
    BLOCK,
    answer,
    http_server_origin,
    nginx_origin,
    pattern_hash,
    read_head,
    scripted,
    uvicorn_origin,
)
from tests.kit.processes import PATIENCE
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow

BIG = 60 * 1000 * 1000
"""Bytes: far more than any buffer on the way; a pure-Python QUIC on both ends needs some ten seconds for it."""


async def blocks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // len(BLOCK)):
        yield BLOCK
    yield BLOCK[: size % len(BLOCK)]


async def download_hash(made: Tunnel, path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    async with made.visitor.stream("GET", path) as response:
        assert response.status_code == 200
        async for part in response.aiter_raw():
            digest.update(part)
            size += len(part)
    return size, digest.hexdigest()


async def test_uvicorn_large_down_and_up_and_many_at_once(state: Path) -> None:
    async with uvicorn_origin() as port, tunnel(port, state, connections=2) as made:
        assert await download_hash(made, f"/down/{BIG}") == (BIG, pattern_hash(BIG))
        upload = await made.visitor.post("/up", content=blocks(BIG), headers={"Content-Length": str(BIG)})
        assert upload.json() == {"size": BIG, "sha256": pattern_hash(BIG)}
        chunked = await made.visitor.post("/up", content=blocks(1_000_000))
        assert chunked.json() == {"size": 1_000_000, "sha256": pattern_hash(1_000_000)}

        limit = asyncio.Semaphore(32)

        async def one(number: int) -> None:
            body = os.urandom(number)
            async with limit:
                response = await made.visitor.post("/up", content=body)
            assert response.json() == {"size": number, "sha256": hashlib.sha256(body).hexdigest()}

        await asyncio.gather(*(one(number) for number in range(1000)))

        events = (await made.visitor.get("/sse")).text
        assert events == "data: 1\n\ndata: 2\n\ndata: 3\n\n"
        sent = BIG + 1_000_000 + sum(range(1000))
        assert (await made.totals())["bytes_in"] == sent
        await made.process.stop()
        stopped = await made.process.event("stopped")
        assert stopped["totals"]["bytes_in"] == sent
        assert stopped["totals"]["streams"] == 1004


async def test_counts_equal_the_origin_s_and_the_edge_s_own(state: Path) -> None:
    received = sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received, sent
        head = await read_head(reader)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        upload = await reader.readexactly(length)
        received += len(upload)
        body = os.urandom(length // 2)
        sent += len(body)
        writer.write(answer(body))

    async with scripted(serve) as port, tunnel(port, state, connections=3) as made:
        sizes = [1, 10, 100_000, 1_000_000, 77_777] * 4
        await asyncio.gather(*(made.visitor.post("/", content=os.urandom(size)) for size in sizes))
        edge = await made.totals()
        await made.process.stop()
        stopped = await made.process.event("stopped")
    assert stopped["totals"] == edge == {"streams": len(sizes), "bytes_in": received, "bytes_out": sent}
    assert received == sum(sizes)


async def test_nginx_large_down_and_up(state: Path, tmp_path: Path) -> None:
    www = tmp_path / "www"
    (www / "up").mkdir(parents=True)
    (www / "big").write_bytes(BLOCK * (BIG // len(BLOCK)))
    size = BIG // len(BLOCK) * len(BLOCK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with nginx_origin(tmp_path, port), tunnel(port, state) as made:
        assert await download_hash(made, "/big") == (size, pattern_hash(size))
        length = {"Content-Length": str(BIG)}
        created = await made.visitor.put("/up/file", content=blocks(BIG), headers=length)
        assert created.status_code == 201
        assert hashlib.sha256((www / "up" / "file").read_bytes()).hexdigest() == pattern_hash(BIG)
        assert (await made.visitor.get("/nothing")).status_code == 404


async def test_http_server_which_closes_after_each_answer(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "big").write_bytes(BLOCK * (BIG // len(BLOCK)))
    size = BIG // len(BLOCK) * len(BLOCK)
    async with http_server_origin(folder) as port, tunnel(port, state) as made:
        assert await download_hash(made, "/big") == (size, pattern_hash(size))
        head = await made.visitor.head("/big")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


async def test_websocket_echo_of_large_messages(state: Path) -> None:
    async with (
        uvicorn_origin() as port,
        tunnel(port, state) as made,
        made.socket(max_size=None, compression=None) as socket_,
    ):
        for size in (0, 1, 125, 126, 65535, 65536, 2**20):
            message = os.urandom(size)
            await socket_.send(message)
            assert await socket_.recv() == message
        await socket_.send("text ✓")
        assert await socket_.recv() == "text ✓"


async def test_host_and_headers_arrive_as_the_visitor_sent_them(state: Path, request: pytest.FixtureRequest) -> None:
    # The edge that others wrote says of itself what Cloudflare's says.
    scheme = "https" if request.config.getoption("--edge") == "foreign" else "http"
    async with uvicorn_origin() as port, tunnel(port, state) as made:
        seen = (await made.visitor.get("/headers?q=%2F&q=a%20b", headers={"X-Mine": "1"})).json()
    fields = dict(seen["fields"])
    assert fields["host"] == made.host
    assert fields["x-mine"] == "1"
    assert (fields["x-forwarded-proto"], fields["cf-visitor"]) == (scheme, f'{{"scheme":"{scheme}"}}'), (
        "as the visitor came"
    )
    assert fields["cf-connecting-ip"] == "127.0.0.1"
    assert "upgrade" not in fields


async def _exchange(made: Tunnel, request: bytes) -> bytes:
    """Raw bytes to the front; what comes back until it closes."""
    host, port = made.edge["http"].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace(b"HOST", made.host.encode()))
    async with asyncio.timeout(PATIENCE):
        data = await reader.read()
    writer.close()
    return data


async def test_framing_of_responses(state: Path) -> None:
    """Chunked, until close, no body at all, interim responses: the visitor sees what the origin meant."""
    responses = {
        b"/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
        b"/close": b"HTTP/1.0 200 OK\r\n\r\nabcde",
        b"/length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdeEXTRA",
        b"/none": b"HTTP/1.1 204 No Content\r\n\r\n",
        b"/same": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"/hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        writer.write(responses[head.split(b" ")[1]])

    async with scripted(serve) as port, tunnel(port, state) as made:
        for path in responses:
            response = await made.visitor.get(path.decode())
            assert response.content == (b"" if path in (b"/none", b"/same") else b"abcde"), path
            assert response.status_code == {b"/none": 204, b"/same": 304}.get(path, 200)
            assert "transfer-encoding" not in response.headers or "content-length" not in response.headers
            if path != b"/same":
                head = await made.visitor.head(path.decode())
                assert head.content == b""


async def test_body_that_breaks_off_is_no_whole_answer(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_head(reader)).split(b" ")[1]
        if path == b"/length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        elif path == b"/chunked":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")

    async with scripted(serve) as port, tunnel(port, state) as made:
        for path in ("/length", "/chunked"):
            # A reset may overtake what was sent before it (RFC 9000 section 3.2): then the edge has no answer.
            with contextlib.suppress(httpx.RemoteProtocolError):
                assert (await made.visitor.get(path)).status_code == 502
            answered = await made.open_stream(
                dest=f"https://x{path}", metadata=[["HttpMethod", "GET"], ["HttpHost", "x"]]
            )
            assert answered["ended"] == "reset"


@pytest.mark.parametrize(
    "response", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 101 no\r\n\r\n"]
)
async def test_origin_that_speaks_no_http_is_a_502(state: Path, response: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response)

    async with scripted(serve) as port, tunnel(port, state) as made:
        answered = await made.visitor.get("/")
        assert answered.status_code == 502
        assert "origin" in answered.text


async def test_expect_100_continue(state: Path) -> None:
    """The origin's 100 is not taken for the answer, and one that refuses is heard."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"/refuse" in head:
            writer.write(answer(b"too much", "417 Expectation Failed"))
            return
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(answer(b"got " + await reader.readexactly(5)))

    async with scripted(serve) as port, tunnel(port, state) as made:
        request = (
            b"POST /%s HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
            b"Connection: close\r\n\r\nhello"
        )
        assert b"200 OK" in (data := await _exchange(made, request % b"take"))
        assert data.endswith(b"got hello")
        assert b"417 " in await _exchange(made, request % b"refuse")


async def test_requests_that_could_be_read_in_two_ways_never_reach_the_origin(
    state: Path, request: pytest.FixtureRequest
) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(answer(b"ok"))

    rows = [("HttpHeader:X", "a\r\nGET /evil HTTP/1.1"), ("HttpHeader:Content-Length", "5, 5")]
    if request.config.getoption("--protocol") != "http2":  # which has no place for these
        rows += [("HttpHeader:Transfer-Encoding", "xchunked"), ("HttpHost", "other")]
    async with scripted(serve) as port, tunnel(port, state) as made:
        for name, value in rows:
            answered = await made.open_stream(
                dest="https://x/", metadata=[["HttpMethod", "GET"], ["HttpHost", "x"], [name, value]]
            )
            assert b"400" in bytes.fromhex(answered["data"]), name
        assert seen == []
        assert (await made.visitor.get("/")).text == "ok"


@pytest.mark.quic_only("streams of HTTP/2 have no signature")
async def test_streams_that_are_nothing_known_never_reach_the_origin(state: Path) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(answer(b"ok"))

    async with scripted(serve) as port, tunnel(port, state) as made:
        for raw in ("00" * 8, "0a36cd12a13e3032", "0a36cd12a13e3031ffffffff"):
            answered = await made.open_stream(raw=raw)
            assert answered["ended"] == "reset"
            assert answered["data"] == ""
        assert seen == []
        assert (await made.visitor.get("/")).text == "ok"


async def test_visitor_that_leaves_ends_the_origin_s_side(state: Path) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        await reader.read()
        gone.set()

    async with scripted(serve) as port, tunnel(port, state) as made:
        async with made.visitor.stream("GET", "/") as response:
            async for part in response.aiter_raw():
                assert part == b"first"
                break
        async with asyncio.timeout(PATIENCE):
            await gone.wait()


async def test_slow_visitor_holds_the_origin_back(state: Path) -> None:
    """A response that nobody reads stops at its source, and does not gather anywhere."""
    written = 0
    stalled = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(BLOCK)
            try:
                async with asyncio.timeout(1.0):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
                return
            written += len(BLOCK)

    async with scripted(serve) as port, tunnel(port, state) as made:
        async with made.visitor.stream("GET", "/"), asyncio.timeout(PATIENCE):
            await stalled.wait()
        assert written < 32 * 2**20


@pytest.mark.quic_only("there are no calls of the edge over HTTP/2 but configurations")
async def test_edge_s_calls_get_well_formed_answers(state: Path) -> None:
    async with tunnel(None, state) as made:
        connection = (await made.connections())[0]["id"]

        async def call(method: str, **params: object) -> dict[str, dict[str, object]]:
            response = await made.admin.post(
                f"/connections/{connection}/call", json={"method": method, "params": params}
            )
            assert response.status_code == 200, response.text
            return dict(response.json())

        assert "locally" in str((await call("updateConfiguration", version=3, config="7b7d"))["result"]["err"])
        session = await call("registerUdpSession", sessionId="00" * 16, dstIp="7f000001", dstPort=53)
        assert "UDP" in str(session["result"]["err"])
        assert await call("unregisterUdpSession", sessionId="00" * 16, message="bye") == {}
        assert (await made.totals())["streams"] == 0


async def test_tcp_type_is_a_raw_tunnel(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"banner ")
        writer.write((await reader.read()).upper())

    async with scripted(serve) as port, tunnel(port, state) as made:
        for _ in range(20):  # what the origin says first may come before anybody listens
            answered = await made.open_stream(dest="tcp://x", type="tcp", body="hello", fin=True)
            assert answered["ended"] == "fin"
            assert bytes.fromhex(answered["data"]).endswith(b"banner HELLO")


async def test_origin_that_closes_without_a_word(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with scripted(serve) as port, tunnel(port, state) as made:
        for _ in range(40):  # it may have closed before anybody listens
            answered = await made.open_stream(dest="tcp://x", type="tcp", body="", fin=True)
            assert answered["ended"] == "fin"
            refused = await made.visitor.get("/")
            assert refused.status_code == 502
