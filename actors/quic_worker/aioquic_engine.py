"""aioquic as the QUIC engine, with flow control that follows what was consumed.

aioquic grants credit for what it received, so that a peer can fill the memory of an application that reads nothing
(both limits double at half use, for ever). `_CreditedConnection` grants it for what the application consumed. It
overrides five private methods and calls one (`_send_probe`), which is why pyproject.toml pins the minor version.
"""

from collections.abc import Iterable
from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.base import register_congestion_control
from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.congestion.reno import RenoCongestionControl
from aioquic.quic.connection import Limit, QuicConnection, QuicConnectionState
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicProtocolVersion
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.stream import QuicStream, QuicStreamSender
from aioquic.tls import AlertDescription

from actors.messages import CongestionControl
from actors.quic_worker.aioquic_bbr import BbrCongestionControl, ModelPacer
from actors.quic_worker.engine import Address, Closed, Datagram, EngineListener

STREAM_WINDOW: Final = 128 * 1024
"""Bytes that a peer may send on a new stream ahead of what was consumed: 192 streams that nobody reads fit in the
connection's window, so that they do not stop the others."""

MAX_STREAM_WINDOW: Final = 6 * 1024 * 1024
"""What a stream's window grows to while it is used up faster than it can be announced anew: 500 Mbit/s at a round trip
of 100 ms; the Go client's own."""

CONNECTION_WINDOW: Final = 24 * 1024 * 1024
"""The same over all streams of a connection: the bound of what a connection can make us hold."""

GROWTH_ROUND_TRIPS: Final = 2.0
"""Half a window that is consumed within so many round trips was too small: the sender had to wait for it."""

MAX_STREAMS: Final = 2048
"""Streams that the peer may have open at once: more than are served (`--max-streams`), so that those beyond get an
answer. aioquic's own limit is 128."""

IDLE_TIMEOUT: Final = 5.0
"""Seconds without a word until the connection counts as lost; the edge's own value."""

MAX_DATAGRAM_BYTES: Final = 1232
"""UDP payload: fits the smallest IPv6 link (1280 bytes less both headers), so it needs no path discovery."""

_LIMIT_FRAME_CAPACITY: Final = 1 + 8 + 8
"""A frame type and two variable-length integers."""


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


class _Window:
    """How far a peer may be ahead on one stream, and since when that is announced."""

    __slots__ = ("announced_at", "size")

    def __init__(self, now: float) -> None:
        self.size = STREAM_WINDOW
        self.announced_at = now


class CreditedConnection(QuicConnection):
    """A QuicConnection whose receive credit is granted by `grant`, and by nothing else."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.now = 0.0
        """The time of the latest call from outside."""
        self._bbr: BbrCongestionControl | None = None
        self._windows: dict[int, _Window] = {}
        self._grown = 0
        """Bytes of all windows beyond their first size; together they stay within the connection's window."""

    def _handle_ack_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        super()._handle_ack_frame(context, frame_type, buf)
        if self._bbr is not None:
            self._bbr.ack_ended(context.time)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """What is to be sent now. What the window would take and nobody has is to be known to BBR."""
        datagrams: list[Datagram] = super().datagrams_to_send(now)
        if self._bbr is not None and self._pacing_at is None and self._bbr.has_room:
            self._bbr.app_limited()
        return datagrams

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
        pending = stream.max_stream_data_local - stream.max_stream_data_local_sent
        if pending < STREAM_WINDOW // 2 or stream.receiver.is_finished:
            return
        assert stream.stream_id is not None
        window = self._windows.get(stream.stream_id)
        if window is None:
            # The first announcement was with the stream's opening, whenever that was: it proves nothing.
            window = self._windows[stream.stream_id] = _Window(-1.0)
        if pending < window.size // 2:
            return
        self._grow(stream, window)
        frame: Buffer = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=_LIMIT_FRAME_CAPACITY,
            handler=self._on_stream_limit_delivery,
            handler_args=(stream, stream.max_stream_data_local_sent),
        )
        frame.push_uint_var(stream.stream_id)
        frame.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local

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

    # --- what the engine needs to know of the inside ---

    def prepare(self) -> None:
        """Raise the number of streams that the peer may open, before the handshake announces it; pace by the model."""
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = MAX_STREAMS
        if isinstance(self._loss._cc, BbrCongestionControl):
            self._bbr = self._loss._cc
            self._loss._pacer = ModelPacer(self._bbr.model)  # type: ignore[assignment]

    def grant(self, stream_id: int, count: int) -> None:
        """Allow the peer `count` more bytes on a stream and on the connection."""
        if (stream := self._streams.get(stream_id)) is not None:
            stream.max_stream_data_local += count
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

    def unfinished_streams(self) -> int:
        """Streams, besides the first, with something sent that was not acknowledged yet. Idle ones do not count."""
        return sum(1 for number, stream in self._streams.items() if number and _is_undelivered(stream.sender))

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
        return _closed(self._close_event)

    @property
    def packets_sent(self) -> int:
        """Packets of ours: one sequence of numbers serves all packet number spaces."""
        return self._packet_number

    @property
    def packets_lost(self) -> int:
        """Packets of ours that were declared lost."""
        control = self._loss._cc
        assert isinstance(control, BbrCongestionControl | CountingCubic | CountingReno)
        return control.packets_lost

    @property
    def smoothed_rtt(self) -> float:
        return self._loss._rtt_smoothed if self._loss._rtt_initialized else 0.0


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
    "max_datagram_size": MAX_DATAGRAM_BYTES,
    # RFC 9221 is negotiated, as peers expect; nobody sends any on a quick tunnel.
    "max_datagram_frame_size": 65535,
    "supported_versions": [QuicProtocolVersion.VERSION_1],
}


