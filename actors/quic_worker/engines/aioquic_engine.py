"""aioquic as the QUIC engine: its configuration, its congestion controllers, the interface of `engine.py` over it."""

from collections.abc import Iterable
from typing import Any, Final

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.base import register_congestion_control
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.congestion.reno import RenoCongestionControl
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.quic.packet_builder import QuicSentPacket

from actors.bus.messages import CongestionControl
from actors.quic_worker.engine import CONNECTION_WINDOW, IDLE_TIMEOUT, Address, Datagram, PacketListener, Path
from actors.quic_worker.engines.aioquic_bbr import BbrCongestionControl
from actors.quic_worker.engines.aioquic_credit import STREAM_WINDOW, CreditedConnection, closed
from actors.quic_worker.engines.path_mtu import BASE_BYTES
from actors.quic_worker.engines.pieces import Pieces


class _CountsLosses:
    """What aioquic's own controllers do not say: how many packets were lost."""

    packets_lost = 0

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        lost = list(packets)
        self.packets_lost += len(lost)
        super().on_packets_lost(now=now, packets=lost)  # type: ignore[misc]


class CountingCubic(_CountsLosses, CubicCongestionControl):
    """aioquic's CUBIC."""

    NAME: Final = "counting-cubic"


class CountingReno(_CountsLosses, RenoCongestionControl):
    """aioquic's Reno."""

    NAME: Final = "counting-reno"


_CONTROLLERS: Final[dict[CongestionControl, type[BbrCongestionControl | CountingCubic | CountingReno]]] = {
    "bbr": BbrCongestionControl,
    "cubic": CountingCubic,
    "reno": CountingReno,
}

for _controller in _CONTROLLERS.values():
    register_congestion_control(_controller.NAME, _controller)


def client_configuration(
    *, server_name: str, alpn: str, ca_file: str | None, ca_data: bytes | None, congestion_control: CongestionControl
) -> QuicConfiguration:
    """The configuration of a client that trusts `ca_file` and `ca_data` and nothing else."""
    return QuicConfiguration(
        is_client=True,
        alpn_protocols=[alpn],
        server_name=server_name,
        cafile=ca_file,
        cadata=ca_data,
        congestion_control_algorithm=_CONTROLLERS[congestion_control].NAME,
        **_COMMON,
    )


def server_configuration(*, alpn: str, certificate: Any, private_key: Any) -> QuicConfiguration:
    """The configuration of a server with one certificate."""
    return QuicConfiguration(
        is_client=False,
        alpn_protocols=[alpn],
        certificate=certificate,
        private_key=private_key,
        congestion_control_algorithm=CountingCubic.NAME,
        **_COMMON,
    )


_COMMON: Final[dict[str, Any]] = {
    "idle_timeout": IDLE_TIMEOUT,
    "max_data": CONNECTION_WINDOW,
    "max_stream_data": STREAM_WINDOW,
    "max_datagram_size": BASE_BYTES,
    # RFC 9221 is negotiated, as peers expect; nobody sends any on a quick tunnel.
    "max_datagram_frame_size": 65535,
    "supported_versions": [QuicProtocolVersion.VERSION_1],
}


