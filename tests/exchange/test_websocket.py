"""WebSockets of which we are the server: frames in and out, before real services, and before what is no WebSocket."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from actors.bus.routes import Destination, Route, Routes, Tcp
from actors.exchange import websocket
from actors.exchange.exchange import HALF_CLOSED_TIMEOUT, Exchange
from actors.exchange.http1 import accepted_websocket
from actors.exchange.request import Field, Kind, Request
from tests.exchange.test_exchange_faults import Visitor
from tests.exchange.test_router import Place, place
from tests.kit.origins import scripted
from tests.kit.processes import PATIENCE

KEY = (b"Sec-Websocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Client(Visitor):
    """A visitor who speaks WebSocket, as bytes on an exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = Connection(ConnectionType.CLIENT)
        self.fields: list[Field] = []
        self.credit = 0
        self.events: list[Event] = []
        self.changed = asyncio.Event()
        self.has_ended = False
        self.error = ""
        self.exchange: Exchange

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        self.fields = list(fields)
        super().respond(status, fields, body, fin=fin)

    def refuse(self, message: str) -> None:
        self.error = message

    def write(self, data: bytes, *, fin: bool = False) -> None:
        super().write(data, fin=fin)
        if self.status == 101 and data:
            self.frames.receive_data(data)
            self.events += self.frames.events()
        self.has_ended = self.has_ended or fin
        self.changed.set()

    def reset(self) -> None:
        super().reset()
        self.changed.set()

    def consumed(self, count: int) -> None:
        self.credit += count

    def say(self, *events: Event) -> None:
        self.exchange.data_received(b"".join(self.frames.send(event) for event in events))

    @property
    def data(self) -> bytes:
        return b"".join(bytes(event.data) for event in self.events if isinstance(event, BytesMessage))

    @property
    def close_code(self) -> int | None:
        return next((int(event.code) for event in self.events if isinstance(event, CloseConnection)), None)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


async def opened(made: Place, request: Request | None = None, early: bytes = b"") -> Client:
    """A WebSocket by way of the router; it has been answered, one way or another."""
    client = Client()
    asked = request or Request(Kind.WEBSOCKET, b"GET", b"/", b"a.example", (KEY,))
    client.exchange = made.exchanges.open(client, asked)
    client.exchange.start(early)
    await client.until(lambda: client.status is not None)
    return client


def tcp(port: int, host: str = "127.0.0.1") -> Tcp:
    return Tcp(host, port, f"tcp://{host}:{port}")


@contextlib.asynccontextmanager
async def carrying(destination: Destination) -> AsyncIterator[Place]:
    async with place() as (made, _):
        made.router.replace(Routes((Route(destination),)))
        try:
            yield made
        finally:
            for exchange in list(made.exchanges._running):
                exchange.reset_received()
            async with asyncio.timeout(PATIENCE):
                await made.exchanges.idle()


@contextlib.asynccontextmanager
async def service(serve: Serve) -> AsyncIterator[Place]:
    async with scripted(serve) as port, carrying(tcp(port)) as made:
        yield made


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_it_is_accepted_as_the_standard_has_it() -> None:
    async with service(echo) as made:
        client = await opened(made)
        assert client.status == 101
        assert dict(client.fields) == {
            b"Connection": b"Upgrade",
            b"Upgrade": b"websocket",
            b"Sec-WebSocket-Accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        }


async def test_without_a_key_it_is_accepted_without_fields() -> None:
    async with service(echo) as made:
        client = await opened(made, Request(Kind.WEBSOCKET, b"GET", b"/", b"a.example", ()))
        assert (client.status, client.fields) == (101, [])
        client.say(BytesMessage(b"hello"))
        await client.until(lambda: client.data == b"hello")


def test_key_in_any_case() -> None:
    request = Request(Kind.WEBSOCKET, b"GET", b"/", b"x", ((b"sec-websocket-key", b" dGhlIHNhbXBsZSBub25jZQ== "),))
    assert (b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") in accepted_websocket(request)


async def test_upgrade_that_comes_as_plain_http() -> None:
    fields = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), KEY)
    async with service(echo) as made:
        client = await opened(made, Request(Kind.HTTP, b"GET", b"/", b"a.example", fields))
        assert client.status == 101


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
async def test_browser_is_told_what_is_there_and_the_service_never_hears_of_it(method: bytes) -> None:
    async with service(echo) as made:
        client = await opened(made, Request(Kind.HTTP, method, b"/", b"a.example", ()))
        assert client.status == 426


