"""Begin a connection to an address of the edge: the engine, the socket, whom to trust, the first flight."""

import ipaddress
import socket
from typing import Final

from actors import trust
from actors.bus.messages import EdgeAddress, Transport
from actors.quic_worker.connection import Owner
from actors.quic_worker.engine import Address
from actors.quic_worker.quic import QuicConnection

PICOQUIC_CONTROLLERS: Final = {"bbr": "bbr1", "cubic": "cubic", "reno": "newreno"}
"""picoquic's names of the congestion controllers. Of its two BBRs the first fills lines that lose packets better."""


def open_connection(edge: EdgeAddress, ca_file: str | None, transport: Transport, owner: Owner) -> QuicConnection:
    """Make a connection; `connect(address_of(edge))` sends its first flight. `ca_file` replaces the trust roots.

    Each engine is imported only where it is asked for. picoquic takes one file: the supervisor has made one.

    Raises:
        OSError: there is no socket to be had, or no way to the address.
    """
    if transport.engine == "picoquic":
        from actors.quic_worker.engines.picoquic_engine import PicoquicEngine
        from actors.quic_worker.picoquic import PicoquicConnection

        _see_the_way(edge)
        picoquic = PicoquicEngine(
            server_name=trust.EDGE_SERVER_NAME,
            alpn=trust.ALPN,
            ca_file=ca_file or trust.system_roots(),
            congestion_control=PICOQUIC_CONTROLLERS[transport.congestion_control],
            post_quantum=transport.post_quantum,
        )
        return PicoquicConnection(picoquic, owner)
    from actors.quic_worker.datagrams import UdpConnection
    from actors.quic_worker.engines.aioquic_engine import AioquicEngine, client_configuration

    configuration = client_configuration(
        congestion_control=transport.congestion_control,
        server_name=trust.EDGE_SERVER_NAME,
        alpn=trust.ALPN,
        ca_file=ca_file or trust.system_roots(),
        ca_data=None if ca_file else trust.edge_roots(),
    )
    engine = AioquicEngine.client(configuration, post_quantum=transport.post_quantum)
    return UdpConnection(engine, family_of(edge), owner)


def _see_the_way(edge: EdgeAddress) -> None:
    """picoquic keeps its socket's errors to itself: ask the kernel for a route first, which sends nothing."""
    with socket.socket(family_of(edge), socket.SOCK_DGRAM) as probe:
        probe.connect(address_of(edge))


def address_of(edge: EdgeAddress) -> Address:
    """As the socket module takes it."""
    return (edge.host, edge.port) if family_of(edge) is socket.AF_INET else (edge.host, edge.port, 0, 0)


def family_of(edge: EdgeAddress) -> socket.AddressFamily:
    """IPv4 or IPv6."""
    return socket.AF_INET6 if ipaddress.ip_address(edge.host).version == 6 else socket.AF_INET
