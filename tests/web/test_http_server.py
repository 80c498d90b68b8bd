"""The front's HTTP, on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from actors.web.http_server import MAX_HEAD_BYTES, HttpConnection, Request


class Echo:
    """Answers with the request's body, or upgrades and echoes."""

    def __init__(self, visitor: HttpConnection, request: Request) -> None:
        self._visitor = visitor
        self._request = request
        self._body = bytearray()
        self.lost = False
        if request.upgrade:
            visitor.send_head(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")])

    def body_received(self, data: bytes) -> None:
        if self._request.upgrade:
            self._visitor.send_body(data)
        else:
            self._body += data

    def body_ended(self) -> None:
        if self._request.upgrade:
            self._visitor.end()
            return
        fields = [(b"X-Target", self._request.target), (b"X-Host", b" ".join(self._request.values(b"host")))]
        if self._request.target == b"/length":
            fields.append((b"Content-Length", b"%d" % len(self._body)))
        self._visitor.send_head(200, fields)
        self._visitor.send_body(bytes(self._body))
        self._visitor.end()

    def visitor_lost(self) -> None:
        self.lost = True

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Late(Echo):
    """Says that an answer is over when it is told to; its length has told the visitor before."""

    ends: ClassVar[list[HttpConnection]] = []

    def body_ended(self) -> None:
        self._visitor.send_head(200, [(b"Content-Length", b"1"), (b"X-Target", self._request.target)])
        self._visitor.send_body(b"a")
        self.ends.append(self._visitor)


@contextlib.asynccontextmanager
async def visit(responder: type[Echo] = Echo) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    served: list[HttpConnection] = []

    def serve() -> HttpConnection:
        served.append(HttpConnection(responder))
        return served[-1]

    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.close()
    for connection in served:
        connection.abort()
    await asyncio.sleep(0)


async def turns() -> None:
    """Let the event loop do all that there is to do."""
    for _ in range(1000):
        await asyncio.sleep(0)


async def exchange(request: bytes, *, half_close: bool = True) -> bytes:
    async with visit() as (reader, writer):
        writer.write(request)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()


async def test_body_is_chunked_or_has_its_length() -> None:
    request = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    assert (await exchange(request % b"/")).endswith(
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert (await exchange(request % b"/length")).endswith(b"Content-Length: 5\r\nConnection: close\r\n\r\nhello")


async def test_http_1_0_gets_neither_chunks_nor_a_second_turn() -> None:
    data = await exchange(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
    assert data.endswith(b"Connection: close\r\n\r\nhello")


async def test_head_has_no_body() -> None:
    data = await exchange(b"HEAD /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert data.endswith(b"\r\n\r\n")


async def test_requests_in_turn_on_one_connection() -> None:
    async with visit() as (reader, writer):
        for number in range(3):
            body = b"x" * number
            writer.write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (number, body))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Content-Length: %d" % number in head
            assert await reader.readexactly(number) == body


async def test_next_request_may_come_before_the_answer_is_said_to_be_over() -> None:
    """Its length was known: the connection was closed then, as if two requests had been sent at once."""
    Late.ends.clear()
    async with asyncio.timeout(10), visit(Late) as (reader, writer):
        for number in range(3):
            for piece in (b"GET /%d HTTP/1.1\r\nHo" % number, b"st: x\r\n\r\n"):
                writer.write(piece)
                await turns()
            if number:
                Late.ends.pop().end()
            assert b"X-Target: /%d" % number in await reader.readuntil(b"\r\n\r\na")


async def test_what_waits_for_its_turn_is_bounded() -> None:
    Late.ends.clear()
    async with asyncio.timeout(10), visit(Late) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\na")
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        writer.write(b"x" * 50_000_000)
        await turns()
        assert writer.transport.get_write_buffer_size() > 20_000_000
        Late.ends.pop().end()  # its turn: now it is taken
        await writer.drain()
        await reader.readuntil(b"\r\n\r\na")


async def test_expect_100_continue_is_answered() -> None:
    async with visit() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")


async def test_upgrade_is_raw_both_ways() -> None:
    data = await exchange(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw \x00 bytes\r\n\r\n"
    )
    assert data.endswith(b"\r\n\r\nraw \x00 bytes\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_bad_requests_are_told_what_is_wrong(request_: bytes) -> None:
    head, _, page = (await exchange(request_)).partition(b"\r\n\r\n")
    assert b" 400 " in head
    assert page.startswith((b"no request in HTTP/1.1: ", b"TLS to a port"))


class Told(Echo):
    """Says when its visitor is lost."""

    lost_ones: ClassVar[list[Request]] = []

    def visitor_lost(self) -> None:
        self.lost_ones.append(self._request)


async def test_whoever_serves_is_told_that_the_rest_of_a_body_makes_no_sense() -> None:
    Told.lost_ones.clear()
    async with visit(Told) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert len(Told.lost_ones) == 1


async def test_connect_is_refused() -> None:
    assert b" 405 " in await exchange(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nraw")


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
)
async def test_offer_of_another_protocol_is_declined(rest: bytes) -> None:
    """`curl --http2` makes one with every request, and takes the answer in HTTP/1.1."""
    one = b"POST /length HTTP/1.1\r\nHost: x\r\n" + H2C + rest
    async with visit() as (reader, writer):
        for _ in range(2):
            for part in (one[:50], one[50:-8], one[-8:]):
                writer.write(part)
                await writer.drain()
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(5) == b"hello"


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://a.localhost:1/p?q", b"/p?q", b"a.localhost:1"),
        (b"GET HTTPS://a.localhost?q", b"/?q", b"a.localhost"),
        (b"GET http://a.localhost", b"/", b"a.localhost"),
        (b"OPTIONS http://a.localhost", b"*", b"a.localhost"),
        (b"OPTIONS *", b"*", b"x"),
        ("GET /caf\u00e9".encode(), b"/caf%C3%A9", b"x"),
        (b"GET /\xff", b"/%FF", b"x"),
        (b"GET /http://a/", b"/http://a/", b"x"),
    ],
)
async def test_targets_of_every_form(line: bytes, target: bytes, host: bytes) -> None:
    data = await exchange(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"X-Target: %b\r\nX-Host: %b\r\n" % (target, host) in data


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nX: ", b"GET /"])
async def test_head_without_end_is_refused(begin: bytes) -> None:
    assert b" 431 " in await exchange(begin + b"a" * MAX_HEAD_BYTES)
