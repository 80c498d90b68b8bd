"""What the worker knows of a connection over QUIC, before a real edge of ours."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from actors.bus.messages import EdgeAddress, Transport
from actors.bus.routes import Origin, all_to
from actors.exchange.exchanges import Exchanges
from actors.exchange.observers import Observers
from actors.exchange.router import Router
from actors.local_edge.certificates import make_certificates
from actors.local_edge.edge import EdgeRegistry
from actors.local_edge.quic_link import QuicLink
from actors.local_edge.quic_server import QuicServer
from actors.local_edge.registry import Registry, Rule, Tunnel
from actors.processes.tasks import Tasks
from actors.quic_worker import quic_edge
from actors.quic_worker.edge_connection import Told
from actors.quic_worker.ends import Ended, WorkerEnd
from actors.quic_worker.pushes import refuse_all
from actors.quic_worker.quic_edge import QuicEdge
from actors.wire.registration import Details, Refusal, Registration
from tests.kit.engines import CERTIFICATES, make_edge_engine
from tests.kit.processes import PATIENCE

LOG = structlog.get_logger()


class Edge:
    """The other side, and a connection to it."""

    def __init__(self, folder: Path, *, trusts: bytes = CERTIFICATES.authority_pem) -> None:
        self.registry: EdgeRegistry = Registry()
        self.server = QuicServer(
            ("127.0.0.1", 0), make_edge_engine, make_session=lambda made: QuicLink(made, self.registry)
        )
        roots = folder / "roots.pem"
        roots.write_bytes(trusts)
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connection = connection(self.server.address[1], roots, self.lost)

    def registration(self, tunnel: Tunnel) -> Registration:
        return Registration(
            account_tag=tunnel.account_tag,
            secret=tunnel.secret,
            tunnel_id=tunnel.id,
            connection_index=0,
            client_id=uuid.uuid4().bytes,
            previous_attempts=0,
            replace_existing=False,
        )

    def notes(self) -> list[str]:
        return [str(entry["event"]) for entry in self.registry.log]


def exchanges() -> Exchanges:
    """Of requests that nobody makes."""
    tasks = Tasks(lambda error: None)
    return Exchanges(Router(all_to(Origin("127.0.0.1", 9))), Observers(), tasks, at_once=1)


def connection(
    port: int, roots: Path | None, lost: asyncio.Future[str], *, transport: Transport | None = None
) -> QuicEdge:
    return QuicEdge(
        EdgeAddress("127.0.0.1", port),
        exchanges(),
        Told(lost.set_result, lambda why: None, refuse_all),
        ca_file=str(roots) if roots else None,
        transport=transport or Transport(),
        log=LOG,
    )


@contextlib.asynccontextmanager
async def edge(folder: Path, *, trusts: bytes = CERTIFICATES.authority_pem) -> AsyncIterator[Edge]:
    made = Edge(folder, trusts=trusts)
    try:
        async with asyncio.timeout(PATIENCE):
            yield made
    finally:
        made.connection.close()
        made.server.close()


async def test_a_connection_s_life(tmp_path: Path) -> None:
    async with edge(tmp_path) as peer:
        assert peer.connection.path().round_trip_time == 0
        assert peer.connection.key_exchange() == ""
        await peer.connection.dial()
        assert peer.connection.key_exchange() == "X25519MLKEM768"
        answer = await peer.connection.register(peer.registration(peer.registry.new_tunnel("example.com")))
        assert isinstance(answer, Details)
        await peer.connection.configure("[]")
        await peer.connection.unregister()
        await peer.connection.flushed()
        assert peer.notes() == ["handshake", "registered", "configuration", "unregistered"]
        assert peer.connection.path().round_trip_time > 0
        peer.connection.close()
        while "closed" not in peer.notes():
            await asyncio.sleep(0.001)
        assert not peer.lost.done(), "that was no loss"


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async with edge(tmp_path) as peer:
        peer.registry.rules.append(Rule.from_json({"answer": "permanent", "cause": "no"}))
        await peer.connection.dial()
        answer = await peer.connection.register(peer.registration(peer.registry.new_tunnel("example.com")))
        assert isinstance(answer, Refusal)
        assert answer.cause == "no"


async def test_an_edge_that_closes_is_told_of_in_words(tmp_path: Path) -> None:
    async with edge(tmp_path) as peer:
        await peer.connection.dial()
        await peer.connection.register(peer.registration(peer.registry.new_tunnel("example.com")))
        (registered,) = peer.registry.connections()
        registered.session.link.close(7, "enough")
        assert await peer.lost == "enough (application error 0x7)"


@pytest.mark.parametrize("whose", [pytest.param("engine", marks=pytest.mark.slow), "dial"])
async def test_silence_is_told_of_with_what_to_do(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever patience ends first."""
    monkeypatch.setattr(quic_edge, "DIAL_TIMEOUT", {"engine": PATIENCE, "dial": 0.1}[whose])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        dialled = connection(port, None, lost)
        with pytest.raises(Ended, match=rf"no answer from 127\.0\.0\.1:{port} over UDP.* Is UDP to port") as raised:
            await dialled.dial()
        dialled.close()
    assert raised.value.end is WorkerEnd.DIAL_FAILED
    assert not lost.done()


@pytest.mark.parametrize("post_quantum", [False, True])
async def test_an_edge_that_is_not_trusted_is_told_of(tmp_path: Path, post_quantum: bool) -> None:
    stranger = make_certificates(("quic.cftunnel.com",)).authority_pem
    async with edge(tmp_path, trusts=stranger) as peer:
        port = peer.server.address[1]
        dialled = connection(port, tmp_path / "roots.pem", peer.lost, transport=Transport(post_quantum=post_quantum))
        with pytest.raises(Ended, match=f"the QUIC handshake with 127.0.0.1:{port} failed: ") as raised:
            await dialled.dial()
        dialled.close()
        assert raised.value.end is WorkerEnd.DIAL_FAILED
        assert ("--post-quantum" in str(raised.value)) is post_quantum
        assert not peer.lost.done()


async def test_a_connection_that_was_never_dialled_can_be_closed() -> None:
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    dialled = connection(9, None, lost)
    dialled.close()
    dialled.close()
    assert not lost.done()
