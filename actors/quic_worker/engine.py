"""What a QUIC engine offers to the rest of the worker: bytes in, bytes out, no socket and no clock of its own.

There are two, in `engines/`; nothing outside that folder knows which one it is.
"""

from typing import NamedTuple, Protocol

Address = tuple[str, int] | tuple[str, int, int, int]
"""As the socket module gives it: IPv4, or IPv6 with flow and scope."""

Datagram = tuple[bytes, Address]


class Closed(NamedTuple):
    """Why a connection ended."""

    error_code: int
    reason: str
    is_application: bool
    """Whether the code is the application's (CONNECTION_CLOSE of type 0x1d) or QUIC's own."""


class EngineListener(Protocol):
    """Told what happened on the connection, in order, by `Engine.deliver`."""

    def handshake_completed(self) -> None: ...
    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None: ...
    def stream_reset(self, stream_id: int, error_code: int) -> None: ...
    def stop_sending(self, stream_id: int, error_code: int) -> None: ...
    def closed(self, why: Closed) -> None: ...
    def connection_id_issued(self, connection_id: bytes) -> None: ...
    def connection_id_retired(self, connection_id: bytes) -> None: ...


class Engine(Protocol):
    """One QUIC connection (RFC 9000), sans I/O. Times are in seconds of one monotonic clock, passed in."""

    def connect(self, address: Address, now: float) -> None:
        """Begin the handshake (client)."""

    def receive(self, datagrams: list[Datagram], now: float) -> None:
        """Take datagrams that came together."""

    def deliver(self, listener: EngineListener) -> None:
        """Tell `listener` what happened since the last call."""

    def datagrams(self, now: float) -> list[Datagram]:
        """What is to be sent now."""

    def timer(self) -> float | None:
        """When `expire` wants to be called."""

    def expire(self, now: float) -> None:
        """The timer has come."""

    def open_stream(self) -> int:
        """The id of a new bidirectional stream of ours."""

    def send(self, stream_id: int, data: bytes, fin: bool) -> None:
        """Queue bytes on a stream. The queue has no bound of its own: ask `unsent`."""

    def unsent(self, stream_id: int) -> int:
        """Bytes of a stream that were never sent yet; 0 for one that is gone."""

    def reset(self, stream_id: int, error_code: int) -> None:
        """RESET_STREAM: give up sending."""

    def stop(self, stream_id: int, error_code: int) -> None:
        """STOP_SENDING: ask the peer to give up sending."""

    def consumed(self, stream_id: int, count: int) -> None:
        """`count` bytes that were delivered are dealt with: the peer may send as many more."""

    def discard(self, stream_id: int) -> None:
        """Nothing more of this stream will be consumed: what it holds of the connection's credit is given back."""

    def is_undelivered(self) -> bool:
        """Whether a stream, besides the first, still has something to send or to be acknowledged."""

    def ping(self) -> None:
        """Send a PING."""

    def round_trip_time(self) -> float:
        """The smoothed estimate in seconds; 0 before the first sample."""

    def packets_sent(self) -> int:
        """Packets of ours so far."""

    def packets_lost(self) -> int:
        """Packets of ours that were declared lost (RFC 9002 section 6)."""

    def key_exchange(self) -> str:
        """The TLS group that was agreed, by its registered name; empty while that is not known."""

    def close(self, error_code: int, reason: str) -> None:
        """CONNECTION_CLOSE by the application."""
