"""picoquic, by `aiopquic`, as the engine: its packets are made and read by a thread of its own, without the GIL.

Congestion control, pacing, the path's size, losses and post-quantum keys are its own affair. What is ours: to put its
errors into words, to wait where its rings are full, and to bound what a stream's consumer has not dealt with. It grants
a peer new credit for what it has handed over, whatever becomes of that; so what nobody wants yet waits in a `Spool`.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from aiopquic._binding._transport import KEX_SECP256R1, KEX_X25519, KEX_X25519MLKEM768
from aiopquic.quic import events
from aiopquic.quic.configuration import QuicConfiguration

from actors.quic_worker.engine import (
    CONNECTION_WINDOW,
    IDLE_TIMEOUT,
    MAX_STREAMS,
    PING_INTERVAL,
    SILENT,
    Address,
    Closed,
    Path,
    StreamListener,
)
from actors.quic_worker.engines.picoquic_library import EarlyStop, LibraryConnection, StreamGone, prepare_process
from actors.quic_worker.engines.spool import Spool

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a peer may send on a stream ahead of what was taken from it, 80 Mbit/s at a round trip of 100 ms. The ring
in which they wait is as large: address space for each stream, memory only as far as it is used."""

SEND_RING: Final = 512 * 1024
"""Bytes that one stream may have waiting for picoquic's thread: `HIGH_WATER` of `connection.py`, and as much again for
what a source that is paused has under way."""

MAX_HELD: Final = 256 * 1024
"""Bytes of one stream that are handed on before any are consumed; what comes after waits in its spool."""

MAX_SPOOLED: Final = 1024 * 1024 * 1024
"""Bytes that all spools of a connection may have on disk. Then nothing more is taken from picoquic, of no stream, until
some are consumed: its windows fill up, and the peer waits. Better than to lose any."""

IN_TURN: Final = 8
"""The priority of every stream. With picoquic's own, 9, as with any odd one, the oldest stream goes first, and what is
asked for during a download waits for its end; with an even one they take turns."""

ORDERS_WAITING: Final = 0.75
"""Share of the queue of orders to picoquic's thread (2048) past which nothing more is taken from it: taking may grant
credit, which is an order too, and the library forgets one that does not fit. The quarter that is left holds those of a
batch of 256 events."""

CLOSE_TRIES: Final = 20
"""Milliseconds that the queue of orders gets to take CONNECTION_CLOSE."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes of the kernel's buffers, as `udp.py` has them for the other engine."""

SILENCE: Final = 3.0
"""Seconds without a sign of life past which a connection that ended without a word counts as one that fell silent: the
peer answers our PINGs, and is asked each quarter of a second what it has sent."""

WRONG_ALPN: Final = 0x178
"""RFC 9001 section 4.8: the TLS alert no_application_protocol."""

_CRYPTO_ERROR: Final = range(0x100, 0x200)
"""RFC 9000 section 20.1: a TLS alert, and its number."""


class _Inbox:
    """What a stream's consumer has not dealt with."""

    __slots__ = ("fin", "held", "spool")

    def __init__(self) -> None:
        self.held = 0
        """Bytes handed on and not consumed."""
        self.spool: Spool | None = None
        """What waits, if anything does."""
        self.fin = False
        """Whether the stream's end has come; it is handed on behind the last byte."""


