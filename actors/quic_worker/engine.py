"""What carries streams to the edge and back: the seam between the worker and its ways to the edge.

`StreamEngine` is what they have in common: streams, bytes and ends pass it; packets, threads and TLS do not. There are
three, in `engines/`, two of them for QUIC. aioquic is a `PacketEngine` besides, and h2 a `ByteEngine`: these do no I/O
of their own, and are driven by `datagrams.py` and `http2.py`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from actors.exchange.request import Field

IDLE_TIMEOUT: Final = 5.0
"""Seconds without a word until a QUIC connection counts as lost; the edge's own value."""

SILENT: Final = f"nothing came from the peer for {IDLE_TIMEOUT:.0f} s"
"""How every engine says so."""

PING_INTERVAL: Final = 1.0
"""Seconds between PINGs over QUIC: four may be lost before the idle timeout."""

CONNECTION_WINDOW: Final = 24 * 1024 * 1024
"""Bytes that the edge may send ahead, over all streams of a QUIC connection: the bound of what one can make us hold."""

MAX_STREAMS: Final = 2048
"""Streams that the edge may have open at once over QUIC: more than are served (`--max-streams`), so that those beyond
get an answer."""

Address = tuple[str, int] | tuple[str, int, int, int]
"""As the socket module gives it: IPv4, or IPv6 with flow and scope."""

Datagram = tuple[bytes, Address]


class Closed(NamedTuple):
    """Why a connection ended."""

    error_code: int
    reason: str
    is_application: bool
    """Whether the code is the application's (CONNECTION_CLOSE of type 0x1d) or QUIC's own."""
    is_silence: bool = False
    """Whether it ended since nothing came for `IDLE_TIMEOUT`: before the handshake was done, UDP may be blocked."""


class Path(NamedTuple):
    """What is known of the path to the peer."""

    round_trip_time: float = 0.0
    """The smoothed estimate in seconds; 0 before the first sample."""
    packets_sent: int = 0
    packets_lost: int = 0
    """Packets of ours that were declared lost (RFC 9002 section 6)."""


class StreamListener(Protocol):
    """Told what happened on the connection, in order."""

    def handshake_completed(self) -> None: ...
    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None: ...
    def stream_reset(self, stream_id: int, error_code: int) -> None: ...
    def stop_sending(self, stream_id: int, error_code: int) -> None: ...
    def closed(self, why: Closed) -> None: ...


class StreamEngine(Protocol):
    """One connection, as streams."""

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

    def is_undelivered(self, besides: int | None = None) -> bool:
        """Whether a stream other than `besides` still has something to send or to be acknowledged."""

    def ping(self) -> None:
        """Send a PING."""

    def close(self, error_code: int, reason: str) -> None:
        """CONNECTION_CLOSE by the application."""


class QuicStreamEngine(StreamEngine, Protocol):
    """A QUIC connection: both sides open streams."""

    def open_stream(self) -> int:
        """The id of a new bidirectional stream of ours."""

    def path(self) -> Path:
        """What is known of the path."""

    def key_exchange(self) -> str:
        """The TLS group that was agreed, by its registered name; empty while that is not known."""


class ByteListener(StreamListener, Protocol):
    """Told what else happens over HTTP/2."""

    def stream_opened(self, stream_id: int, fields: Sequence[Field], ended: bool) -> None:
        """The edge began a stream with these fields; `ended`: nothing follows."""

    def leaving(self, reason: str) -> None:
        """The edge wants to end the connection, and waits for what runs."""

    def pong(self) -> None:
        """The answer to a PING."""


class ByteEngine(StreamEngine, Protocol):
    """An HTTP/2 connection (RFC 9113) sans I/O, on which the edge opens the streams."""

    def receive(self, data: bytes) -> None:
        """Take what the socket gave."""

    def deliver(self, listener: ByteListener) -> None:
        """Tell `listener` what happened since the last call."""

    def respond(self, stream_id: int, head: list[Field]) -> None:
        """Queue the fields that begin the response on a stream."""

    def end(self, stream_id: int, trailers: list[Field]) -> None:
        """Queue the fields that end it."""

    def output(self, room: int) -> bytes:
        """What is to be sent now; of bodies about `room` bytes at most."""


class PacketListener(StreamListener, Protocol):
    """Told of connection ids too, which only a server with many connections on one socket needs."""

    def connection_id_issued(self, connection_id: bytes) -> None: ...
    def connection_id_retired(self, connection_id: bytes) -> None: ...


class PacketEngine(QuicStreamEngine, Protocol):
    """A QUIC connection (RFC 9000) sans I/O. Times are in seconds of one monotonic clock, passed in."""

    def connect(self, address: Address, now: float) -> None:
        """Begin the handshake (client)."""

    def receive(self, datagrams: list[Datagram], now: float) -> None:
        """Take datagrams that came together."""

    def deliver(self, listener: PacketListener) -> None:
        """Tell `listener` what happened since the last call."""

    def datagrams(self, now: float) -> list[Datagram]:
        """What is to be sent now."""

    def timer(self) -> float | None:
        """When `expire` wants to be called."""

    def expire(self, now: float) -> None:
        """The timer has come."""
