"""The streams of one connection to the edge, and their back-pressure, whatever carries them.

Between the engine, which carries bytes, and the handlers, which know what a stream is for. Handlers are told of bytes
as asyncio's protocols are. How an engine is driven is said by the subclasses: `DatagramConnection` (`datagrams.py`) and
`PicoquicConnection` (`picoquic.py`), which are both QUIC (`quic.py`), and `Http2Connection` (`http2.py`).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from actors.quic_worker.engine import Closed, StreamEngine

HIGH_WATER: Final = 256 * 1024
"""Unsent bytes of one stream at which its source is paused."""

LOW_WATER: Final = 64 * 1024
"""Unsent bytes at which it is resumed: enough to keep a fast path busy while the source wakes up."""


class StreamHandler(Protocol):
    """What a stream is for. When the connection is lost, both `reset_received` and `stop_received` come."""

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer. Call `stream.consumed` when they are dealt with."""

    def eof_received(self) -> None:
        """The peer sent FIN."""

    def reset_received(self) -> None:
        """The peer gave up sending (RESET_STREAM), or the connection is lost."""

    def stop_received(self) -> None:
        """The peer wants no more of our bytes (STOP_SENDING); the sending direction has ended."""

    def pause_writing(self) -> None:
        """Too much is unsent: stop writing for now."""

    def resume_writing(self) -> None:
        """There is room again."""


class Stream:
    """One bidirectional stream.

    It stays in the connection's table until the peer's side has ended (FIN or RESET_STREAM) and ours has: a stream
    that is not in the table is a new one.
    """

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self.id = stream_id
        self.handler: StreamHandler | None = None
        self.sending = True
        """Whether we may still write."""
        self._connection = connection
        self._receiving = True
        self._wanted = True
        self._paused = False
        self._released = False

    def write(self, data: bytes, *, fin: bool = False) -> None:
        """Send bytes, and FIN with the last of them. Without effect once the sending direction has ended."""
        if not self.sending:
            return
        engine = self._connection.engine
        self._connection.enter(engine.send, self.id, data, fin)
        self._connection.transmit_soon()
        if fin:
            self._end(sending=True)
        elif not self._paused and engine.unsent(self.id) > HIGH_WATER:
            self._paused = True
            self._connection.watch(self)
            if self.handler is not None:
                self.handler.pause_writing()

    def reset(self, error_code: int = 0) -> None:
        """Give up sending (RESET_STREAM): the peer must not take what it got for the whole."""
        if self.sending:
            self._connection.enter(self._connection.engine.reset, self.id, error_code)
            self._connection.transmit_soon()
            self._end(sending=True)

    def stop(self, error_code: int = 0) -> None:
        """Ask the peer to give up sending (STOP_SENDING); what still comes is thrown away."""
        if self._receiving and self._wanted:
            self._wanted = False
            engine = self._connection.engine
            self._connection.enter(engine.stop, self.id, error_code)
            engine.discard(self.id)
            self._connection.transmit_soon()

    def consumed(self, count: int) -> None:
        """`count` received bytes are dealt with: the peer may send as many more."""
        if self._wanted and not self._released:
            self._connection.enter(self._connection.engine.consumed, self.id, count)
            self._connection.transmit_soon()

    def _end(self, *, sending: bool = False, receiving: bool = False) -> None:
        self.sending = self.sending and not sending
        self._receiving = self._receiving and not receiving
        if not self.sending and not self._receiving and not self._released:
            self._released = True
            self._connection.release(self)
            self.handler = None  # they hold each other: no collector need look for what is over

    # --- told by the connection ---

    def check_writable(self) -> bool:
        """Resume the handler if there is room again; return whether the stream needs no more watching."""
        if self.sending and self._connection.engine.unsent(self.id) > LOW_WATER:
            return False
        self._paused = False
        if self.handler is not None:  # also at the end: its source may still be held
            self.handler.resume_writing()
        return not self._paused  # it may have written too much again at once

    def deliver(self, data: bytes, fin: bool) -> None:
        """Bytes of the peer."""
        try:
            if not self._wanted or self.handler is None:
                self._connection.engine.consumed(self.id, len(data))
            elif data:
                self.handler.data_received(data)
        finally:  # a fault in the handler does not take the peer's end back
            handler = self.handler
            if fin:
                self._end(receiving=True)
        if fin and self._wanted and handler is not None:
            handler.eof_received()

    def peer_reset(self) -> None:
        """The peer gave up sending."""
        if self._receiving:
            wanted, handler = self._wanted, self.handler
            self._end(receiving=True)
            if wanted and handler is not None:
                handler.reset_received()

    def peer_stop(self) -> None:
        """The peer wants no more of our bytes."""
        if self.sending:
            handler = self.handler
            self._end(sending=True)
            if handler is not None:
                handler.stop_received()


