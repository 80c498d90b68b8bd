"""Connections to origins that are real servers on loopback: who may have one after whom, and how long it is kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from actors.bus.routes import DEFAULT_ORIGIN_IDLE_CONNECTIONS, Origin
from actors.exchange.backend import OriginError
from actors.exchange.http1 import Body, RequestHead
from actors.exchange.origin import OriginConnection
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Field, Kind, Request
from actors.exchange.response import Head
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


class Answer:
    """What an exchange heard of its origin."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.error: OriginError | None = None
        self.over = asyncio.Event()

    def head_received(self, head: Head, body: bytes, *, complete: bool) -> None:
        self.status, self.fields = head.status, head.fields
        self.body += body
        if complete:
            self.over.set()

    def body_received(self, data: bytes) -> None:
        self.body += data

    def response_ended(self, trailers: Sequence[Field] = ()) -> None:
        self.over.set()

    def response_failed(self, error: OriginError) -> None:
        self.error = error
        self.over.set()

    def pause_upload(self) -> None: ...

    def resume_upload(self) -> None: ...


@contextlib.asynccontextmanager
async def origin(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """`scripted`, until all that it serves has ended: pools end before it."""
    running: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        await serve(reader, writer)

    async with scripted(tracked) as port:
        yield port
        async with asyncio.timeout(PATIENCE):
            while running:
                await asyncio.wait(running)
            await asyncio.sleep(0)


ASKED = Request(Kind.HTTP, b"GET", b"/", b"x", ())
"""What the pool is told of the request: for most origins it does not matter."""


def request(method: str = "GET", target: str = "/", *fields: str, body: int = 0) -> RequestHead:
    framing = [f"Content-Length: {body}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *fields, *framing]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return RequestHead(data, method, Body.LENGTH if body else Body.NONE, body, upgrade=False)


async def exchange(pool: OriginPool, head: RequestHead, body: bytes = b"") -> Answer:
    """One exchange, as `proxy.py` has it."""
    heard = Answer()
    connection = pool.reuse(ASKED, head) or await pool.connect(ASKED, head)
    connection.begin(heard, head)
    if body:
        connection.write(body)
    async with asyncio.timeout(PATIENCE):
        await heard.over.wait()
    finish(pool, connection)
    return heard


def finish(pool: OriginPool, connection: OriginConnection) -> None:
    if connection.reusable:
        pool.release(connection)
    else:
        connection.close()


@contextlib.asynccontextmanager
async def pool_to(port: int, keep_alive: float = PATIENCE) -> AsyncIterator[OriginPool]:
    pool = OriginPool(Origin(host="127.0.0.1", port=port, keep_alive=keep_alive))
    try:
        yield pool
    finally:
        pool.close()


class Served:
    """An origin that answers as `respond` says, and what each of its connections was asked."""

    def __init__(self) -> None:
        self.connections: list[list[bytes]] = []
        self.open = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen: list[bytes] = []
        self.connections.append(seen)
        self.open += 1
        try:
            while True:
                head = await read_head(reader)
                seen.append(b" ".join(head.split(b" ", 2)[:2]))
                await self.respond(head, reader, writer)
        finally:
            self.open -= 1

    async def respond(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lowered = head.lower()
        if b"content-length: " in lowered:
            await reader.readexactly(int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(answer(b"" if head.startswith(b"HEAD") else head.split(b" ")[1]))


# --- one visitor's bytes never become another's ---


class Refusing(Served):
    """Answers 401 to a POST without reading its body, as servers do that look at the head first."""

    async def respond(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head.startswith(b"POST"):
            writer.write(answer(b"who are you?", "401 Unauthorized"))
        else:
            await super().respond(head, reader, writer)


@pytest.mark.parametrize("body", [b"name=value&more=" + b"x" * 100, b"GET /evil HTTP/1.1\r\nX: "], ids=["form", "evil"])
async def test_body_that_the_origin_did_not_read_is_nobody_s_request(body: bytes) -> None:
    served = Refusing()
    async with origin(served) as port, pool_to(port) as pool:
        first = await exchange(pool, request("POST", "/login", body=len(body)), body)
        assert first.status == 401
        second = await exchange(pool, request("GET", "/mine"))
        assert (second.status, second.body) == (200, b"/mine")
        assert [b"GET /mine"] in served.connections


async def test_connection_that_carried_a_body_is_closed_even_if_the_origin_read_it() -> None:
    served = Served()
    async with origin(served) as port, pool_to(port) as pool:
        for method in ("GET", "GET", "POST", "GET", "HEAD", "GET"):
            size = 5 if method == "POST" else 0
            assert (await exchange(pool, request(method, "/", body=size), b"x" * size)).status == 200
    methods = [[line.split(b" ")[0] for line in seen] for seen in served.connections]
    assert methods == [[b"GET", b"GET", b"GET", b"HEAD"], [b"POST"], [b"GET"]], "nor after a HEAD: see response.py"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Authorization: nTLM TlRM", {}),
        ("X: y", {"WWW_Authenticate": "Negotiate"}),
        ("X: y", {"Persistent_Auth": "true"}),
    ],
    ids=["asked", "challenged", "persistent"],
)
async def test_connection_that_somebody_has_proved_who_he_is_on_serves_nobody_else(
    asked: str, answered: dict[str, str]
) -> None:
    class Bound(Served):
        async def respond(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"ok", **(answered if b"/secret" in head else {})))

    served = Bound()
    async with origin(served) as port, pool_to(port) as pool:
        await exchange(pool, request("GET", "/"))
        await exchange(pool, request("GET", "/secret", asked))
        await exchange(pool, request("GET", "/other"))
    assert served.connections == [[b"GET /", b"GET /secret"], [b"GET /other"]]


@pytest.mark.parametrize(
    "loose",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_connection_of_a_loose_response_serves_nobody_else(loose: bytes) -> None:
    class Loose(Served):
        async def respond(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(loose)

    served = Loose()
    async with origin(served) as port, pool_to(port) as pool:
        for _ in range(2):
            assert (await exchange(pool, request())).body == b"ok"
    assert len(served.connections) == 2


@pytest.mark.parametrize(("head", "began"), [(b"HTTP/1.1 200 OK\r\n X: y\r\n", 0), (CHUNKED, 200)])
async def test_response_that_cannot_be_read(head: bytes, began: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head + b"\r\nno size\r\n")

    async with origin(serve) as port, pool_to(port) as pool:
        heard = await exchange(pool, request())
        assert heard.status == began
        assert "cannot be read" in str(heard.error)


# --- idle connections starve nobody ---


async def one_after_the_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: asyncio.Lock) -> None:
    """Python's `HTTPServer` with HTTP/1.1: it hears nobody else before a connection has ended."""
    async with turn:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await read_head(reader)
                if b"Content-Length: 5" in head:
                    await reader.readexactly(5)
                writer.write(answer(head.split(b" ")[1]))


async def test_origin_that_serves_one_connection_after_the_other() -> None:
    turn = asyncio.Lock()
    async with origin(lambda reader, writer: one_after_the_other(reader, writer, turn)) as port, pool_to(port) as pool:
        for number, method in enumerate(("GET", "POST", "GET", "POST", "GET")):
            size = 5 if method == "POST" else 0
            heard = await exchange(pool, request(method, f"/{number}", body=size), b"x" * size)
            assert heard.body == f"/{number}".encode()


async def test_where_idle_connections_starved_a_fresh_one_none_are_kept_for_a_while() -> None:
    turn, count = asyncio.Lock(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await one_after_the_other(reader, writer, turn)

    async with origin(serve) as port, pool_to(port) as pool:
        await exchange(pool, request())
        await exchange(pool, request("POST", body=5), b"x" * 5)
        for _ in range(5):
            await exchange(pool, request())
    assert count == 7


async def test_two_visitors_of_an_origin_that_serves_one_connection_after_the_other() -> None:
    turn = asyncio.Lock()
    async with origin(lambda reader, writer: one_after_the_other(reader, writer, turn)) as port, pool_to(port) as pool:
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(exchange(pool, request("GET", f"/{number}"))) for number in range(10)]
        assert [task.result().body for task in answers] == [f"/{number}".encode() for number in range(10)]


@pytest.mark.slow
async def test_device_of_seven_sockets() -> None:
    """It accepts no eighth connection; two pools, as a tunnel has them, and 150 POSTs between GETs."""
    places = asyncio.Semaphore(7)
    served = Served()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with places:
            await served(reader, writer)

    async with origin(serve) as port, pool_to(port) as one, pool_to(port) as other:
        for number in range(150):
            for pool in (one, other):
                assert (await exchange(pool, request("POST", body=5), b"x" * 5)).status == 200
            if number % 10 == 0:
                async with asyncio.TaskGroup() as tasks:
                    for pool in (one, other):
                        for _ in range(6):
                            tasks.create_task(exchange(pool, request()))


async def test_few_stay_idle_and_those_not_for_long() -> None:
    served = Served()
    async with origin(served) as port, pool_to(port) as pool:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(exchange(pool, request()))
        async with asyncio.timeout(PATIENCE):
            while served.open > DEFAULT_ORIGIN_IDLE_CONNECTIONS:
                await asyncio.sleep(0.01)
        assert served.open == DEFAULT_ORIGIN_IDLE_CONNECTIONS
    async with origin(served) as port, pool_to(port, keep_alive=0.3) as pool:
        await exchange(pool, request())
        async with asyncio.timeout(PATIENCE):
            while served.open:
                await asyncio.sleep(0.01)


async def test_none_are_kept_if_none_shall_be() -> None:
    served = Served()
    async with origin(served) as port, pool_to(port, keep_alive=0.0) as pool:
        for _ in range(3):
            await exchange(pool, request())
    assert len(served.connections) == 3


# --- what cannot be reached ---


async def failure(origin: Origin) -> OriginError:
    pool = OriginPool(origin)
    with pytest.raises(OriginError) as failed:
        await pool.connect(ASKED, request())
    pool.close()
    return failed.value


async def test_absent_origin(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = await failure(Origin(host="localhost", port=unused_tcp_port))
    expected = f"cannot connect to localhost:{unused_tcp_port} (127.0.0.1 and ::1): connection refused; does anything "
    assert expected in str(error)


async def test_absent_origin_on_a_machine_without_ipv6(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Origin, "hosts", property(lambda origin: ("127.0.0.1", "255.255.255.255")))
    error = await failure(Origin(host="localhost", port=unused_tcp_port))
    assert "127.0.0.1: connection refused; 255.255.255.255: " in str(error)
    assert "does anything listen there?" in str(error)
    assert error.status == 502
    assert isinstance(error.__cause__, ConnectionRefusedError), "what tells most"


async def test_every_error_goes_on_to_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the address that worked is the first one from then on."""
    served = Served()
    async with origin(served) as port:
        hosts = ("255.255.255.255", "127.0.0.2", "127.0.0.1")
        monkeypatch.setattr(Origin, "hosts", property(lambda origin: hosts))
        async with pool_to(port, keep_alive=0.0) as pool:
            for _ in range(3):
                assert (await exchange(pool, request())).status == 200
            assert pool.failures == 0


async def test_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    error = await failure(Origin(scheme="unix", path=str(tmp_path / "no.sock")))
    assert str(error) == f"cannot connect to unix:{tmp_path / 'no.sock'}: No such file or directory"


async def test_origin_that_starts_anew_costs_what_was_in_flight() -> None:
    """Idle connections have died with it: the next request finds one that works."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while b"/hang" not in (head := await read_head(reader)):
                writer.write(answer(head.split(b" ")[1]))
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with pool_to(port) as pool:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(exchange(pool, request()))
        in_flight = Answer()
        connection = await pool.connect(ASKED, request())
        connection.begin(in_flight, request("GET", "/hang"))
        while len(writers) < 3:
            await asyncio.sleep(0)
        server.close()
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await in_flight.over.wait()
        assert in_flight.error is not None
        assert "lost" in str(in_flight.error) or "closed" in str(in_flight.error)
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        for number in range(3):
            assert (await exchange(pool, request("GET", f"/{number}"))).body == f"/{number}".encode()
    server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)
