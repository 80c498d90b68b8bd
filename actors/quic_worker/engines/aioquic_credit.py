"""aioquic's connection with receive credit that follows what was consumed, and datagrams as large as the path takes.

aioquic grants credit for what it received, so that a peer can fill the memory of an application that reads nothing
(both limits double at half use, for ever), and keeps to one size of datagram. `CreditedConnection` overrides a few
private methods, which is why pyproject.toml pins the release (`test_aioquic_private.py`).
"""

from typing import Any, Final

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.connection import Limit, QuicConnectionState
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.stream import QuicStream
from aioquic.tls import AlertDescription

from actors.quic_worker.engine import CONNECTION_WINDOW, MAX_STREAMS, SILENT, Closed, Datagram
from actors.quic_worker.engines.aioquic_acks import AckingConnection
from actors.quic_worker.engines.aioquic_bbr import BbrCongestionControl, ModelPacer
from actors.quic_worker.engines.aioquic_queue import is_undelivered
from actors.quic_worker.engines.aioquic_tls import ClientContext
from actors.quic_worker.engines.path_mtu import PathMtu

STREAM_WINDOW: Final = 128 * 1024
"""Bytes that a peer may send on a new stream ahead of what was consumed: 192 streams that nobody reads fit in the
connection's window, so that they do not stop the others."""

MAX_STREAM_WINDOW: Final = 6 * 1024 * 1024
"""What a stream's window grows to while it is used up faster than it can be announced anew: 500 Mbit/s at a round trip
of 100 ms; the Go client's own."""

GROWTH_ROUND_TRIPS: Final = 4.0
"""Half a window that is consumed within so many round trips was too small: the sender had to wait for it. Two would do
where nothing is lost; what comes behind a lost packet is consumed only a round trip or two later, with it."""

_LIMIT_FRAME_CAPACITY: Final = 1 + 8 + 8
"""A frame type and two variable-length integers."""


class _Window:
    """How far a peer may be ahead on one stream, and since when that is announced."""

    __slots__ = ("announced_at", "size")

    def __init__(self, now: float) -> None:
        self.size = STREAM_WINDOW
        self.announced_at = now


