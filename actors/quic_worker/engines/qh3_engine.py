"""qh3 as the QUIC engine: its packet core is native, which makes it several times as fast as aioquic.

It gives a peer new credit as soon as it has handed its bytes on, whatever becomes of them. So what a stream's consumer
does not want yet waits in a `Spool`: memory is bounded stream by stream, and no stream holds up another. Its congestion
controller is CUBIC, and no other can be put in.
"""

import contextlib
import itertools
from typing import Any, Final

from qh3.quic import events
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnectionError
from qh3.tls import CipherSuite

from actors.quic_worker.engine import Address, Closed, Datagram, EngineListener
from actors.quic_worker.engines.path_mtu import BASE_BYTES
from actors.quic_worker.engines.pieces import Pieces
from actors.quic_worker.engines.qh3_connection import Qh3Connection
from actors.quic_worker.engines.spool import Spool

STREAM_WINDOW: Final = 2 * 1024 * 1024
"""Bytes that a peer may send on a stream ahead of what was taken from it; 160 Mbit/s at a round trip of 100 ms."""

CONNECTION_WINDOW: Final = 24 * 1024 * 1024
"""The same over all streams of a connection."""

MAX_HELD: Final = 256 * 1024
"""Bytes of one stream that are handed on before any are consumed; what comes after waits in its spool."""

MAX_SPOOLED: Final = 1024 * 1024 * 1024
"""Bytes that all spools of a connection may have on disk. Then nothing more is taken from the core, of no stream, until
some are consumed: its windows fill up, and the peer waits. Better than to lose any."""

IDLE_TIMEOUT: Final = 5.0
"""Seconds without a word until the connection counts as lost; the edge's own value."""


class _Inbox:
    """What a stream's consumer has not dealt with."""

    def __init__(self) -> None:
        self.held = 0
        """Bytes handed on and not consumed."""
        self.spool = Spool()
        self.fin = False
        """Whether the stream's end has come."""
        self.is_over = False
        """Whether it has been handed on."""

    @property
    def waits(self) -> bool:
        """Whether there is something to hand on: bytes, or an end that came without any."""
        return bool(self.spool.size) or (self.fin and not self.is_over)


