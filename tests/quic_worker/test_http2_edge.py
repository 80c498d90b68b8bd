"""The worker's connection over HTTP/2, before an edge over real TLS and TCP, and with a real origin behind it."""

import asyncio
import contextlib
import json
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from actors import trust
from actors.bus.messages import EdgeAddress, Proxy, Transport
from actors.bus.routes import Origin, all_to
from actors.exchange.exchange import Exchange
from actors.exchange.exchanges import Exchanges
from actors.exchange.observers import Observers
from actors.exchange.request import Field
from actors.exchange.router import Router
from actors.exchange.upload import Upload
from actors.local_edge.certificates import Certificates, make_certificates
from actors.processes.tasks import Tasks
from actors.quic_worker import http2_edge, pulse, tcp
from actors.quic_worker.connection import HIGH_WATER
from actors.quic_worker.edge_connection import Told
from actors.quic_worker.ends import Ended, WorkerEnd
from actors.quic_worker.http2 import MAX_UNREAD, Http2Stream
from actors.quic_worker.http2_edge import Http2Edge
from actors.quic_worker.pushes import refuse_all
from actors.wire.h2_heads import BY_ORIGIN, PURPOSE, RESPONSE_META
from actors.wire.registration import Details, Refusal, Registration
from tests.kit.h2_edge import H2Edge, h2_server
from tests.kit.h2_peer import HEAD, POST, Answer
from tests.kit.leftovers import none_of
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE
from tests.wire.test_h2_heads import deserialised

LOG = structlog.get_logger()
CERTIFICATES = make_certificates((trust.H2_SERVER_NAME,))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

REGISTRATION = Registration(
    account_tag="tag",
    secret=b"secret",
    tunnel_id=uuid.uuid4(),
    connection_index=0,
    client_id=uuid.uuid4().bytes,
    previous_attempts=0,
    replace_existing=False,
)


class Worker:
    """What a worker has of a connection."""

    def __init__(
        self,
        port: int,
        roots: Path,
        *,
        origin: int = 9,
        proxy: Proxy | None = None,
        transport: Transport | None = None,
        at_once: int = 100,
    ) -> None:
        self.tasks = Tasks(self._fault)
        self.router = Router(all_to(Origin("127.0.0.1", origin)))
        self.exchanges = Exchanges(self.router, Observers(), self.tasks, at_once=at_once)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.leaving: list[str] = []
        self.faults: list[BaseException] = []
        self.connection = Http2Edge(
            EdgeAddress("127.0.0.1", port),
            self.exchanges,
            Told(self.lost.set_result, self.leaving.append, refuse_all),
            ca_file=str(roots),
            transport=transport or Transport(),
            proxy=proxy,
            log=LOG,
        )

    def _fault(self, error: BaseException) -> None:
        self.faults.append(error)

    async def end(self) -> None:
        await self.tasks.cancel()
        self.router.close()
        self.connection.close()
        pipe = self.connection._pipe
        while pipe is not None and pipe._transport is not None:
            await asyncio.sleep(0.001)
        assert not self.faults


@contextlib.asynccontextmanager
async def dialled(
    folder: Path,
    serve: Serve | None = None,
    *,
    certificates: Certificates = CERTIFICATES,
    at_once: int = 100,
) -> AsyncIterator[tuple[Worker, H2Edge]]:
    """A connection that is up, to an origin that does what it is told."""
    roots = folder / "roots.pem"
    roots.write_bytes(certificates.authority_pem)
    async with contextlib.AsyncExitStack() as stack:
        origin = 9 if serve is None else await stack.enter_async_context(scripted(serve))
        server = await stack.enter_async_context(h2_server(certificates, folder))
        worker = Worker(server.port, roots, origin=origin, at_once=at_once)
        stack.push_async_callback(worker.end)
        async with asyncio.timeout(PATIENCE):
            await worker.connection.dial()
            yield worker, server.edge
            await server.edge.abort()  # it ends what still runs
            await worker.exchanges.idle()