class AioquicEngine:
    """A `PacketEngine` on a `CreditedConnection`."""

    def __init__(self, connection: CreditedConnection) -> None:
        connection.prepare()
        self._connection = connection
        self._delivered: dict[int, int] = {}
        self._held: dict[int, int] = {}
        """Bytes a stream, delivered and not yet consumed."""

    @classmethod
    def client(cls, configuration: QuicConfiguration, *, post_quantum: bool = False) -> "AioquicEngine":
        """`post_quantum`: offer no other key exchange."""
        connection = CreditedConnection(configuration=configuration)
        connection.post_quantum_only = post_quantum
        return cls(connection)

    def connect(self, address: Address, now: float) -> None:
        self._connection.connect(address, now)

    def receive(self, datagrams: list[Datagram], now: float) -> None:
        self._connection.now = now
        for data, address in datagrams:
            self._connection.receive_datagram(data, address, now)

    def deliver(self, listener: PacketListener) -> None:
        pieces = Pieces()  # there is an event a packet
        while (event := self._connection.next_event()) is not None:
            match event:
                case events.StreamDataReceived():
                    pieces.add(event.stream_id, event.data, event.end_stream)
                case events.StreamReset():
                    self._hand_on(pieces, listener)
                    self._received_reset(event.stream_id)
                    listener.stream_reset(event.stream_id, event.error_code)
                case events.StopSendingReceived():
                    self._hand_on(pieces, listener)
                    listener.stop_sending(event.stream_id, event.error_code)
                case events.HandshakeCompleted():
                    listener.handshake_completed()
                case events.ConnectionTerminated():
                    self._hand_on(pieces, listener)
                    listener.closed(closed(event))
                case events.ConnectionIdIssued():
                    listener.connection_id_issued(event.connection_id)
                case events.ConnectionIdRetired():
                    listener.connection_id_retired(event.connection_id)
        self._hand_on(pieces, listener)
        if (why := self._connection.closed_by_peer()) is not None:
            listener.closed(why)

    def _hand_on(self, pieces: Pieces, listener: PacketListener) -> None:
        for stream_id, data, fin in pieces.take():
            self._received(stream_id, len(data), fin)
            listener.stream_data(stream_id, data, fin)

    def _received(self, stream_id: int, count: int, fin: bool) -> None:
        self._held[stream_id] = self._held.get(stream_id, 0) + count
        if fin:
            self._delivered.pop(stream_id, None)
        else:
            self._delivered[stream_id] = self._delivered.get(stream_id, 0) + count

    def _received_reset(self, stream_id: int) -> None:
        """What a reset cuts off counts against the connection's credit and is never delivered: it is given back."""
        cut = self._connection.received_on(stream_id) - self._delivered.pop(stream_id, 0)
        self._connection.grant(stream_id, cut)

    def datagrams(self, now: float) -> list[Datagram]:
        self._connection.now = now
        return self._connection.datagrams_to_send(now)

    def timer(self) -> float | None:
        return self._connection.get_timer()

    def expire(self, now: float) -> None:
        self._connection.now = now
        self._connection.handle_timer(now)

    def open_stream(self) -> int:
        stream_id = self._connection.get_next_available_stream_id()
        # Reserves the id, which is only taken by sending.
        self._connection.send_stream_data(stream_id, b"")
        return stream_id

    def send(self, stream_id: int, data: bytes, fin: bool) -> None:
        if self._connection.can_send_on(stream_id):
            self._connection.send_stream_data(stream_id, data, fin)

    def unsent(self, stream_id: int) -> int:
        return self._connection.unsent_on(stream_id)

    def reset(self, stream_id: int, error_code: int) -> None:
        self._connection.reset_stream(stream_id, error_code)

    def stop(self, stream_id: int, error_code: int) -> None:
        try:
            self._connection.stop_stream(stream_id, error_code)
        except ValueError:
            return  # the stream is gone already: there is nothing to stop

    def consumed(self, stream_id: int, count: int) -> None:
        held = self._held.get(stream_id, 0) - count
        if held > 0:
            self._held[stream_id] = held
        else:
            self._held.pop(stream_id, None)
        self._connection.grant(stream_id, count)

    def discard(self, stream_id: int) -> None:
        self._connection.forget_window(stream_id)
        if held := self._held.pop(stream_id, 0):
            self._connection.grant(stream_id, held)

    def is_undelivered(self, besides: int | None = None) -> bool:
        return self._connection.has_unfinished_streams(besides)

    def ping(self) -> None:
        self._connection.probe()

    def path(self) -> Path:
        connection = self._connection
        return Path(connection.smoothed_rtt, connection.packets_sent, connection.packets_lost)

    def key_exchange(self) -> str:
        return self._connection.key_exchange

    def close(self, error_code: int, reason: str) -> None:
        self._connection.close(error_code=error_code, reason_phrase=reason)