async def test_whatever_is_in_frames_arrives_as_bytes_and_comes_back_so() -> None:
    async with service(echo) as made:
        client = await opened(made, early=Connection(ConnectionType.CLIENT).send(BytesMessage(b"early ")))
        client.say(BytesMessage(b"a" * 70_000, message_finished=False), BytesMessage(b"b"), TextMessage("ä"))
        sent = b"early " + b"a" * 70_000 + b"b" + "ä".encode()
        await client.until(lambda: len(client.data) == len(sent))
        assert client.data == sent


async def test_frames_in_single_bytes() -> None:
    async with service(echo) as made:
        client = await opened(made)
        for byte in client.frames.send(BytesMessage(b"x" * 300)):
            client.exchange.data_received(bytes((byte,)))
        await client.until(lambda: client.data == b"x" * 300)


async def test_ping_is_answered_and_pong_is_not() -> None:
    async with service(echo) as made:
        client = await opened(made)
        client.say(Ping(b"1"), Pong(b"2"), Ping(b"3"))
        await client.until(lambda: len(client.events) == 2)
        assert [event.payload for event in client.events if isinstance(event, Pong)] == [b"1", b"3"]


async def test_flood_of_pings_by_who_does_not_read_is_answered_once() -> None:
    async with service(echo) as made:
        client = await opened(made)
        client.exchange.pause_writing()
        for number in range(1000):
            client.say(Ping(b"%d" % number))
        assert client.events == []
        client.exchange.resume_writing()
        assert [event.payload for event in client.events if isinstance(event, Pong)] == [b"999"]


async def test_quiet_one_is_kept_alive_by_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_INTERVAL", 0.001)
    async with service(echo) as made:
        client = await opened(made)
        await client.until(lambda: sum(isinstance(event, Ping) for event in client.events) > 2)


async def test_service_that_ends_closes_the_websocket() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async with service(serve) as made:
        client = await opened(made)
        await client.until(lambda: client.has_ended)
        assert (client.data, client.close_code) == (b"bye", 1000)
        client.exchange.eof_received()
        async with asyncio.timeout(PATIENCE):
            await made.exchanges.idle()
        assert not client.was_reset


async def test_service_that_breaks_off_is_told_apart_from_one_that_ends() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
        writer.transport.abort()

    async with service(serve) as made:
        client = await opened(made)
        client.say(BytesMessage(b"x"))
        await client.until(lambda: client.has_ended)
        assert client.close_code == 1011


async def test_close_of_the_visitor_lets_the_service_read_to_its_end() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())

    async with service(serve) as made:
        client = await opened(made)
        client.say(BytesMessage(b"all of it"), CloseConnection(1000))
        async with asyncio.timeout(PATIENCE):
            assert await heard == b"all of it"
        await client.until(lambda: client.has_ended)
        assert client.close_code == 1000


async def test_service_that_does_not_end_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSING_TIMEOUT", 0.01)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with service(serve) as made:
        client = await opened(made)
        client.say(CloseConnection(1000))
        await client.until(lambda: client.has_ended)
        assert client.close_code == 1000