class Qh3Engine:
    """An `Engine` on a `Qh3Connection`."""

    def __init__(self, connection: Qh3Connection) -> None:
        self._connection = connection
        self._inboxes: dict[int, _Inbox] = {}
        self._ready: dict[int, None] = {}
        """Streams whose spool may be handed on."""
        self._on_disk = 0
        self._failed: Closed | None = None
        self._pings = itertools.count()
        self._packets_sent = 0

    @classmethod
    def client(cls, configuration: QuicConfiguration, *, post_quantum: bool = False) -> "Qh3Engine":
        """`post_quantum`: offer no other key exchange."""
        return cls(Qh3Connection(configuration, post_quantum=post_quantum))

    def connect(self, address: Address, now: float) -> None:
        self._connection.connect(address, now)

    # --- in ---

    def receive(self, datagrams: list[Datagram], now: float) -> None:
        connection = self._connection
        try:
            if not connection.key_exchange:
                for data, address in datagrams:
                    if self._failed is None and connection.close_event is None:  # it would go on after that by itself
                        connection.receive_datagram(data, address, now)
            elif self._failed is None:
                for address, group in itertools.groupby(datagrams, key=_address):
                    connection.receive_many_datagrams([data for data, _ in group], address, now)
        except QuicConnectionError as error:
            self._fail(error)

    def _fail(self, error: QuicConnectionError) -> None:
        """The core raised: whatever the peer did, or it did itself, the connection is over."""
        self._failed = Closed(error.error_code, error.reason_phrase, is_application=False)
        self._connection.close(error.error_code, error.frame_type, error.reason_phrase)

    def deliver(self, listener: EngineListener) -> None:
        self._deliver_events(listener)
        while self._ready:
            stream_id = next(iter(self._ready))
            del self._ready[stream_id]
            self._hand_on(stream_id, listener)
        if self._connection.is_held and self._on_disk < MAX_SPOOLED:
            self._connection.let_go()
            self._deliver_events(listener)
        if self._failed is not None:
            listener.closed(self._failed)
        elif self._connection.is_draining and self._connection.close_event is not None:
            listener.closed(_closed(self._connection.close_event))

    def _deliver_events(self, listener: EngineListener) -> None:
        pieces = Pieces()  # of several streams at once, there is an event a packet
        while (event := self._connection.next_event()) is not None:
            match event:
                case events.StreamDataReceived():
                    pieces.add(event.stream_id, event.data, event.end_stream)
                case events.StreamReset():
                    self._receive_all(pieces, listener)
                    self._forget(event.stream_id)
                    listener.stream_reset(event.stream_id, event.error_code)
                case events.StopSendingReceived():
                    self._receive_all(pieces, listener)
                    listener.stop_sending(event.stream_id, event.error_code)
                case events.HandshakeCompleted():
                    listener.handshake_completed()
                case events.ConnectionTerminated():
                    self._receive_all(pieces, listener)
                    listener.closed(_closed(event))
                case events.ConnectionIdIssued():
                    listener.connection_id_issued(event.connection_id)
                case events.ConnectionIdRetired():
                    listener.connection_id_retired(event.connection_id)
        self._receive_all(pieces, listener)

    def _receive_all(self, pieces: Pieces, listener: EngineListener) -> None:
        for stream_id, data, fin in pieces.take():
            self._received(stream_id, data, fin, listener)

    def _received(self, stream_id: int, data: bytes, fin: bool, listener: EngineListener) -> None:
        inbox = self._inboxes.get(stream_id)
        if inbox is None:
            inbox = self._inboxes[stream_id] = _Inbox()
        inbox.fin = fin
        if inbox.held < MAX_HELD and not inbox.spool.size:
            inbox.held += len(data)
            inbox.is_over = fin
            listener.stream_data(stream_id, data, fin)
            return
        before = inbox.spool.on_disk
        inbox.spool.append(data)
        self._on_disk += inbox.spool.on_disk - before
        self._connection.is_held = self._on_disk >= MAX_SPOOLED

    def _hand_on(self, stream_id: int, listener: EngineListener) -> None:
        inbox = self._inboxes.get(stream_id)
        while inbox is not None and inbox.waits and inbox.held < MAX_HELD:
            before = inbox.spool.on_disk
            data = inbox.spool.take()
            self._on_disk -= before - inbox.spool.on_disk
            inbox.held += len(data)
            inbox.is_over = inbox.fin and not inbox.spool.size
            listener.stream_data(stream_id, data, inbox.is_over)
            inbox = self._inboxes.get(stream_id)  # the listener may have done with it

    def consumed(self, stream_id: int, count: int) -> None:
        if (inbox := self._inboxes.get(stream_id)) is not None:
            inbox.held -= count
            if inbox.waits and inbox.held < MAX_HELD:
                self._ready[stream_id] = None

    def discard(self, stream_id: int) -> None:
        self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        if (inbox := self._inboxes.pop(stream_id, None)) is not None:
            self._on_disk -= inbox.spool.on_disk
            inbox.spool.close()

    # --- out ---

    def datagrams(self, now: float) -> list[Datagram]:
        try:
            datagrams: list[Datagram] = self._connection.datagrams_to_send(now)
        except QuicConnectionError as error:
            self._fail(error)
            return []
        self._packets_sent += len(datagrams)
        return datagrams

    def timer(self) -> float | None:
        return self._connection.get_timer()

    def expire(self, now: float) -> None:
        try:
            self._connection.handle_timer(now)
        except QuicConnectionError as error:
            self._fail(error)

    def open_stream(self) -> int:
        return self._connection._open_stream()

    def send(self, stream_id: int, data: bytes, fin: bool) -> None:
        if self._connection._stream_can_send(stream_id):
            self._connection.send_stream_data(stream_id, data, fin)

    def unsent(self, stream_id: int) -> int:
        return self._connection.get_send_buffer_size(stream_id)

    def reset(self, stream_id: int, error_code: int) -> None:
        # What has ended with FIN is not to be cut off: a late RESET_STREAM may come while our answer is under way.
        if self._connection._stream_can_send(stream_id):
            with contextlib.suppress(QuicConnectionError, ValueError):  # it is gone: there is nothing to give up
                self._connection.reset_stream(stream_id, error_code)

    def stop(self, stream_id: int, error_code: int) -> None:
        if (inbox := self._inboxes.get(stream_id)) is not None and inbox.fin:
            return  # nothing more is to come, and qh3 would reset our own direction for it
        with contextlib.suppress(QuicConnectionError, ValueError):  # likewise
            self._connection.stop_stream(stream_id, error_code)

    def is_undelivered(self) -> bool:
        core = self._connection.core
        if core is None:
            return False
        return core.bytes_in_flight > 0 or self._connection.get_send_buffer_size() > 0

    def ping(self) -> None:
        with contextlib.suppress(QuicConnectionError):  # it is over, and the owner is told so by `deliver`
            self._connection.send_ping(next(self._pings))

    # --- what is known ---

    def round_trip_time(self) -> float:
        core = self._connection.core
        return (core.smoothed_rtt or 0.0) if core is not None else 0.0

    def packets_sent(self) -> int:
        return self._packets_sent

    def packets_lost(self) -> int:
        core = self._connection.core
        return core.loss_total if core is not None else 0

    def key_exchange(self) -> str:
        return self._connection.key_exchange

    def close(self, error_code: int, reason: str) -> None:
        with contextlib.suppress(QuicConnectionError):  # as above
            self._connection.close(error_code, None, reason)


def client_configuration(
    *, server_name: str, alpn: str, ca_file: str | None, ca_data: bytes | None
) -> QuicConfiguration:
    """The configuration of a client that trusts `ca_file` and `ca_data` and nothing else."""
    return QuicConfiguration(
        is_client=True, alpn_protocols=[alpn], server_name=server_name, cafile=ca_file, cadata=ca_data, **_COMMON
    )


def server_configuration(*, alpn: str, certificate: bytes, private_key: bytes) -> QuicConfiguration:
    """The configuration of a server with one certificate (PEM)."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=[alpn], **_COMMON)
    configuration.load_cert_chain(certificate, private_key)
    return configuration


_COMMON: Final[dict[str, Any]] = {
    "idle_timeout": IDLE_TIMEOUT,
    "max_data": CONNECTION_WINDOW,
    "max_stream_data": STREAM_WINDOW,
    "max_datagram_size": BASE_BYTES,
    # RFC 9221 is negotiated, as peers expect; nobody sends any on a quick tunnel.
    "max_datagram_frame_size": 65535,
    # AES-128 as the Go client picks it; ChaCha20 for peers without AES in hardware.
    "cipher_suites": [
        CipherSuite.AES_128_GCM_SHA256,
        CipherSuite.AES_256_GCM_SHA384,
        CipherSuite.CHACHA20_POLY1305_SHA256,
    ],
}


def _address(datagram: Datagram) -> Address:
    return datagram[1]


def _closed(event: events.ConnectionTerminated) -> Closed:
    return Closed(event.error_code, event.reason_phrase or "", event.frame_type is None)