def served(body: bytes, **fields: str) -> Serve:
    """An origin that answers each request of a connection with `body`, once it has read a body of its length."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await read_head(reader)).lower()
            _, found, length = head.partition(b"content-length: ")
            if found:
                await reader.readexactly(int(length.split(b"\r\n")[0]))
            elif b"transfer-encoding: chunked" in head:
                got = b""
                while not got.endswith(b"0\r\n\r\n"):
                    got += await reader.read(65536)
            writer.write(answer(body, **fields))

    return serve


# --- life ---


async def test_a_connection_s_life(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (worker, edge):
        answered = await worker.connection.register(REGISTRATION)
        assert isinstance(answered, Details)
        await worker.connection.configure("[]")
        await worker.connection.unregister()
        await worker.connection.flushed()
        names = [name for name, _ in edge.calls]
        assert names == ["registerConnection", "updateLocalConfiguration", "unregisterConnection"]
        options = edge.calls[0][1]["options"]
        assert options["originLocalIp"] == bytes(10) + b"\xff\xff" + bytes((127, 0, 0, 1))
        assert options["client"]["features"] == ["serialized_headers", "support_quic_eof"]
        assert json.loads(edge.calls[1][1]["config"])["__configuration_flags"] == {"protocol": "http2"}
        control = edge.peer.answers[1]
        assert control.head == [(b":status", b"200")]
        assert worker.connection.path().packets_sent > 0
        worker.connection.close()
        await edge.lost
        assert not worker.lost.done(), "that was no loss"


def test_a_life_on_uvloop(tmp_path: Path) -> None:
    """Its transports, and the sockets they tell of, are of no class of asyncio's."""
    uvloop = pytest.importorskip("uvloop")

    async def live() -> None:
        async with dialled(tmp_path, served(bytes(3_000_000))) as (worker, edge):
            await worker.connection.register(REGISTRATION)
            assert len((await edge.ended(edge.ask())).body) == 3_000_000
            await worker.connection.flushed()
            assert worker.connection.path().packets_sent > 0
            edge.close()
            assert await worker.lost == "the edge closed the connection"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (worker, edge):
        edge.result = {"result": {"result": {"error": {"cause": "no", "retryAfter": 0, "shouldRetry": False}}}}
        answered = await worker.connection.register(REGISTRATION)
        assert isinstance(answered, Refusal)
        assert answered.cause == "no"


