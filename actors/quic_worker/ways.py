"""The ways to the edge, by what they speak. Each is imported only where it is asked for."""

import importlib

from actors.bus.messages import Protocol, QuicEngine, WorkerOrders
from actors.exchange.exchanges import Exchanges
from actors.processes.log import Logger
from actors.quic_worker.edge_connection import EdgeConnection, Told


def load(protocol: Protocol, engine: QuicEngine) -> None:
    """Do the imports of a way, down to what its first connection would do: they take longer than a handshake.

    `engine` is QUIC's. A process that loads a way needs no file of the package for it any more.
    """
    if protocol == "http2":
        modules = ["actors.quic_worker.http2_edge"]
    elif engine == "picoquic":
        modules = ["actors.quic_worker.quic_edge", "actors.quic_worker.picoquic"]
        modules.append("actors.quic_worker.engines.picoquic_engine")
    else:
        modules = ["actors.quic_worker.quic_edge", "actors.quic_worker.datagrams"]
        modules.append("actors.quic_worker.engines.aioquic_engine")
        modules.append("cryptography.hazmat.backends.openssl.backend")  # of aioquic's first connection
    for module in modules:
        importlib.import_module(module)
    if protocol == "quic" and engine == "picoquic":
        from actors.quic_worker.engines.picoquic_library import prepare_process

        prepare_process()


def edge_connection(orders: WorkerOrders, exchanges: Exchanges, told: Told, log: Logger) -> EdgeConnection:
    """The connection that the orders ask for; it is still to be dialled."""
    if orders.protocol == "http2":
        from actors.quic_worker.http2_edge import Http2Edge

        return Http2Edge(
            orders.edge,
            exchanges,
            told,
            ca_file=orders.edge_ca_file,
            transport=orders.transport,
            proxy=orders.proxy,
            log=log,
        )
    from actors.quic_worker.quic_edge import QuicEdge

    return QuicEdge(orders.edge, exchanges, told, ca_file=orders.edge_ca_file, transport=orders.transport, log=log)
