"""A connection to the origin: requests out, parsed responses in.

`response.py` reads the responses. What it reads goes to a `ResponseHandler` (`backend.py`), in order; after an upgrade
the bytes pass as they are. One exchange at a time; `origin_pool.py` keeps connections between exchanges.
"""

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from typing import Final, Protocol, cast

from actors.exchange import flow, reuse
from actors.exchange.backend import OriginError, ResponseHandler
from actors.exchange.http1 import RequestHead
from actors.exchange.response import MAX_HEAD, MalformedResponse, ResponseReader

READ_BYTES: Final = 64 * 1024
"""What one read from an origin takes at most. All connections read into one buffer: a new one of asyncio's own size
(256 KiB) for each read is mapped by the kernel and unmapped again, which costs more than a small answer does."""

WRITE_HIGH_WATER: Final = 64 * 1024
"""Bytes that wait for a slow origin before the edge is told to wait too."""


class Keeper(Protocol):
    """Who keeps connections between exchanges."""

    def waits(self, connection: "OriginConnection") -> None:
        """A new connection has sent its first request."""

    def answers(self, connection: "OriginConnection") -> None:
        """And the first byte of the answer has come."""

    def forget(self, connection: "OriginConnection") -> None:
        """It has ended, or says something unasked."""


_read_buffer: Final = memoryview(bytearray(READ_BYTES))
"""Filled and emptied in one step of the event loop, so that one is enough."""


