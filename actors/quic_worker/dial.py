"""Begin a QUIC connection to an address of the edge: the socket, whom to trust, the first flight."""

import ipaddress
import socket
from collections.abc import Callable

from actors import trust
from actors.bus.messages import EdgeAddress, Transport
from actors.quic_worker.connection import Connection, Stream
from actors.quic_worker.engine import Address, Closed
from actors.quic_worker.engines import client_engine
from actors.quic_worker.udp import ANY_ADDRESS, Receiver, UdpSocket


def open_connection(
    edge: EdgeAddress,
    ca_file: str | None,
    transport: Transport,
    *,
    receive: Receiver,
    accept: Callable[[Stream], None],
    on_handshake: Callable[[], None],
    on_closed: Callable[[Closed], None],
    on_fault: Callable[[BaseException], None],
) -> tuple[UdpSocket, Connection]:
    """Make the two; `Connection.connect(address_of(edge))` sends the first flight. `ca_file` replaces the trust roots.

    Raises:
        OSError: there is no socket to be had.
    """
    udp = UdpSocket(ANY_ADDRESS[_family(edge)], _family(edge), receive)
    engine = client_engine(
        transport,
        server_name=trust.EDGE_SERVER_NAME,
        alpn=trust.ALPN,
        ca_file=ca_file or trust.system_roots(),
        ca_data=None if ca_file else trust.edge_roots(),
    )
    connection = Connection(
        engine, udp.send, accept=accept, on_handshake=on_handshake, on_closed=on_closed, on_fault=on_fault
    )
    return udp, connection


def address_of(edge: EdgeAddress) -> Address:
    """As the socket module takes it."""
    return (edge.host, edge.port) if _family(edge) is socket.AF_INET else (edge.host, edge.port, 0, 0)


def _family(edge: EdgeAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(edge.host).version == 6 else socket.AF_INET
