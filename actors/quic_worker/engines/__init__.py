"""The QUIC engines: aioquic and qh3. What they offer is in `../engine.py`.

Each is loaded only where it is asked for.
"""

import importlib
from typing import Any

from actors.messages import QuicEngine, Transport
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
