"""Both engines as a user asks for them; what keys they agree on."""

import importlib.util
import os
import signal
from pathlib import Path
from typing import get_args

import pytest
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration

from actors import trust
from actors.bus.messages import QuicEngine
from actors.local_edge.certificates import make_certificates
from tests.kit.origins import uvicorn_origin
from tests.kit.processes import local_edge, python, running, supervisor
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow

ENGINES: tuple[QuicEngine, ...] = tuple(
    name for name in get_args(QuicEngine) if name == "aioquic" or importlib.util.find_spec("aiopquic") is not None
)
"""Those that are installed: picoquic's wheels begin at Python 3.12."""

HYBRID = "X25519MLKEM768"


@pytest.mark.local_edge_only("the edge's engine is chosen")
@pytest.mark.parametrize("engine", ENGINES)
async def test_requests_pass_and_the_keys_are_post_quantum(engine: QuicEngine, state: Path) -> None:
    options = ("--quic-engine", engine, "--post-quantum")
    async with uvicorn_origin() as port, tunnel(port, state, *options) as made:
        response = await made.visitor.post("/echo", content=bytes(3_000_000))
        assert response.json()["size"] == 3_000_000
        assert len((await made.visitor.get("/down/3000000")).content) == 3_000_000
        (registered,) = (event for event in made.process.events() if event["type"] == "registered")
        assert registered["key_exchange"] == HYBRID
        async with running(python("actors.tools.status", "--state-dir", state)) as asked:
            assert await asked.wait() == 0
            assert any(HYBRID in line for line in asked.stdout)
        async with running(python("actors.tools.metrics", "--state-dir", state)) as asked:
            assert await asked.wait() == 0
            told = [line for line in asked.stdout if line.startswith("tunnel_connection_info{")]
            assert len(told) == 1
            assert f'key_exchange="{HYBRID}"' in told[0]


@pytest.mark.local_edge_only("the edge is the tunnel's own")
@pytest.mark.skipif("picoquic" not in ENGINES, reason="picoquic's wheels begin at Python 3.12")
async def test_no_roots_are_written_where_the_edge_names_its_own(state: Path) -> None:
    command = python("actors.supervisor", "--state-dir", state, "--hello-world", "--local-edge", "--json")
    async with running([*command, "--connections", "1", "--quic-engine", "picoquic"]) as process:
        await process.event("registered")
        assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).rglob("edge-trust.pem"))


async def test_edge_without_post_quantum_keys(state: Path, tmp_path: Path) -> None:
    """It is served all the same; and refused, if the user insists.

    With aioquic: its first flight has a share of X25519 too. picoquic's has one share only, like the Go client's,
    and asks for another round trip (HelloRetryRequest), which the edge of this test does not know.
    """
    certificates = make_certificates((trust.EDGE_SERVER_NAME,))
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificates.authority_pem)
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=[trust.ALPN],
        certificate=certificates.certificate,
        private_key=certificates.private_key,
    )
    plain_edge = await serve(
        "127.0.0.1", 0, configuration=configuration, stream_handler=lambda reader, writer: writer.close()
    )
    try:
        assert plain_edge._transport is not None
        port = plain_edge._transport.get_extra_info("sockname")[1]
        async with local_edge() as edge:
            reach = ("--service-url", edge["api"], "--edge", f"127.0.0.1:{port}", "--edge-ca", authority)
            asked = ("--hello-world", *reach, "--connections", 1, "--quic-engine", "aioquic")
            async with supervisor(*asked, "--post-quantum", state=state) as process:
                ended = await process.logged("connection ended")
                assert "--post-quantum takes no key exchange but X25519MLKEM768" in ended["message"]
                assert "handshake" in ended["message"]
            async with supervisor(*asked, state=state) as process:
                ended = await process.logged("connection ended")
                assert "control stream" in ended["message"], "the handshake is done; this edge knows no more"
    finally:
        plain_edge.close()


@pytest.mark.skipif("picoquic" not in ENGINES, reason="needs picoquic")
async def test_engine_whose_workers_crash_twice_is_replaced_and_the_tunnel_stays(state: Path) -> None:
    """The crash is a real one to everybody but the worker: SIGSEGV, as the kernel sends it."""
    async with uvicorn_origin() as port, tunnel(port, state, "--quic-engine", "picoquic") as made:
        threads = {}
        for generation in (1, 2, 3):
            await made.process.event("registered", generation=generation)
            assert (await made.visitor.get("/uptime")).status_code == 200
            (worker,) = made.process.actors("worker")
            threads[generation] = worker.num_threads()
            if generation < 3:
                worker.send_signal(signal.SIGSEGV)
                await made.process.event("connection_ended", generation=generation, reason="crashed")
        changed = await made.process.event("engine_changed")
        assert (changed["previous"], changed["engine"]) == ("picoquic", "aioquic")
        await made.process.logged("the QUIC engine is changed for good")
        assert threads[3] < threads[2] == threads[1], "picoquic has a thread of its own"
        async with running(python("actors.tools.metrics", "--state-dir", state)) as asked:
            assert await asked.wait() == 0
            assert 'tunnel_quic_engine{engine="aioquic"} 1' in asked.stdout
            assert 'tunnel_quic_engine{engine="picoquic"} 0' in asked.stdout
        registered = {event["url"] for event in made.process.events() if event["type"] == "registered"}
        assert registered == {made.url}
        assert await made.process.stop() == 0