async def test_end_without_a_close_is_passed_on_as_such() -> None:
    """Half-closed: what the service says afterwards still arrives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard: " + await reader.read())

    async with service(serve) as made:
        client = await opened(made)
        client.say(BytesMessage(b"x"))
        client.exchange.eof_received()
        await client.until(lambda: client.has_ended)
        assert (client.data, client.close_code) == (b"heard: x", 1000)


async def test_service_that_does_not_read_stops_the_visitor() -> None:
    reads = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reads.wait()
        size = 0
        while data := await reader.read(1 << 20):
            size += len(data)
        writer.write(b"%d" % size)

    async with service(serve) as made:
        client = await opened(made)
        sent = framed = 0
        while client.credit == framed:
            assert sent < 100 << 20, "nothing stops it"
            data = client.frames.send(BytesMessage(bytes(1 << 16)))
            sent, framed = sent + (1 << 16), framed + len(data)
            client.exchange.data_received(data)
            await asyncio.sleep(0)
        reads.set()
        client.exchange.eof_received()
        await client.until(lambda: client.has_ended)
        assert client.data == b"%d" % sent
        assert client.credit == framed


async def test_visitor_who_does_not_read_stops_the_service() -> None:
    stopped = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(1 << 16))
            try:
                async with asyncio.timeout(0.2):
                    await writer.drain()
            except TimeoutError:
                break
        stopped.set()
        await writer.drain()

    async with service(serve) as made:
        client = await opened(made)
        client.exchange.pause_writing()
        async with asyncio.timeout(PATIENCE):
            await stopped.wait()
        before = len(client.data)
        client.exchange.resume_writing()
        await client.until(lambda: len(client.data) > before)


@pytest.mark.parametrize("kind", [Kind.WEBSOCKET, Kind.TCP])
async def test_nobody_there(unused_tcp_port: int, kind: Kind) -> None:
    async with carrying(tcp(unused_tcp_port)) as made:
        client = Client()
        client.exchange = made.exchanges.open(client, Request(kind, b"GET", b"/", b"a.example", (KEY,)))
        client.exchange.start(b"")
        async with asyncio.timeout(PATIENCE):
            await made.exchanges.idle()
        assert client.status == (502 if kind is Kind.WEBSOCKET else None)
        text = f"cannot connect to tcp://127.0.0.1:{unused_tcp_port}: connection refused; does anything listen there?"
        assert client.exchange.error == text
        assert made.router.failures == 1


async def test_raw_tunnel_needs_no_frames() -> None:
    async with service(echo) as made:
        visitor = Visitor()
        heard = bytearray()
        visitor.write = lambda data, **_: heard.extend(data)  # type: ignore[method-assign]
        exchange = made.exchanges.open(visitor, Request(Kind.TCP, b"", b"", b"a.example", ()))
        exchange.start(b"raw")
        async with asyncio.timeout(PATIENCE):
            while heard != b"raw":
                await asyncio.sleep(0)


# --- what is no WebSocket ---


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (b"\x82\x05hello", 1002),
        (b"\xff" * 16, 1002),
        (b"\x80\x80mask", 1002),
        (b"\x89\xfe\x01\x00mask", 1002),
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),
        (b"\x82\xff" + b"\xff" * 8 + b"mask", 1002),
    ],
    ids=["HTTP", "not masked", "reserved", "continues nothing", "long ping", "no UTF-8", "endless"],
)
async def test_what_is_none_is_told_so_and_costs_one_exchange(data: bytes, code: int) -> None:
    async with service(echo) as made:
        other = await opened(made)
        client = await opened(made)
        client.exchange.data_received(data)
        assert (client.has_ended, client.close_code) == (True, code)
        client.exchange.data_received(b"and more")
        client.exchange.eof_received()
        assert len(made.exchanges) == 1
        other.say(BytesMessage(b"still here"))
        await other.until(lambda: other.data == b"still here")


async def test_fuzzed_frames_cost_one_exchange_each() -> None:
    dice = random.Random(15)
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with service(echo) as made:
        other = await opened(made)
        for _ in range(300):
            client = await opened(made)
            frames = [
                BytesMessage(dice.randbytes(dice.randrange(300))),
                Ping(b"x"),
                TextMessage("ö"),
                CloseConnection(1000),
            ]
            data = bytearray(b"".join(Connection(ConnectionType.CLIENT).send(dice.choice(frames)) for _ in range(9)))
            for _ in range(dice.randrange(4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            while data:
                size = dice.randrange(1, 200)
                client.exchange.data_received(bytes(data[:size]))
                del data[:size]
            (client.exchange.eof_received if dice.random() < 0.5 else client.exchange.reset_received)()
        other.say(BytesMessage(b"still here"))
        await other.until(lambda: other.data == b"still here")
        assert faults == []


async def test_visitor_that_stays_after_the_end_does_not_stay_for_ever() -> None:
    waits: list[float] = []

    def at_once(seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        waits.append(seconds)
        return asyncio.get_running_loop().call_later(0, callback)

    async with service(echo) as made:
        made.exchanges.call_later = at_once
        client = await opened(made)
        client.exchange.data_received(b"nonsense")
        async with asyncio.timeout(PATIENCE):
            await made.exchanges.idle()
        assert waits == [HALF_CLOSED_TIMEOUT]