class Owner(NamedTuple):
    """Whom a connection tells what."""

    accept: Callable[[Stream], None]
    """With every stream that the peer opens; sets its handler."""
    on_handshake: Callable[[], None]
    on_closed: Callable[[Closed], None]
    on_fault: Callable[[BaseException], None]
    """The engine failed."""


class Connection(ABC):
    """One connection to the edge, as a table of streams.

    A fault in the engine leaves a connection that nobody can trust. Whichever callback it comes out of, the connection
    is closed, as far as its handlers are concerned, and `on_fault` is told.
    """

    engine: StreamEngine

    def __init__(self, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._streams: dict[int, Stream] = {}
        self._watched: dict[int, Stream] = {}
        self._flushed: asyncio.Future[None] | None = None
        self._besides: int | None = None
        """The stream that `flushed` does not wait for."""
        self._has_failed = False
        self.is_closed = False

    # --- how the engine is driven ---

    @abstractmethod
    def transmit_soon(self) -> None:
        """Send what is due once the present callback is over: many small writes make one batch."""

    @abstractmethod
    def close(self, error_code: int = 0, reason: str = "") -> None:
        """Close the connection, and tell the peer so at once; after a fault too, if the engine still can."""

    # --- for the owner ---

    def enter(self, act: Callable[..., object], *arguments: object) -> None:
        """Let the engine work: the way in for what comes, for timers, and for what streams send."""
        if not self._has_failed:
            self._attempt(act, *arguments)

    def _attempt(self, act: Callable[..., object], *arguments: object) -> None:
        try:
            act(*arguments)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a native part need be no Exception
            if self._has_failed:
                return  # it is no news
            self._has_failed = True
            try:
                self._end_streams()
            finally:
                self._owner.on_fault(error)

    def ping(self) -> None:
        """Send a PING."""
        self.enter(self.engine.ping)
        self.transmit_soon()

    async def flushed(self, besides: Stream | None = None) -> None:
        """Wait until all that was sent on streams but `besides` has been acknowledged, or the connection is gone."""
        if self.is_closed:
            return
        self._besides = None if besides is None else besides.id
        self._flushed = self._loop.create_future()
        self.enter(self.progressed)
        await self._flushed

    # --- for the streams ---

    def watch(self, stream: Stream) -> None:
        """Tell `stream` when it has room again."""
        self._watched[stream.id] = stream

    def progressed(self) -> None:
        """Something may have left, or been acknowledged: wake the writers that have room again."""
        for stream in list(self._watched.values()):
            if stream.check_writable():
                self._watched.pop(stream.id, None)
        if self._flushed is None or self._flushed.done():
            return
        if not self.engine.is_undelivered(self._besides):
            self._flushed.set_result(None)

    def release(self, stream: Stream) -> None:
        """Forget a stream of which both directions have ended."""
        self._streams.pop(stream.id, None)
        self.engine.discard(stream.id)

    def _stream(self, stream_id: int) -> Stream:
        """The stream of that id; one that is not known is the peer's newest."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = Stream(self, stream_id)
            self._guarded(stream, self._owner.accept, stream)
        return stream

    # --- for the engine (StreamListener) ---

    def handshake_completed(self) -> None:
        self._owner.on_handshake()

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        stream = self._stream(stream_id)
        self._guarded(stream, stream.deliver, data, fin)

    def stream_reset(self, stream_id: int, error_code: int) -> None:
        if (stream := self._known(stream_id)) is not None:
            self._guarded(stream, stream.peer_reset)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        if (stream := self._known(stream_id)) is not None:
            self._guarded(stream, stream.peer_stop)

    def _known(self, stream_id: int) -> Stream | None:
        """The stream of that id. One that is done with, or begins with its own end, needs no handler: it is ended."""
        stream = self._streams.get(stream_id)
        if stream is None:
            self.engine.reset(stream_id, 0)
            self.engine.stop(stream_id, 0)
        return stream

    def _guarded(self, stream: Stream, act: Callable[..., None], *arguments: object) -> None:
        """Call a handler. A fault in it costs its own stream, and no other."""
        try:
            act(*arguments)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"fault in stream {stream.id}", "exception": error})
            if not self.is_closed:
                stream.reset()
                stream.stop()

    def closed(self, why: Closed) -> None:
        if self.is_closed:
            return
        try:
            self._end_streams()
        finally:
            self._owner.on_closed(why)

    def _end_streams(self) -> None:
        """The connection is gone: nobody need wait for it any more."""
        self.is_closed = True
        if self._flushed is not None and not self._flushed.done():
            self._flushed.set_result(None)
        for stream in list(self._streams.values()):
            self._guarded(stream, stream.peer_reset)
            self._guarded(stream, stream.peer_stop)
