"""A peer that takes another of our connection ids whenever it sends, and retires the last: aioquic's own server, over
real UDP, before each of our engines (`test_line.py` does it in virtual time, to both ends)."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived

from actors import trust
from actors.bus.messages import EdgeAddress, Transport
from actors.local_edge.tls import EdgeContext
from actors.quic_worker.connection import Connection, Owner, Stream
from actors.quic_worker.dial import address_of, open_connection
from actors.quic_worker.engine import Closed
from tests.kit import udp_proxy
from tests.kit.engines import CERTIFICATES
from tests.kit.processes import PATIENCE
from tests.kit.udp_proxy import Direction, Fates, Rule, UdpProxy

pytestmark = pytest.mark.slow

LARGE = 2_000_000
"""Bytes of a body: a thousand packets and more, and several times what the peer's credit allows at once."""

SMALL, MANY = 3_000, 300
"""Bytes of a small body, and how many streams carry one each way."""


class PostQuantumConnection(QuicConnection):
    """aioquic's, which takes the one key share that picoquic sends: of itself it knows neither ML-KEM nor how to ask
    for another share."""

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls.__class__ = EdgeContext
        assert isinstance(self.tls, EdgeContext)
        self.tls.server_names = (trust.EDGE_SERVER_NAME,)


class RestlessServer(QuicConnectionProtocol):
    """Before each of its flights it moves to another id that it was given, and so retires one."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.received: dict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.lost: str | None = None
        self.progress = asyncio.Event()

    def transmit(self) -> None:
        self._quic.change_connection_id()  # without effect while the client owes it new ones
        super().transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self.received[event.stream_id] += event.data
            if event.end_stream:
                self.ended.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.lost = event.reason_phrase or str(event.error_code)
        self.progress.set()

    def ask(self, body: bytes) -> int:
        """Open a stream and send a body on it, which ends our side."""
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, body, end_stream=True)
        self.transmit()
        return stream

    async def answers(self, streams: list[int]) -> list[bytes]:
        """What came back on each, once all have ended."""
        async with asyncio.timeout(4 * PATIENCE):
            while not self.ended.issuperset(streams):
                assert self.lost is None, self.lost
                self.progress.clear()
                await self.progress.wait()
        return [bytes(self.received[stream]) for stream in streams]


class Mirror:
    """A stream handler of the client's: what comes goes back, no faster than it is taken."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held = 0
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._stream.write(data)
        self._held += len(data)
        if not self._paused:
            self.resume_writing()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        held, self._held = self._held, 0
        self._stream.consumed(held)

    def eof_received(self) -> None:
        self._stream.write(b"", fin=True)

    def reset_received(self) -> None: ...
    def stop_received(self) -> None: ...


def reflect(stream: Stream) -> None:
    """Accept a stream."""
    stream.handler = Mirror(stream)


class Link:
    """What lies between, and the ids that the server's packets carried: those of a short header are 8 bytes long."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.ids: list[bytes] = []

    def __call__(self, direction: Direction, index: int, data: bytes) -> Fates:
        if direction is Direction.DOWN and not data[0] & 0x80 and (not self.ids or self.ids[-1] != data[1:9]):
            self.ids.append(data[1:9])
        return self._rule(direction, index, data)


@contextlib.asynccontextmanager
async def restless(engine: str, link: Link, folder: Path) -> AsyncIterator[tuple[Connection, RestlessServer]]:
    """A client of ours, connected to such a server."""
    roots = folder / "roots.pem"
    roots.write_bytes(CERTIFICATES.authority_pem)
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=[trust.ALPN],
        certificate=CERTIFICATES.certificate,
        private_key=CERTIFICATES.private_key,
    )
    loop = asyncio.get_running_loop()
    made: asyncio.Future[RestlessServer] = loop.create_future()
    connected: asyncio.Future[None] = loop.create_future()
    faults: list[BaseException | Closed] = []

    def make(*arguments: Any, **more: Any) -> RestlessServer:
        server = RestlessServer(*arguments, **more)
        made.set_result(server)
        return server

    listening = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=make)
    assert listening._transport is not None
    port = listening._transport.get_extra_info("sockname")[1]
    async with UdpProxy(link, ("127.0.0.1", port)) as proxy:
        edge = EdgeAddress(host="127.0.0.1", port=proxy.address[1], region="")
        transport = Transport(engine="picoquic" if engine == "picoquic" else "aioquic")
        owner = Owner(reflect, lambda: connected.set_result(None), faults.append, faults.append)
        connection = open_connection(edge, str(roots), transport, owner)
        try:
            connection.connect(address_of(edge))
            async with asyncio.timeout(PATIENCE):
                await connected
            server = await made
            await server.ping()  # its handshake is complete as well, and it has ids to choose from
            yield connection, server
            assert not faults
        finally:
            connection.close()
            listening.close()


@pytest.mark.parametrize("engine", ["aioquic", "picoquic"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(udp_proxy.passes, id="good"),
        pytest.param(udp_proxy.chain(udp_proxy.loss(0.01), udp_proxy.reorder(0.05, seconds=0.002)), id="bad"),
    ],
)
async def test_peer_that_never_keeps_an_id(
    engine: str, path: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large and small bodies go up and come back whole, on the one connection."""
    if engine == "picoquic":
        pytest.importorskip("aiopquic", reason="picoquic's wheels begin at Python 3.12")
        monkeypatch.setattr("aioquic.asyncio.server.QuicConnection", PostQuantumConnection)
    link = Link(path)
    async with restless(engine, link, tmp_path) as (_, server):
        large = bytes(range(251)) * (LARGE // 251)
        small = [bytes([number % 256]) * SMALL for number in range(MANY)]
        first = server.ask(large)
        streams = [server.ask(body) for body in small]
        assert await server.answers([first, *streams]) == [large, *small]
        again = server.ask(b"once more")
        assert await server.answers([again]) == [b"once more"]
    assert len(set(link.ids)) > 100