class PicoquicEngine:
    """A `StreamEngine` on an `aiopquic` connection. Its thread begins with `connect`, never before a fork."""

    def __init__(
        self, *, server_name: str, alpn: str, ca_file: str, congestion_control: str, post_quantum: bool = False
    ) -> None:
        """`ca_file`: one PEM file with all roots; `post_quantum`: offer no other key exchange."""
        prepare_process()
        self._post_quantum = post_quantum
        groups = [KEX_X25519MLKEM768] if post_quantum else [KEX_X25519MLKEM768, KEX_X25519, KEX_SECP256R1]
        self._quic = LibraryConnection(
            configuration=QuicConfiguration(
                is_client=True,
                alpn_protocols=[alpn],
                server_name=server_name,
                cafile=ca_file,
                verify_mode=ssl.CERT_REQUIRED,
                key_exchange_groups=groups,
                idle_timeout=IDLE_TIMEOUT,
                keep_alive_interval=PING_INTERVAL,
                max_data=CONNECTION_WINDOW,
                max_stream_data=STREAM_WINDOW,
                max_streams_bidi=MAX_STREAMS,
                stream_ring_cap=SEND_RING,
                socket_buffer_size=SOCKET_BUFFER,
                congestion_control_algorithm=congestion_control,
            )
        )
        self._inboxes: dict[int, _Inbox] = {}
        self._ready: dict[int, None] = {}
        """Streams of whose spool something may be handed on."""
        self._spooled = 0
        self._unsent: dict[int, bytearray] = {}
        """What a full ring did not take."""
        self._ends: set[int] = set()
        """Streams of which FIN follows that."""
        self._orders: deque[tuple[Callable[[int, int], None], int, int]] = deque()
        """Resets and stops that the queue to picoquic's thread did not take."""
        self._stopped: set[int] = set()
        """Streams that we have stopped, and of which no end has come."""
        self._early_stops: dict[int, int] = {}
        """Streams that the peer stopped before anything of them came, and its codes: told behind their first data."""
        self.holds_back = False
        """Whether `deliver` has left something with picoquic, on purpose. Its descriptor stays readable meanwhile."""
        self.bulk = 0
        """Bytes that the last `deliver` found of bodies that are under way: neither their beginning nor their end."""
        self._is_connected = False
        self._bytes_received = 0
        self._heard_at = 0.0
        """When the peer had last sent something (monotonic): the dial, before it ever has."""

    def connect(self, address: Address) -> int:
        """Begin the handshake; return the descriptor that is readable when there is something to `deliver`.

        Raises:
            OSError: there is no socket to be had.
        """
        self._heard_at = time.monotonic()
        self._quic.connect((address[0], address[1]))
        self._quic.set_default_stream_priority(IN_TURN)
        descriptor: int = self._quic.eventfd
        return descriptor

    # --- in ---

    def deliver(self, listener: StreamListener) -> None:
        """Tell `listener` what happened since the last call."""
        while self._ready:
            stream_id = next(iter(self._ready))
            del self._ready[stream_id]
            self._hand_on(stream_id, listener)
        self._repeat_orders()
        self.bulk = 0
        while not self._set_holding_back() and (event := self._quic.next_event()) is not None:
            match event:
                case events.StreamDataReceived():
                    self._received(event.stream_id, bytes(event.data), event.end_stream, listener)
                case events.StreamReset():
                    self.discard(event.stream_id)
                    listener.stream_reset(event.stream_id, event.error_code)
                    self._forget(event.stream_id)
                case events.StopSendingReceived():
                    self._stopped_by_peer(event.stream_id, event.error_code, listener)
                case EarlyStop() if event.stream_id in self._inboxes:  # all that came was its end
                    self._stopped_by_peer(event.stream_id, event.error_code, listener)
                case EarlyStop():
                    self._early_stops[event.stream_id] = event.error_code
                    if len(self._early_stops) > MAX_STREAMS:  # the first are of streams that are long over
                        del self._early_stops[next(iter(self._early_stops))]
                case StreamGone():
                    self._gone(event.stream_id, listener)
                case events.HandshakeCompleted():
                    self._is_connected, self._heard_at = True, time.monotonic()
                    listener.handshake_completed()
                case events.ConnectionTerminated():
                    listener.closed(self._closed(event.error_code))
        for stream_id in list(self._unsent):
            self._send_rest(stream_id)

    def _stopped_by_peer(self, stream_id: int, error_code: int, listener: StreamListener) -> None:
        self.reset(stream_id, error_code)  # RFC 9000 section 3.5: picoquic leaves it to us
        listener.stop_sending(stream_id, error_code)

    def _set_holding_back(self) -> bool:
        self.holds_back = self._spooled >= MAX_SPOOLED or self._quic.tx_event_ring_fill() >= ORDERS_WAITING
        return self.holds_back

    def _closed(self, code: int) -> Closed:
        """aiopquic tells a code and no words: they are found by time and code."""
        if code == WRONG_ALPN:
            reason = "the peer speaks another protocol (no_application_protocol)"
        elif code in _CRYPTO_ERROR and not self._is_connected:
            reason = f"TLS alert {code - _CRYPTO_ERROR.start}"
        elif self._quic.closed_by_application:
            reason = "closed by the peer"
        elif not code and time.monotonic() - self._heard_at > SILENCE:
            return Closed(code, SILENT, is_application=False, is_silence=True)
        elif not self._is_connected:
            reason = "no TLS session: the peer's certificate is not trusted or not its own, or it broke off"
        elif code:
            reason = "closed by the peer's QUIC"
        else:
            reason = "closed, by the peer without a reason or for what it sent, against the protocol"
        return Closed(code, reason, is_application=self._quic.closed_by_application)

    def _received(self, stream_id: int, data: bytes, fin: bool, listener: StreamListener) -> None:
        if fin:
            self._stopped.discard(stream_id)
        inbox = self._inboxes.get(stream_id)
        if inbox is None:
            inbox = self._inboxes[stream_id] = _Inbox()
        elif not fin:
            self.bulk += len(data)
        inbox.fin = fin
        if inbox.held < MAX_HELD and inbox.spool is None:
            inbox.held += len(data)
            listener.stream_data(stream_id, data, fin)
            if (error_code := self._early_stops.pop(stream_id, None)) is not None:
                self._stopped_by_peer(stream_id, error_code, listener)
            return
        if inbox.spool is None:
            inbox.spool = Spool()
        before = inbox.spool.on_disk
        inbox.spool.append(data)
        self._spooled += inbox.spool.on_disk - before

    def _hand_on(self, stream_id: int, listener: StreamListener) -> None:
        inbox = self._inboxes.get(stream_id)
        while inbox is not None and inbox.spool is not None and inbox.held < MAX_HELD:
            before = inbox.spool.on_disk
            data = inbox.spool.take()
            self._spooled -= before - inbox.spool.on_disk
            if not inbox.spool.size:
                inbox.spool = None
            inbox.held += len(data)
            listener.stream_data(stream_id, data, inbox.fin and inbox.spool is None)
            inbox = self._inboxes.get(stream_id)  # the listener may have done with it

    @property
    def has_ready(self) -> bool:
        """Whether `deliver` has something to hand on, though nothing came."""
        return bool(self._ready)

    def consumed(self, stream_id: int, count: int) -> None:
        if (inbox := self._inboxes.get(stream_id)) is not None:
            inbox.held -= count
            if inbox.spool is not None and inbox.held < MAX_HELD:
                self._ready[stream_id] = None

    def _gone(self, stream_id: int, listener: StreamListener) -> None:
        """Tell the ends that were not told. What waits in a spool, and an end behind it, still come."""
        inbox = self._inboxes.get(stream_id)
        if stream_id in self._stopped or (inbox is not None and not inbox.fin):
            self.discard(stream_id)
            listener.stream_reset(stream_id, 0)
        self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        self._stopped.discard(stream_id)
        self._early_stops.pop(stream_id, None)

    def discard(self, stream_id: int) -> None:
        if (inbox := self._inboxes.pop(stream_id, None)) is not None and inbox.spool is not None:
            self._spooled -= inbox.spool.on_disk
            inbox.spool.close()

    # --- out ---

    def open_stream(self) -> int:
        stream_id: int = self._quic.get_next_available_stream_id()
        return stream_id

    def send(self, stream_id: int, data: bytes, fin: bool) -> None:
        if (rest := self._unsent.get(stream_id)) is not None:
            rest += data
            if fin:
                self._ends.add(stream_id)
            return
        try:
            self._quic.send_stream_data(stream_id, data, fin)
        except (BufferError, ValueError):  # the ring is full, or smaller than `data`
            self._unsent[stream_id] = bytearray(data)
            if fin:
                self._ends.add(stream_id)

    def _send_rest(self, stream_id: int) -> None:
        """Send as much as the ring takes of what it did not take before."""
        rest = self._unsent[stream_id]
        while True:
            room = SEND_RING - self._quic.tx_data_ring_used(stream_id)
            piece = bytes(rest[:room])
            is_last = len(piece) == len(rest)
            if not piece and rest:
                return
            try:
                self._quic.send_stream_data(stream_id, piece, is_last and stream_id in self._ends)
            except BufferError:
                return
            del rest[: len(piece)]
            if is_last:
                self._give_up(stream_id)
                return

    @property
    def is_waiting(self) -> bool:
        """Whether `deliver` is to try again, though picoquic may tell nothing: a ring was full, or it holds back."""
        return bool(self._unsent or self._orders) or self.holds_back

    def unsent(self, stream_id: int) -> int:
        in_the_ring: int = self._quic.tx_data_ring_used(stream_id)
        return in_the_ring + len(self._unsent.get(stream_id, b""))

    def _give_up(self, stream_id: int) -> None:
        self._unsent.pop(stream_id, None)
        self._ends.discard(stream_id)

    def reset(self, stream_id: int, error_code: int) -> None:
        self._give_up(stream_id)
        self._order(self._quic.reset_stream, stream_id, error_code)

    def stop(self, stream_id: int, error_code: int) -> None:
        if stream_id in self._inboxes:
            self._stopped.add(stream_id)
        self._order(self._quic.stop_stream, stream_id, error_code)

    def _order(self, order: Callable[[int, int], None], stream_id: int, error_code: int) -> None:
        self._orders.append((order, stream_id, error_code))
        self._repeat_orders()

    def _repeat_orders(self) -> None:
        try:
            while self._orders:
                order, stream_id, error_code = self._orders[0]
                order(stream_id, error_code)
                self._orders.popleft()
        except BufferError:
            return  # its thread is busy; `deliver` comes again

    def is_undelivered(self, besides: int | None = None) -> bool:
        """Whether anything is in flight, as far as picoquic's thread has told: ask twice, with a pause. It does not
        tell of which stream; what is said on the control stream is answered, and so has arrived."""
        quality = self._quic.path_quality()  # asks for a fresh one
        return bool(self._unsent) or quality.get("bytes_in_transit", 0) > 0

    def ping(self) -> None:
        """picoquic sends them itself."""

    def path(self) -> Path:
        quality = self._quic.path_quality()
        if (received := quality.get("bytes_received", 0)) != self._bytes_received:
            self._bytes_received, self._heard_at = received, time.monotonic()
        return Path(quality.get("rtt", 0) / 1e6, quality.get("sent", 0), quality.get("lost", 0))

    def key_exchange(self) -> str:
        """Which group was agreed is not told, unless only one was offered."""
        return "X25519MLKEM768" if self._post_quantum and self._is_connected else ""

    def close(self, error_code: int, reason: str) -> None:
        for _ in range(CLOSE_TRIES):
            try:
                self._quic.close(error_code)
                return
            except BufferError:
                time.sleep(0.001)  # its thread works the queue off meanwhile

    def end(self) -> None:
        """End the thread; what was not sent yet is lost. Nothing may be called after it."""
        self._quic.stop()