def _is_undelivered(sender: QuicStreamSender) -> bool:
    if sender.is_finished:
        return False
    ends = sender._buffer_fin is not None or sender._reset_error_code is not None
    return ends or sender._buffer_stop > sender._buffer_start


def _closed(event: events.ConnectionTerminated) -> Closed:
    reason = event.reason_phrase
    if not reason and (alert := event.error_code - QuicErrorCode.CRYPTO_ERROR) in _ALERTS:
        reason = f"TLS alert {_ALERTS[alert]}"
    return Closed(event.error_code, reason, event.frame_type is None)


_ALERTS: Final = {int(alert): alert.name for alert in AlertDescription}


class AioquicEngine:
    """An `Engine` on a `CreditedConnection`."""

    def __init__(self, connection: CreditedConnection) -> None:
        connection.prepare()
        self._connection = connection
        self._delivered: dict[int, int] = {}
        self._held: dict[int, int] = {}
        """Bytes a stream, delivered and not yet consumed."""

    @classmethod
    def client(cls, configuration: QuicConfiguration) -> "AioquicEngine":
        return cls(CreditedConnection(configuration=configuration))

    def connect(self, address: Address, now: float) -> None:
        self._connection.connect(address, now)

    def receive(self, data: bytes, address: Address, now: float) -> None:
        self._connection.now = now
        self._connection.receive_datagram(data, address, now)

    def deliver(self, listener: EngineListener) -> None:
        stream_id = -1
        parts: list[bytes] = []
        fin = False

        # aioquic makes one event a packet; those of one stream that follow each other are handed on as one.
        def flush() -> None:
            nonlocal stream_id
            if stream_id >= 0:
                number, stream_id = stream_id, -1
                data = parts[0] if len(parts) == 1 else b"".join(parts)
                self._received(number, len(data), fin)
                listener.stream_data(number, data, fin)

        while (event := self._connection.next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                if event.stream_id != stream_id:
                    flush()
                    stream_id, parts = event.stream_id, []
                parts.append(event.data)
                fin = event.end_stream
                continue
            flush()
            match event:
                case events.StreamReset():
                    self._received_reset(event.stream_id)
                    listener.stream_reset(event.stream_id, event.error_code)
                case events.StopSendingReceived():
                    listener.stop_sending(event.stream_id, event.error_code)
                case events.HandshakeCompleted():
                    listener.handshake_completed()
                case events.ConnectionTerminated():
                    listener.closed(_closed(event))
                case events.ConnectionIdIssued():
                    listener.connection_id_issued(event.connection_id)
                case events.ConnectionIdRetired():
                    listener.connection_id_retired(event.connection_id)
        flush()
        if (why := self._connection.closed_by_peer()) is not None:
            listener.closed(why)

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

    def undelivered(self) -> int:
        return self._connection.unfinished_streams()

    def ping(self) -> None:
        self._connection.probe()

    def round_trip_time(self) -> float:
        return self._connection.smoothed_rtt

    def packets_sent(self) -> int:
        return self._connection.packets_sent

    def packets_lost(self) -> int:
        return self._connection.packets_lost

    def close(self, error_code: int, reason: str) -> None:
        self._connection.close(error_code=error_code, reason_phrase=reason)
