"""The QUIC engines: aioquic and qh3. What they offer is in `../engine.py`.

Each is loaded only where it is asked for.

    aioquic_engine.py  aioquic behind that interface; on it stand
    aioquic_credit.py    receive credit that follows what was consumed
    aioquic_queue.py     no work for streams that have nothing to do
    aioquic_bbr.py       BBR and a pacer
    aioquic_tls.py       the post-quantum key exchange, of which
    hybrid.py              the shares and the secret (pure)
    pieces.py            the stream data of a batch, joined (pure)
    path_mtu.py          the search for the path's size (pure)
    qh3_engine.py      qh3 behind that interface; on it stand
    qh3_connection.py    what its connection lacks
    spool.py             bytes that nobody wants yet
"""

import importlib
from typing import Any

from actors.bus.messages import QuicEngine, Transport
from actors.quic_worker.engine import Engine


def load(engine: QuicEngine) -> None:
    """Do an engine's imports, which take longer than the handshake."""
    importlib.import_module(f"{__name__}.{engine}_engine")


def client_engine(transport: Transport, **peer: Any) -> Engine:
    """A client's engine. `peer`: `server_name`, `alpn`, and whom to trust, `ca_file` and `ca_data`."""
    if transport.engine == "qh3":
        from actors.quic_worker.engines import qh3_engine

        configuration = qh3_engine.client_configuration(**peer)
        return qh3_engine.Qh3Engine.client(configuration, post_quantum=transport.post_quantum)
    from actors.quic_worker.engines import aioquic_engine

    return aioquic_engine.AioquicEngine.client(
        aioquic_engine.client_configuration(congestion_control=transport.congestion_control, **peer),
        post_quantum=transport.post_quantum,
    )
