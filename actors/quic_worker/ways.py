"""The ways to the edge, by what they speak. Each is imported only where it is asked for."""

from actors.bus.messages import WorkerOrders
from actors.exchange.exchanges import Exchanges
from actors.processes.log import Logger
from actors.quic_worker.edge_connection import EdgeConnection, Told


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
