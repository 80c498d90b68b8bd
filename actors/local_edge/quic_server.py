"""One UDP socket, many QUIC connections."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Final, Protocol

from aioquic.quic.packet import QuicProtocolVersion, encode_quic_version_negotiation

from actors.local_edge.edge_engine import EdgeEngine, MakeEngine
from actors.local_edge.tls import UnknownServerName
from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.datagrams import DatagramConnection
from actors.quic_worker.engine import Address, Closed, Datagram
from actors.quic_worker.udp import UdpSocket

MIN_INITIAL_BYTES: Final = 1200
"""A smaller first datagram is no client's (RFC 9000 section 14.1)."""

CONNECTION_ID_BYTES: Final = 8
_LONG_HEADER: Final = 0x80
_PACKET_TYPE: Final = 0x30
_VERSION_1: Final = int(QuicProtocolVersion.VERSION_1)


class ServerConnection(DatagramConnection):
    """A connection that its server finds by its connection ids."""

    def __init__(self, server: "QuicServer", engine: EdgeEngine) -> None:
        self.edge_engine = engine
        self.ids: set[bytes] = set()
        self.frozen = False
        """For tests: what comes is not read and nothing is sent, as if the network had died."""
        self.batches = 0
        """Of datagrams, that came."""
        self._server = server
        self.session = server.make_session(self)
        owner = Owner(self.session.accept, self.session.handshake_completed, self._forget, self._failed)
        super().__init__(engine, self._send_if_served, owner)

    def _send_if_served(self, datagrams: list[Datagram]) -> None:
        """Nothing leaves before the client has asked for a name that is served: a wrong one is met with silence."""
        if self.edge_engine.client_server_name and not self.frozen and not self._server.is_silent:
            self._server.udp.send(datagrams)

    def receive(self, datagrams: list[Datagram]) -> None:
        self.batches += 1
        super().receive(datagrams)

    def transmit(self) -> None:
        if self.edge_engine.has_begun:
            super().transmit()

    def connection_id_issued(self, connection_id: bytes) -> None:
        self._server.add(connection_id, self)

    def connection_id_retired(self, connection_id: bytes) -> None:
        self._server.remove(connection_id, self)

    def _forget(self, why: Closed) -> None:
        self._server.forget(self)
        self.session.closed(why)

    def _failed(self, error: BaseException) -> None:
        self._forget(Closed(0, f"internal fault: {error!r}", is_application=False))
        if not isinstance(error, UnknownServerName):  # that one is met with silence
            self._loop.call_exception_handler({"message": "fault in the QUIC engine", "exception": error})


class Session(Protocol):
    """What a server does with a connection; `edge.py` has the real one."""

    def accept(self, stream: Stream) -> None: ...

    def handshake_completed(self) -> None: ...

    def closed(self, why: Closed) -> None: ...


class QuicServer:
    """Serves every client that comes, each with an engine of its own."""

    def __init__(
        self,
        bind: tuple[str, int],
        make_engine: MakeEngine,
        *,
        make_session: Callable[[ServerConnection], Session],
    ) -> None:
        """Bind to `bind` (an IP literal and a port; 0 for any).

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ipaddress.ip_address(bind[0]).version == 6 else socket.AF_INET
        address: Address = bind if family == socket.AF_INET else (*bind, 0, 0)
        self.make_session = make_session
        self.is_silent = False
        """For tests: what comes is not read and nothing is sent, as if a firewall dropped UDP."""
        self._make_engine = make_engine
        self._by_id: dict[bytes, ServerConnection] = {}
        self.udp = UdpSocket(address, family, self._receive)

    @property
    def address(self) -> tuple[str, int]:
        """IP literal and port that were bound."""
        return self.udp.address[0], self.udp.address[1]

    def close(self) -> None:
        """Close every connection, and the socket."""
        for connection in set(self._by_id.values()):
            connection.close(0, "the edge stops")
        self.udp.close()

    # --- for the connections ---

    def add(self, connection_id: bytes, connection: ServerConnection) -> None:
        self._by_id[connection_id] = connection
        connection.ids.add(connection_id)

    def remove(self, connection_id: bytes, connection: ServerConnection) -> None:
        self._by_id.pop(connection_id, None)
        connection.ids.discard(connection_id)

    def forget(self, connection: ServerConnection) -> None:
        for connection_id in list(connection.ids):
            self.remove(connection_id, connection)

    # --- datagrams ---

    def _receive(self, batch: list[Datagram]) -> None:
        if self.is_silent:
            return
        by_connection: dict[ServerConnection, list[Datagram]] = {}
        for data, address in batch:
            connection = self._connection_of(data, address)
            if connection is not None and not connection.frozen:
                by_connection.setdefault(connection, []).append((data, address))
        for connection, datagrams in by_connection.items():
            connection.receive(datagrams)
            if not connection.edge_engine.has_begun:
                self.forget(connection)

    def _connection_of(self, data: bytes, address: Address) -> ServerConnection | None:
        if not data[0] & _LONG_HEADER:
            return self._by_id.get(data[1 : 1 + CONNECTION_ID_BYTES])
        if len(data) < 7:
            return None
        version = int.from_bytes(data[1:5], "big")
        destination_id = data[6 : 6 + data[5]]
        known = self._by_id.get(destination_id)
        if known is not None or version == 0 or len(data) < MIN_INITIAL_BYTES:
            return known
        if version != _VERSION_1:
            source = data[7 + data[5] : 7 + data[5] + data[6 + data[5]]]
            answer = encode_quic_version_negotiation(
                source_cid=destination_id, destination_cid=source, supported_versions=[_VERSION_1]
            )
            self.udp.send([(answer, address)])
            return None
        return None if data[0] & _PACKET_TYPE else self._new_connection(destination_id)

    def _new_connection(self, destination_id: bytes) -> ServerConnection:
        engine = self._make_engine(destination_id)
        connection = ServerConnection(self, engine)
        self.add(destination_id, connection)
        self.add(engine.connection_id, connection)
        return connection