async def test_an_edge_that_closes_is_told_of(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (worker, edge):
        edge.close()
        assert await worker.lost == "the edge closed the connection"


async def test_an_edge_that_breaks_the_rules_is_told_of(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (worker, edge):
        edge.peer.frame(0, 0, 0, b"x")
        edge.flush()
        assert "broke HTTP/2's rules" in await worker.lost
        await edge.lost


@pytest.mark.parametrize("body", [b"", b"abc"])
async def test_what_is_over_leaves_nothing_to_the_collector(tmp_path: Path, body: bytes) -> None:
    fields, head = ([(b"content-length", b"3")], POST) if body else ([], HEAD)
    async with dialled(tmp_path, served(b"hello")) as (worker, edge):
        await worker.connection.register(REGISTRATION)
        for _ in range(2):  # the second time on a connection that is there
            with none_of(Exchange, Http2Stream, Upload):
                assert bytes((await edge.ended(edge.ask(fields, body, head))).body) == b"hello"
                await worker.exchanges.idle()
                await asyncio.sleep(0)  # whoever has just been told holds it until the next turn


async def test_goaway_is_told_and_what_runs_goes_on(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await release.wait()
        writer.write(answer(b"late"))

    async with dialled(tmp_path, serve) as (worker, edge):
        await worker.connection.register(REGISTRATION)
        running = edge.ask()
        edge.peer.frame(7, 0, 0, bytes(8) + b"maintenance")
        edge.flush()
        while not worker.leaving:
            await asyncio.sleep(0.001)
        assert worker.leaving == ["maintenance"]
        release.set()
        assert bytes((await edge.ended(running)).body) == b"late"
        await worker.connection.unregister()
        assert not worker.lost.done()


async def test_a_dead_path_is_seen_and_a_living_one_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_INTERVAL", "QUIET", "PATIENCE"):
        monkeypatch.setattr(pulse, name, 0.05)
    monkeypatch.setattr(http2_edge, "LOOK_INTERVAL", 0.01)
    async with dialled(tmp_path) as (worker, edge):
        task = worker.tasks.start(worker.connection.keep_alive(), name="ping")
        while not worker.connection.path().round_trip_time:
            await asyncio.sleep(0.01)
        assert not worker.lost.done()
        edge.is_frozen = True
        assert "nor an answer to a PING" in await worker.lost
        await task


# --- dialling ---


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_silence_is_told_of_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr(http2_edge, "DIAL_TIMEOUT", 0.2)
    factory = None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(meet_silence(tmp_path))


async def meet_silence(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        worker = Worker(silent.getsockname()[1], roots)
        with pytest.raises(Ended, match="over TCP within .* Is TCP to port") as raised:
            await worker.connection.dial()
        await worker.end()
    assert raised.value.end is WorkerEnd.DIAL_FAILED


async def test_a_closed_port_is_told_of(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        worker = Worker(closed.getsockname()[1], roots)
        with pytest.raises(Ended, match=r"cannot connect to 127\.0\.0\.1:\d+ over TCP: ") as raised:
            await worker.connection.dial()
        await worker.end()
    assert raised.value.end is WorkerEnd.DIAL_FAILED


async def test_an_edge_that_is_not_trusted_is_told_of(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(make_certificates(("other.example.com",)).authority_pem)
    async with h2_server(CERTIFICATES, tmp_path) as server:
        worker = Worker(server.port, roots)
        with pytest.raises(Ended, match="the TLS handshake with .* failed: ") as raised:
            await worker.connection.dial()
        await worker.end()
    assert raised.value.end is WorkerEnd.DIAL_FAILED


async def test_an_edge_of_another_name_is_told_of(tmp_path: Path) -> None:
    other = make_certificates((trust.EDGE_SERVER_NAME,))
    with pytest.raises(Ended, match=f"not valid for '{trust.H2_SERVER_NAME}'"):
        async with dialled(tmp_path, certificates=other):
            pass


async def test_an_edge_without_a_control_stream_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_edge, "CONTROL_TIMEOUT", 0.1)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    async with h2_server(CERTIFICATES, tmp_path) as server:
        server.opens_control = False
        worker = Worker(server.port, roots)
        with pytest.raises(Ended, match="opened no control stream"):
            await worker.connection.dial()
        await worker.end()


async def test_an_edge_that_speaks_something_else_is_told_of(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    async with h2_server(CERTIFICATES, tmp_path) as server:
        server.opens_control = False
        worker = Worker(server.port, roots)
        dial = worker.tasks.start(worker.connection.dial(), name="dial")
        while not server.edges:
            await asyncio.sleep(0.001)
        await server.edge.connected
        assert server.edge._transport is not None
        server.edge._transport.write(b"\0\0\1\0\0\0\0\0\0x")
        with pytest.raises(Ended, match="HTTP/2 with .* did not begin"):
            await dial
        worker.faults.clear()
        await worker.end()


async def test_post_quantum_is_not_promised(tmp_path: Path) -> None:
    worker = Worker(9, tmp_path / "none.pem", transport=Transport(post_quantum=True))
    with pytest.raises(Ended, match="--post-quantum is not to be had over HTTP/2"):
        await worker.connection.dial()
    await worker.end()


# --- through a proxy ---


@contextlib.asynccontextmanager
async def http_proxy(said: bytes, heads: list[bytes]) -> AsyncIterator[int]:
    """A proxy that answers CONNECT with `said`, and passes bytes if that lets it."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        for number in range(len(said)):  # byte by byte
            writer.write(said[number : number + 1])
            await writer.drain()
        if b" 200 " in said:
            host, port = heads[-1].split()[1].decode().rsplit(":", 1)
            to_edge, edge_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(pass_on(reader, edge_writer), pass_on(to_edge, writer))

    async with scripted(serve) as port:
        yield port


async def test_through_a_proxy(tmp_path: Path) -> None:
    roots, heads = tmp_path / "roots.pem", list[bytes]()
    roots.write_bytes(CERTIFICATES.authority_pem)
    async with (
        asyncio.timeout(PATIENCE),
        h2_server(CERTIFICATES, tmp_path) as server,
        http_proxy(b"HTTP/1.1 200 Connection established\r\n\r\n", heads) as port,
        scripted(served(b"through")) as origin,
    ):
        worker = Worker(server.port, roots, origin=origin, proxy=Proxy("localhost", port, "Basic c2VjcmV0"))
        await worker.connection.dial()
        await worker.connection.register(REGISTRATION)
        assert bytes((await server.edge.ended(server.edge.ask())).body) == b"through"
        await worker.end()
    target = f"127.0.0.1:{server.port}".encode()
    assert heads[0].startswith(b"CONNECT " + target + b" HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic c2VjcmV0\r\n" in heads[0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "USER:PASSWORD"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden to CONNECT"),
        (b"SSH-2.0-x\r\n", "no HTTP proxy"),
        (b"", "without an answer"),
    ],
)
async def test_a_proxy_that_refuses_is_told_of(tmp_path: Path, said: bytes, words: str) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    async with http_proxy(said, []) as port:
        worker = Worker(9, roots, proxy=Proxy("127.0.0.1", port, "Basic c2VjcmV0"))
        with pytest.raises(Ended, match=words) as raised:
            await worker.connection.dial()
        await worker.end()
    assert raised.value.end is WorkerEnd.DIAL_FAILED
    assert f"the proxy 127.0.0.1:{port} opens no way to 127.0.0.1:9: " in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)


# --- requests ---


async def test_requests_and_answers(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await read_head(reader))
            writer.write(answer(b"body", X_One="1"))

    async with dialled(tmp_path, serve) as (_, edge):
        got = await edge.ended(edge.ask([(b"x-forwarded-for", b"203.0.113.9"), (b"cf-ray", b"1")]))
        assert got.head is not None
        fields = dict(got.head)
        assert (fields[b":status"], fields[b"content-length"], fields[RESPONSE_META]) == (b"200", b"4", BY_ORIGIN)
        assert deserialised(fields[b"cf-cloudflared-response-headers"])[1] == (b"X-One", b"1")
        assert (bytes(got.body), got.reset) == (b"body", None)
    assert heads[0].startswith(
        b"GET / HTTP/1.1\r\nHost: app.example.com\r\nX-Forwarded-For: 203.0.113.9\r\nCf-Ray: 1\r\n"
    )


async def test_head_has_no_body_and_keeps_its_length(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")

    async with dialled(tmp_path, serve) as (_, edge):
        got = await edge.ended(edge.ask(head=[(b":method", b"HEAD"), *HEAD[1:]]))
        assert got.head is not None
        assert dict(got.head)[b"content-length"] == b"1000"
        assert (bytes(got.body), got.ended, got.reset) == (b"", True, None)


@pytest.mark.parametrize("fields", [[], [(b"content-length", b"300000")]])
async def test_bodies_go_up(tmp_path: Path, fields: list[Field]) -> None:
    async with dialled(tmp_path, served(b"got it")) as (_, edge):
        stream_id = edge.peer.ask(fields, None, POST)
        edge.flush()
        body = bytes(300_000)
        sent = 0
        while sent < len(body):
            sent += edge.peer.send(stream_id, body[sent:], fin=True)
            edge.flush()
            if sent < len(body):
                await asyncio.sleep(0.001)
        got = await edge.ended(edge.peer.answers[stream_id])
        assert (bytes(got.body), got.reset) == (b"got it", None)


async def test_a_post_without_a_body_has_the_length_0(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer(b"ok"))

    async with dialled(tmp_path, serve) as (_, edge):
        await edge.ended(edge.ask(head=POST))
    assert b"\r\nContent-Length: 0\r\n" in heads[0]
    assert b"chunked" not in heads[0]


async def test_expect_is_answered_at_once(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        await reader.readexactly(4)
        writer.write(answer(b"ok"))

    async with dialled(tmp_path, serve) as (_, edge):
        stream_id = edge.peer.ask([(b"expect", b"100-continue"), (b"content-length", b"4")], None, POST)
        edge.flush()
        got = edge.peer.answers[stream_id]
        await edge.until(lambda: got.interim)
        assert got.interim == [[(b":status", b"100")]]
        edge.peer.send(stream_id, b"body", fin=True)
        edge.flush()
        assert bytes((await edge.ended(got)).body) == b"ok"
    assert b"xpect" not in heads[0]


async def test_an_early_answer_arrives_whole_and_calls_the_upload_off(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(bytes(2_000_000), "413 Content Too Large", Connection="close"))
        await writer.drain()

    async with dialled(tmp_path, serve) as (worker, edge):
        stream_id = edge.peer.ask([(b"content-length", b"100000000")], None, POST)
        edge.peer.send(stream_id, bytes(50_000))
        edge.flush()
        got = await edge.ended(edge.peer.answers[stream_id])
        assert (got.status, len(got.body), got.ended) == (b"413", 2_000_000, True)
        await edge.until(lambda: got.reset is not None)
        assert got.reset == 0
        assert list(worker.connection._connection._streams) == [1], "only the control stream is left"


@pytest.mark.parametrize("at_once", [True, False])
async def test_trailers_of_the_origin_go_on_announced_or_not(tmp_path: Path, at_once: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n5\r\nhello\r\n")
        if not at_once:
            await asyncio.sleep(0)
        writer.write(b"0\r\nX-Trailer: 1\r\nX-Undeclared: 2\r\n\r\n")

    async with dialled(tmp_path, serve) as (_, edge):
        got = await edge.ended(edge.ask())
        assert (bytes(got.body), got.trailers) == (b"hello", [(b"x-trailer", b"1"), (b"x-undeclared", b"2")])


@pytest.mark.parametrize("declared", [True, False])
async def test_a_broken_answer_is_never_ended(tmp_path: Path, declared: bool) -> None:
    framing = b"Content-Length: 10" if declared else b"Transfer-Encoding: chunked"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + (b"hello" if declared else b"5\r\nhello\r\n"))

    async with dialled(tmp_path, serve) as (_, edge):
        got = await edge.ended(edge.ask())
        assert (got.ended, got.reset) == (False, 2)


async def test_a_visitor_who_leaves_ends_the_exchange(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read()
        gone.set()

    async with dialled(tmp_path, serve) as (worker, edge):
        stream_id = edge.peer.ask()
        edge.flush()
        got = edge.peer.answers[stream_id]
        await edge.until(lambda: got.body)
        edge.peer.h2.reset_stream(stream_id, 8)
        edge.flush()
        await gone.wait()
        await worker.exchanges.idle()


async def test_an_origin_that_is_down_is_answered_for(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (_, edge):
        got = await edge.ended(edge.ask())
        assert got.status == b"502"
        assert b"tunnel-supervisor: " in got.body


async def test_requests_beyond_the_limit_are_answered(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with dialled(tmp_path, serve, at_once=2) as (_, edge):
        edge.ask()
        edge.ask()
        assert (await edge.ended(edge.ask())).status == b"503"


async def test_websocket(tmp_path: Path) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        writer.write((await reader.readexactly(4)).upper())
        assert await reader.read() == b""

    async with dialled(tmp_path, serve) as (_, edge):
        stream_id = edge.peer.ask([(PURPOSE, b"websocket"), (b"sec-websocket-key", b"x")], None)
        edge.flush()
        got = edge.peer.answers[stream_id]
        await edge.until(lambda: got.body == b"hello")
        assert got.status == b"200"
        assert got.head is not None
        assert (b"Upgrade", b"websocket") in deserialised(dict(got.head)[b"cf-cloudflared-response-headers"])
        edge.peer.send(stream_id, b"ping")
        edge.flush()
        await edge.until(lambda: got.body == b"helloPING")
        edge.peer.send(stream_id, b"", fin=True)
        edge.flush()
        await edge.ended(got)
        assert got.ended
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" in heads[0]


async def test_a_websocket_that_the_origin_ends(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbye")

    async with dialled(tmp_path, serve) as (worker, edge):
        stream_id = edge.peer.ask([(PURPOSE, b"websocket"), (b"sec-websocket-key", b"x")], None)
        edge.flush()
        got = await edge.ended(edge.peer.answers[stream_id])
        assert (bytes(got.body), got.ended) == (b"bye", True)
        edge.peer.send(stream_id, b"", fin=True)
        edge.flush()
        await worker.exchanges.idle()


async def test_a_raw_tunnel_keeps_to_its_origin(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(4)).upper())

    async with dialled(tmp_path, serve) as (_, edge):
        head = [*HEAD[:2], (b":authority", b"192.0.2.1:5432"), HEAD[3]]
        stream_id = edge.peer.ask([(b"cf-cloudflared-proxy-src", b"127.0.0.9")], None, head)
        edge.peer.send(stream_id, b"ping")
        edge.flush()
        got = await edge.ended(edge.peer.answers[stream_id])
        assert (got.status, bytes(got.body)) == (b"200", b"PING")
    async with dialled(tmp_path) as (_, edge):
        got = await edge.ended(edge.ask([(b"cf-cloudflared-proxy-src", b"127.0.0.9")], None))
        assert got.status == b"502"


# --- one bad request ---


async def works(edge: H2Edge, body: bytes) -> bool:
    return bytes((await edge.ended(edge.ask())).body) == body


@pytest.mark.parametrize(
    ("head", "fields", "reset"),
    [
        (HEAD[:3], [], 1),
        (HEAD, [(b"X-Upper", b"1")], 1),
        (POST, [(b"content-length", b"9")], 2),
    ],
    ids=repr,
)
async def test_a_malformed_request_is_reset_and_nothing_else(
    tmp_path: Path, head: list[Field], fields: list[Field], reset: int
) -> None:
    async with dialled(tmp_path, served(b"ok")) as (_, edge):
        got = await edge.ended(edge.ask(fields, b"short" if head is POST else b"", head))
        assert (got.head, got.reset) == (None, reset)
        assert await works(edge, b"ok")


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ([(b"connection", b"close")], b"", b"400"),
        ([(b"te", b"gzip")], b"", b"400"),
        ([(b"transfer-encoding", b"chunked")], b"x", b"400"),
        ([(b"content-length", b"many")], b"x", b"400"),
        ([(b"x", b"1\r\nY: 2")], b"", b"400"),
        ([(b"cookie", b"\0")], b"", b"400"),
        ([(b"content-length", b"1"), (b"content-length", b"1")], b"x", b"400"),
        ([(b"x", b"y" * 200_000)], b"", b"431"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_bad_request_is_answered_and_nothing_else(
    tmp_path: Path, fields: list[Field], body: bytes, status: bytes
) -> None:
    async with dialled(tmp_path, served(b"ok")) as (_, edge):
        got = await edge.ended(edge.ask(fields, body, POST))
        assert got.status == status
        assert await works(edge, b"ok")


async def test_a_second_control_stream_is_refused(tmp_path: Path) -> None:
    async with dialled(tmp_path, served(b"ok")) as (worker, edge):
        got = await edge.ended(edge.ask([(PURPOSE, b"control-stream")], None))
        assert got.reset is not None
        await worker.connection.register(REGISTRATION)
        assert await works(edge, b"ok")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"version":1,"config":{"ingress":[]}}', b"200"), (b"{", b"502"), (b"[" * 100_000, b"502"), (b"", b"502")],
    ids=len,
)
async def test_configurations_are_answered_and_not_applied(tmp_path: Path, body: bytes, status: bytes) -> None:
    async with dialled(tmp_path) as (_, edge):
        head = [(b":method", b"PUT"), *HEAD[1:]]
        got: Answer = await edge.ended(edge.ask([(PURPOSE, b"update-configuration")], body, head))
        assert got.status == status
        if status == b"200":
            told = json.loads(bytes(got.body))
            assert told["lastAppliedVersion"] == 0
            assert "configured locally" in told["err"]


# --- much at once ---


async def test_a_slow_visitor_holds_the_origin_back_and_nobody_else(tmp_path: Path) -> None:
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        head = await read_head(reader)
        if b"GET /small" in head:
            writer.write(answer(b"small"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1600):
            writer.write(bytes(62_500))
            written += 62_500
            await writer.drain()

    async with dialled(tmp_path, serve) as (worker, edge):
        edge.peer.consumes = False
        large = edge.peer.ask()
        edge.flush()
        got = edge.peer.answers[large]
        await edge.until(lambda: len(got.body) == 4 * 1024 * 1024)  # the window of the stream
        small = await edge.ended(edge.ask(head=[*HEAD[:3], (b":path", b"/small")]))
        assert bytes(small.body) == b"small"
        engine = worker.connection._connection.engine
        assert engine.unsent(large) <= 2 * HIGH_WATER
        assert written < 30_000_000, "the rest is in no buffer of ours"


async def test_a_slow_origin_holds_its_own_upload_back_and_nobody_else(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"GET /small" in head:
            writer.write(answer(b"small"))
            return
        await over.wait()

    async with dialled(tmp_path, serve) as (_, edge):
        stuck = [edge.peer.ask([(b"content-length", b"100000000")], None, POST) for _ in range(3)]
        edge.flush()
        sent = dict.fromkeys(stuck, 0)
        idle = 0
        while idle < 20:
            before = sum(sent.values())
            for stream_id in stuck:
                sent[stream_id] += edge.peer.send(stream_id, bytes(1_000_000))
            edge.flush()
            await asyncio.sleep(0.005)
            idle = idle + 1 if sum(sent.values()) == before else 0
        assert all(count < 20_000_000 for count in sent.values())
        small = await edge.ended(edge.ask(head=[*HEAD[:3], (b":path", b"/small")]))
        assert bytes(small.body) == b"small"
        over.set()


async def test_many_large_answers_at_once_go_on_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that took all is asked again: nobody else would, and a PING only seconds later."""
    monkeypatch.setattr(http2_edge, "LOOK_INTERVAL", 10 * PATIENCE)
    async with dialled(tmp_path, served(bytes(4_000_000))) as (_, edge):
        for answer in [edge.ask() for _ in range(8)]:
            assert len((await edge.ended(answer)).body) == 4_000_000


class FullPipe:
    """A socket that takes no more."""

    waiting = unacknowledged = MAX_UNREAD + 1

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


async def test_an_edge_that_asks_and_never_reads_is_given_up(tmp_path: Path) -> None:
    worker = Worker(9, tmp_path / "none.pem")
    pipe = FullPipe()
    worker.connection._reached.set_result(None)
    worker.connection._connection.begin(pipe)
    assert "does not read the answers" in await worker.lost
    assert pipe.is_closed
    await worker.end()


async def test_flushed_waits_until_the_edge_has_it_all(tmp_path: Path) -> None:
    async with dialled(tmp_path, served(bytes(3_000_000))) as (worker, edge):
        got = edge.ask()
        await edge.until(lambda: got.head)
        await worker.exchanges.idle()
        await worker.connection.flushed()
        worker.connection.close()
        await edge.lost
        assert len(got.body) == 3_000_000


async def test_the_socket_is_set_up_for_small_answers_beside_large_ones(tmp_path: Path) -> None:
    async with dialled(tmp_path) as (worker, _):
        pipe = worker.connection._pipe
        assert pipe is not None
        made = pipe._socket
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if sys.platform == "linux":
            assert made.getsockopt(socket.IPPROTO_TCP, tcp._TCP_NOTSENT_LOWAT or 0) == tcp.NOT_SENT
            allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text().split()
            controller = made.getsockopt(socket.IPPROTO_TCP, tcp._TCP_CONGESTION, 16).rstrip(b"\0").decode()
            assert controller == "bbr" or "bbr" not in allowed