class OriginConnection(asyncio.BufferedProtocol):
    """One connection. `begin` starts an exchange on it."""

    def __init__(self, pool: Keeper, name: str | None = None) -> None:
        """`name`: that of the other side in TLS."""
        self._pool = pool
        self.name = name
        self._transport: asyncio.Transport | None = None
        self._handler: ResponseHandler | None = None
        self._exchanges = 0
        self._early = b""
        """What the origin said before its first exchange: uvloop reads before whoever connected comes to begin one."""
        self._early_end: Callable[[], None] | None = None
        """And what is to be done about its end, if that came too."""
        self._idle_since = 0.0

    # --- exchanges ---

    def begin(self, handler: ResponseHandler, head: RequestHead, *, raw: bool = False) -> None:
        """Send `head` and serve `handler` from now on; `raw`: no HTTP is spoken."""
        self._handler = handler
        self._exchanges += 1
        self._raw = raw
        self._reader = ResponseReader(head.method, upgrade=head.upgrade)
        self._silent = True
        """Whether not a byte of the answer has come."""
        self._serves_one = raw or not reuse.request_allows(head)
        """Whether nobody else may be served here afterwards. A body makes it so: an origin may answer without reading
        it, and would take what it has not read for the next request."""
        self.reusable = False
        """Whether another exchange may follow this one."""
        if self._transport is not None and head.data:
            self._transport.write(head.data)
        if self._exchanges == 1 and not raw:
            self._pool.waits(self)
        if self._early or self._early_end is not None:
            asyncio.get_running_loop().call_soon(self._hand_on_early)

    def _hand_on_early(self) -> None:
        if self._early:
            early, self._early = self._early, b""
            self.resume()
            self._received(early)
        if self._early_end is not None:
            self._early_end()

    def idle(self, now: float) -> None:
        """The exchange is over: wait for the next one."""
        self._handler = None
        self._idle_since = now
        self.resume()

    @property
    def idle_since(self) -> float:
        """Since when it serves nobody, on the event loop's clock."""
        return self._idle_since

    @property
    def is_usable(self) -> bool:
        """Whether it is still open, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def may_be_stale(self) -> bool:
        """Whether the origin may have closed it before this exchange reached it: reused, and not a byte came back."""
        return self._exchanges > 1 and self._silent

    # --- towards the origin ---

    def write(self, data: bytes) -> None:
        """Send more of the request than its head."""
        self._serves_one = True
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Half-close: the visitor of a raw tunnel has no more to say."""
        if self._transport is None:
            return
        if not self._transport.can_write_eof():
            self._transport.close()  # TLS has no half-close here
            return
        try:
            self._transport.write_eof()
        except OSError:  # the origin has reset the connection, and asyncio does not know it yet
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        flow.stop(self._transport)

    def resume(self) -> None:
        flow.start(self._transport)

    def abort(self) -> None:
        """Close at once; the handler hears nothing more."""
        self._handler = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close once what was written has left; the handler hears nothing more."""
        self._handler = None
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.BufferedProtocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received(bytes(_read_buffer[:nbytes]))

    def _received(self, data: bytes) -> None:
        if not self._exchanges:
            self._early += data
            self.pause()  # more than a piece is not held
        elif self._handler is None:
            self._pool.forget(self)
            self.abort()
        elif self._raw:
            self._handler.body_received(data)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        assert self._handler is not None
        reader, handler = self._reader, self._handler
        if self._silent:
            self._silent = False
            self._pool.answers(self)
        begins = reader.head is None
        try:
            body = reader.feed(data)
        except MalformedResponse as error:
            if begins and reader.head is not None:  # however it was split: 502 before the head, a reset after it
                handler.head_received(reader.head, b"", complete=False)
            self._fail(f"the origin's response cannot be read: {error}")
            return
        except Exception as error:  # a fault of this program, which costs this exchange
            asyncio.get_running_loop().call_exception_handler({"message": "fault in the reader", "exception": error})
            self._fail("an internal fault while the response was read")
            return
        if (head := reader.head) is None:
            return
        if begins:
            self._serves_one = self._serves_one or not reuse.response_allows(head.told)
            self._raw = head.status == 101
            if reader.is_complete:
                self.reusable = reader.is_reusable and not self._serves_one
                self._handler = None
            handler.head_received(head, body, complete=reader.is_complete and not reader.trailers)
            if reader.trailers:
                handler.response_ended(reader.trailers)
            return
        if body:
            handler.body_received(body)
        if reader.is_complete:
            self._end(keep_alive=reader.is_reusable and not self._serves_one)

    def eof_received(self) -> bool:
        """The origin sends no more; return whether the other direction stays open."""
        assert self._transport is not None
        can_stay = self._transport.can_write_eof()
        if not self._exchanges:
            self._early_end = self._hand_on_eof
            return can_stay
        if self._handler is None:
            self._pool.forget(self)
            return False
        if self._raw or self._reader.is_bounded_by_close:
            self._end(keep_alive=False)
            return self._raw and can_stay
        self._fail("the origin closed the connection before its response was complete")
        return False

    def _hand_on_eof(self) -> None:
        if not self.eof_received():
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._exchanges:
            self._early_end = self._early_end or functools.partial(self.connection_lost, exc)
            return
        self._pool.forget(self)
        if isinstance(exc, OSError) and not self._raw and self.is_waiting:
            self._read_what_is_left()
        if self._handler is not None:
            reason = plain(exc) if isinstance(exc, OSError) else "closed"
            self._fail(f"the connection to the origin was lost: {reason}")

    @property
    def is_waiting(self) -> bool:
        """Whether an exchange waits for the head of its response."""
        return self._handler is not None and self._reader.head is None

    def _read_what_is_left(self) -> None:
        """An origin may answer and close without reading an upload to its end (RFC 9112 section 9.6).

        Writing fails then, and asyncio gives the connection up with the answer unread.
        """
        assert self._transport is not None
        broken = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError), broken.dup() as left:
            left.setblocking(False)
            while self._handler is not None and (data := left.recv(MAX_HEAD)):
                self._parse(data)
            if self._handler is not None and self._reader.is_bounded_by_close:
                self._end(keep_alive=False)

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_upload()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_upload()

    def _end(self, *, keep_alive: bool) -> None:
        if self._handler is None:
            return
        self.reusable = keep_alive
        handler = self._handler
        if not self._raw:
            self._handler = None
        handler.response_ended(self._reader.trailers)

    def _fail(self, message: str) -> None:
        handler, self._handler = self._handler, None
        if self._transport is not None:
            self._transport.abort()
        if handler is not None:
            handler.response_failed(OriginError(message))


def plain(error: OSError) -> str:
    """What an OSError means: asyncio puts an address in the place of the reason, or nothing at all."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