class CreditedConnection(AckingConnection):
    """A connection whose receive credit is granted by `grant`, and by nothing else."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.now = 0.0
        """The time of the latest call from outside."""
        self._bbr: BbrCongestionControl | None = None
        self._pacer: ModelPacer | None = None
        self._windows: dict[int, _Window] = {}
        self._grown = 0
        """Bytes of all windows beyond their first size; together they stay within the connection's window."""
        self._path_mtu = PathMtu()
        self.post_quantum_only = False

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        if self._is_client:
            # aioquic makes its own Context here and offers no way to give it another.
            self.tls.__class__ = ClientContext
            assert isinstance(self.tls, ClientContext)
            self.tls.post_quantum_only = self.post_quantum_only

    def _handle_ack_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        super()._handle_ack_frame(context, frame_type, buf)
        if self._bbr is not None:
            self._bbr.ack_ended(context.time)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """What is to be sent now. What the window would take and nobody has is to be known to BBR."""
        if self._pacer is not None:
            self._pacer.lets_one_pass = self._probe_pending or bool(self._ping_pending)
        datagrams = super().datagrams_to_send(now)
        if self._pacer is not None:
            self._pacer.batch_ended()
        if self._bbr is not None and self._bbr.has_room and not self.has_data_to_send():
            self._bbr.app_limited()
        if self._handshake_confirmed and (size := self._path_mtu.probe(now)) is not None:
            datagrams += self._mtu_probe(size, now)
        return datagrams

    def handle_timer(self, now: float) -> None:
        super().handle_timer(now)
        self._path_mtu.timed_out(self._loss._pto_count, now)
        self._keep_to_path_mtu()

    def _mtu_probe(self, size: int, now: float) -> list[Datagram]:
        """A datagram of just that size. It does not count as in flight: its loss is no congestion (RFC 9000, 14.4)."""
        assert self._version is not None
        builder = QuicPacketBuilder(
            host_cid=self.host_cid,
            is_client=self._is_client,
            max_datagram_size=size,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
            version=self._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[tls.Epoch.ONE_RTT])
        frame = builder.start_frame(QuicFrameType.PING, handler=self._on_mtu_probe_delivery, handler_args=(size,))
        frame.push_bytes(bytes(builder.remaining_buffer_space))
        datagrams, (packet,) = builder.flush()
        self._packet_number = builder.packet_number
        packet.in_flight = False
        packet.sent_time = now
        self._loss.on_packet_sent(packet=packet, space=self._spaces[tls.Epoch.ONE_RTT])
        return [(data, self._network_paths[0].addr) for data in datagrams]

    def _on_mtu_probe_delivery(self, delivery: QuicDeliveryState, size: int) -> None:
        if delivery is QuicDeliveryState.ACKED:
            self._path_mtu.acked(size, self.now)
            self._keep_to_path_mtu()
        else:
            self._path_mtu.lost(size, self.now)

    def _keep_to_path_mtu(self) -> None:
        if self._max_datagram_size != self._path_mtu.size and self._handshake_confirmed:
            self._max_datagram_size = self._path_mtu.size
            if self._bbr is not None:
                self._bbr.model.mss = self._path_mtu.size
            else:
                self._loss._cc._max_datagram_size = self._path_mtu.size  # type: ignore[attr-defined]
                self._loss._pacer._max_datagram_size = self._path_mtu.size

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        for limit, size in ((self._local_max_data, CONNECTION_WINDOW), (self._local_max_streams_bidi, MAX_STREAMS)):
            more = limit.value - limit.sent
            # Announced when it is worth a frame; and also when the peer has less left than it would get: what is
            # held back by slow streams must not keep what the quick ones have freed from being announced.
            if more and (more >= size // 2 or more >= limit.sent - limit.used):
                self._write_limit(builder, limit)

    def _write_limit(self, builder: Any, limit: Limit) -> None:
        frame: Buffer = builder.start_frame(
            limit.frame_type,
            capacity=_LIMIT_FRAME_CAPACITY,
            handler=self._on_limit_delivery,
            handler_args=(limit, limit.sent),
        )
        frame.push_uint_var(limit.value)
        limit.sent = limit.value

    def _on_limit_delivery(self, delivery: Any, limit: Limit, previous: int) -> None:
        """A lost limit is announced again: it is put back to below the threshold of announcing."""
        if delivery.name != "ACKED":
            limit.sent = min(limit.sent, previous)

    def _write_stream_limits(self, builder: Any, space: Any, stream: QuicStream) -> None:
        assert stream.stream_id is not None
        pending = stream.max_stream_data_local - stream.max_stream_data_local_sent
        window = self._windows.get(stream.stream_id)
        if stream.receiver.is_finished or pending < (window.size if window else STREAM_WINDOW) // 2:
            del self._open.raised[stream.stream_id]
            return
        if window is None:
            # The first announcement was with the stream's opening, whenever that was: it proves nothing.
            window = self._windows[stream.stream_id] = _Window(-1.0)
        frame: Buffer = builder.start_frame(  # raises if the packet is full: nothing is changed before
            QuicFrameType.MAX_STREAM_DATA,
            capacity=_LIMIT_FRAME_CAPACITY,
            handler=self._on_stream_limit_delivery,
            handler_args=(stream, stream.max_stream_data_local_sent),
        )
        self._grow(stream, window)
        frame.push_uint_var(stream.stream_id)
        frame.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local
        del self._open.raised[stream.stream_id]

    def _grow(self, stream: QuicStream, window: _Window) -> None:
        """Double a window that is used up faster than it can be announced, within what all may have together."""
        quick = self.now - window.announced_at < GROWTH_ROUND_TRIPS * self.smoothed_rtt
        window.announced_at = self.now
        more = min(window.size, MAX_STREAM_WINDOW - window.size)
        if quick and more and self._grown + more <= CONNECTION_WINDOW:
            window.size += more
            self._grown += more
            stream.max_stream_data_local += more

    def forget_window(self, stream_id: int) -> None:
        """The stream is done with."""
        if (window := self._windows.pop(stream_id, None)) is not None:
            self._grown -= window.size - STREAM_WINDOW

    def _on_stream_limit_delivery(self, delivery: Any, stream: QuicStream, previous: int) -> None:
        if delivery.name != "ACKED":
            stream.max_stream_data_local_sent = min(stream.max_stream_data_local_sent, previous)
            self._raised(stream)

    def _raised(self, stream: QuicStream) -> None:
        """A stream's limit may have to be announced."""
        assert stream.stream_id is not None
        self._open.raised[stream.stream_id] = stream

    # --- what the engine needs to know of the inside ---

    def prepare(self) -> None:
        """Raise the number of streams that the peer may open, before the handshake announces it; pace by the model."""
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = MAX_STREAMS
        if isinstance(self._loss._cc, BbrCongestionControl):
            self._bbr = self._loss._cc
            self._pacer = self._bbr.pacer
            self._loss._pacer = self._pacer  # type: ignore[assignment]

    def grant(self, stream_id: int, count: int) -> None:
        """Allow the peer `count` more bytes on a stream and on the connection."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.max_stream_data_local += count
            self._raised(stream)
        self._local_max_data.value += count

    def probe(self) -> None:
        """Send a PING even if the congestion window is full, as RFC 9002 section 7 allows to probes.

        aioquic holds back its own PINGs then. In an outage all that was sent fills the window, and the timer that
        would probe doubles: its next time may come after the idle timeout, though the link was back long before.
        """
        self._send_probe()

    def received_on(self, stream_id: int) -> int:
        """Bytes of a stream that count against the connection's credit."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.receiver.highest_offset

    def unsent_on(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        if stream is None or stream.sender._reset_error_code is not None:
            return 0
        return stream.sender._buffer_stop - stream.sender.highest_offset

    def has_unfinished_streams(self, besides: int | None) -> bool:
        """Whether a stream but `besides` has something sent that was not acknowledged. Idle ones do not count."""
        return any(number != besides and is_undelivered(stream.sender) for number, stream in self._streams.items())

    def can_send_on(self, stream_id: int) -> bool:
        """Whether a stream takes data. A peer's STOP_SENDING ends that before its event is delivered."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return stream_id == self.get_next_available_stream_id()
        return stream.sender._reset_error_code is None and stream.sender._buffer_fin is None

    def closed_by_peer(self) -> Closed | None:
        """Why the peer closed the connection, as soon as it did: aioquic's event comes after the draining period."""
        if self._state is not QuicConnectionState.DRAINING or self._close_event is None:
            return None
        return closed(self._close_event)

    @property
    def packets_sent(self) -> int:
        """Packets of ours: one sequence of numbers serves all packet number spaces."""
        return self._packet_number

    @property
    def packets_lost(self) -> int:
        """Packets of ours that were declared lost."""
        lost: int = self._loss._cc.packets_lost  # type: ignore[attr-defined]
        return lost

    @property
    def key_exchange(self) -> str:
        """The name of the group that was agreed; empty before the handshake, and of a server."""
        return self.tls.agreed_group if isinstance(self.tls, ClientContext) else ""

    @property
    def smoothed_rtt(self) -> float:
        return self._loss._rtt_smoothed if self._loss._rtt_initialized else 0.0


def closed(event: events.ConnectionTerminated) -> Closed:
    reason = event.reason_phrase
    if reason == _IDLE:
        return Closed(event.error_code, SILENT, is_application=False, is_silence=True)
    if not reason and (alert := event.error_code - QuicErrorCode.CRYPTO_ERROR) in _ALERTS:
        reason = f"TLS alert {_ALERTS[alert]}"
    return Closed(event.error_code, reason, event.frame_type is None)


_IDLE: Final = "Idle timeout"
"""What aioquic says when nothing came."""

_ALERTS: Final = {int(alert): alert.name for alert in AlertDescription}
