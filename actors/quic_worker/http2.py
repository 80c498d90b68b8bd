"""A connection over HTTP/2: its streams, which all are the edge's, and how bytes get from the engine to the socket."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from actors.exchange.request import Field
from actors.quic_worker.connection import Connection, Owner, Stream
from actors.quic_worker.engine import ByteEngine, Closed

MAX_BUFFERED: Final = 256 * 1024
"""Bytes that wait for the socket. What comes later waits in its stream's queue, where a small answer can pass it."""

MAX_UNREAD: Final = 1024 * 1024
"""Bytes that wait for a peer who goes on asking (PING, SETTINGS) and does not read: more is no honest one's."""

INTERNAL_ERROR: Final = 2
"""RFC 9113 section 7: what is broken off."""


class Pipe(Protocol):
    """What carries the bytes of a connection: `tcp.py` has the real one."""

    def write(self, data: bytes) -> None:
        """Send, or queue while the socket is full."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for the socket."""

    @property
    def unacknowledged(self) -> int:
        """Bytes that the peer has not acknowledged, those that wait among them."""

    def close(self) -> None:
        """Send what waits, and close."""


class Http2Stream(Stream):
    """A stream of the edge's.

    A reset ends both directions. That nobody wants more of the peer's bytes can only be said once ours have ended: from
    then on the stream is the engine's affair alone.
    """

    _connection: "Http2Connection"

    def __init__(self, connection: "Http2Connection", stream_id: int, fields: Sequence[Field], *, ended: bool) -> None:
        super().__init__(connection, stream_id)
        self.fields = fields
        """What it began with."""
        self.has_ended = ended
        """Whether nothing follows that."""

    def respond(self, head: list[Field]) -> None:
        """Send a head. Without effect once the sending direction has ended."""
        if self.sending:
            self._connection.enter(self._connection.engine.respond, self.id, head)
            self._connection.transmit_soon()

    def end(self, trailers: list[Field]) -> None:
        """End the response with fields."""
        if self.sending:
            self._connection.enter(self._connection.engine.end, self.id, trailers)
            self._connection.transmit_soon()
            self._end(sending=True)

    def reset(self, error_code: int = INTERNAL_ERROR) -> None:
        if self.sending:
            super().reset(error_code)
            self._end(receiving=True)

    def stop(self, error_code: int = 0) -> None:
        super().stop(error_code)
        self._end()

    def _end(self, *, sending: bool = False, receiving: bool = False) -> None:
        is_the_engine_s = not self._wanted and (sending or not self.sending)
        super()._end(sending=sending, receiving=receiving or is_the_engine_s)


class Http2Connection(Connection):
    """A connection over a `ByteEngine`. It is given its pipe when there is one."""

    engine: ByteEngine

    def __init__(
        self, engine: ByteEngine, owner: Owner, *, on_pong: Callable[[], None], on_leaving: Callable[[str], None]
    ) -> None:
        super().__init__(owner)
        self.engine = engine
        self._on_pong = on_pong
        self._on_leaving = on_leaving
        self._pipe: Pipe | None = None
        self._is_scheduled = False

    # --- the pipe ---

    def begin(self, pipe: Pipe) -> None:
        """The way to the edge is open: send what begins HTTP/2."""
        self._pipe = pipe
        self.enter(self._transmit)

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self.enter(self._received, data)

    def _received(self, data: bytes) -> None:
        self.engine.receive(data)
        self.engine.deliver(self)
        self._transmit()

    def has_room(self) -> None:
        """The socket took what waited."""
        self.enter(self._transmit)

    def lost(self, reason: str) -> None:
        """The pipe is gone."""
        self._pipe = None
        self.closed(Closed(0, reason, is_application=False))

    def transmit_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.enter, self._transmit)

    def _transmit(self) -> None:
        self._is_scheduled = False
        if self._pipe is None:
            return
        # A socket that takes all at once tells of no room later: it is asked again until it has enough, or all is sent.
        while data := self.engine.output(MAX_BUFFERED - self._pipe.waiting):
            self._pipe.write(data)
        if self.is_closed:
            self._pipe.close()  # the reason is among what was written
        elif self._pipe.waiting > MAX_UNREAD:
            self.engine.close(0, "")
            self.closed(Closed(0, "the edge asks, and does not read the answers", is_application=False))
            self._pipe.close()
        else:
            self.progressed()

    def close(self, error_code: int = 0, reason: str = "") -> None:
        self._attempt(self.engine.close, error_code, reason)
        if self._pipe is not None:
            self._attempt(self._transmit)
            self._pipe.close()

    def is_undelivered(self, besides: Stream | None) -> bool:
        """Whether the edge has not got all that was written to streams but `besides`."""
        queued = self.engine.is_undelivered(None if besides is None else besides.id)
        return queued or (self._pipe is not None and self._pipe.unacknowledged > 0)

    # --- for the engine (ByteListener) ---

    def stream_opened(self, stream_id: int, fields: Sequence[Field], ended: bool) -> None:
        stream = Http2Stream(self, stream_id, fields, ended=ended)
        self._streams[stream_id] = stream
        self._guarded(stream, self._owner.accept, stream)
        if ended and stream_id in self._streams:
            self._guarded(stream, stream.deliver, b"", True)

    def _stream(self, stream_id: int) -> Stream:
        """The engine tells of none that it has not opened, nor of any that we are done with."""
        return self._streams[stream_id]

    def _known(self, stream_id: int) -> Stream | None:
        return self._streams.get(stream_id)

    def leaving(self, reason: str) -> None:
        self._on_leaving(reason)

    def pong(self) -> None:
        self._on_pong()
