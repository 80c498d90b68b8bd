"""A connection to the origin: requests out, parsed responses in.

llhttp (httptools) reads the responses. What it reports goes to a `ResponseHandler`, in order; after an upgrade the
bytes pass as they are. One exchange at a time; `origin_pool.py` keeps connections between exchanges.
"""

import asyncio
import contextlib
import errno
import functools
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

MAX_RESPONSE_HEAD: Final = 64 * 1024
"""Bytes of a response's status line and fields."""

MAX_RESPONSE_FIELDS: Final = 200
"""Fields of a response; real ones have some twenty, and the edge takes no more than about these."""

MAX_INTERIM_RESPONSES: Final = 16
"""1xx responses before the final one; more are a flood."""

READ_BYTES: Final = 64 * 1024
"""What one read from an origin takes at most. All connections read into one buffer: a new one of asyncio's own size
(256 KiB) for each read is mapped by the kernel and unmapped again, which costs more than a small answer does."""

WRITE_HIGH_WATER: Final = 64 * 1024
"""Bytes that wait for a slow origin before the edge is told to wait too."""


class OriginError(Exception):
    """The origin did not answer as HTTP demands: `status` is what the visitor gets for it."""

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class ResponseHandler(Protocol):
    """Told what the origin answers."""

    def head_received(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """The final response's head, or 101."""

    def body_received(self, data: bytes) -> None:
        """Bytes of the body, without framing; or raw bytes after an upgrade."""

    def response_ended(self) -> None:
        """The body is complete; after an upgrade: the origin sends no more."""

    def response_failed(self, error: OriginError) -> None:
        """There is no response, or no more of it."""

    def pause_upload(self) -> None:
        """The origin reads more slowly than we write."""

    def resume_upload(self) -> None:
        """It has caught up."""


class Idle(Protocol):
    """Told when a connection that serves nobody ends, or says something unasked."""

    def forget(self, connection: "OriginConnection") -> None: ...


_read_buffer: Final = memoryview(bytearray(READ_BYTES))
"""Filled and emptied in one step of the event loop, so that one is enough."""


class OriginConnection(asyncio.BufferedProtocol):
    """One connection. `begin` starts an exchange on it."""

    def __init__(self, pool: Idle) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._handler: ResponseHandler | None = None
        self._exchanges = 0
        self._early = b""
        """What the origin said before its first exchange: uvloop reads before whoever connected comes to begin one."""
        self._early_end: Callable[[], None] | None = None
        """And what is to be done about its end, if that came too."""
        self._idle_since = 0.0

    # --- exchanges ---

    def begin(self, handler: ResponseHandler, *, method: str = "", upgrade: bool = False, raw: bool = False) -> None:
        """Serve `handler` from now on. `method` and `upgrade` say what is asked; `raw`, that no HTTP is spoken."""
        self._handler = handler
        self._exchanges += 1
        self._method = method
        self._upgrade = upgrade
        self._raw = raw
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._status = 0
        self._interim = 0
        self._until_close = False
        self._keep_alive = False
        self._complete = False
        self._surplus = False
        """Bytes came after the end of the response: nobody asked for them, and nobody shall get them."""
        self.reusable = False
        """Whether another exchange may follow this one."""
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
        return self._exchanges > 1 and not self._head_bytes

    # --- towards the origin ---

    def write(self, data: bytes) -> None:
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
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

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
        if not self._status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._raw = True
            if self._handler is not None and (rest := data[upgrade.args[0] :]):
                self._handler.body_received(rest)
            return
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # a fault of our own, not of the origin
        except httptools.HttpParserError as error:
            self._surplus = True
            if not self._complete and self._handler is not None:
                self._fail(f"the origin's response is no HTTP: {error}")
                return
        if self._complete:
            self._end(keep_alive=self._keep_alive and not self._surplus)
        elif not self._status and self._head_bytes > MAX_RESPONSE_HEAD:
            self._fail(f"the origin's response has a head of more than {MAX_RESPONSE_HEAD} bytes")

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
        if self._raw or self._until_close:
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
        return self._handler is not None and not self._status

    def _read_what_is_left(self) -> None:
        """An origin may answer and close without reading an upload to its end (RFC 9112 section 9.6).

        Writing fails then, and asyncio gives the connection up with the answer unread.
        """
        assert self._transport is not None
        broken = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError), broken.dup() as left:
            left.setblocking(False)
            while self._handler is not None and (data := left.recv(MAX_RESPONSE_HEAD)):
                self._parse(data)
            if self._handler is not None and self._until_close:
                self._end(keep_alive=False)

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_upload()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_upload()

    # --- what llhttp reports ---

    def on_message_begin(self) -> None:
        self._surplus = self._surplus or self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:
            return  # a trailer: the protocol carries none
        self._fields.append((name, value))
        if len(self._fields) > MAX_RESPONSE_FIELDS:
            self._fail(f"the origin's response has more than {MAX_RESPONSE_FIELDS} fields")

    def on_headers_complete(self) -> None:
        if self._complete or self._handler is None:
            return
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            self._head_bytes = 1  # each head is measured for itself
            if self._interim > MAX_INTERIM_RESPONSES:
                self._fail(f"the origin sent more than {MAX_INTERIM_RESPONSES} interim responses")
            return
        if status == 101 and not (self._upgrade and self._parser.should_upgrade()):
            self._fail("the origin switched protocols without being asked to")
            return
        self._status = status
        coded = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        is_chunked = bool(coded) and coded[-1].rpartition(b",")[2].strip(b" \t") == b"chunked"
        has_length = any(name.lower() == b"content-length" for name, _ in fields)
        self._keep_alive = self._parser.should_keep_alive()  # it forgets at the end of the message
        self._until_close = not is_chunked and (bool(coded) or not has_length)
        self._handler.head_received(status, fields)
        # llhttp knows responses, not what they answer: this one has no body whatever its fields say.
        self._complete = self._method == "HEAD"

    def on_body(self, data: bytes) -> None:
        if self._complete:
            self._surplus = True
        elif self._status and self._handler is not None:
            self._handler.body_received(data)

    def on_message_complete(self) -> None:
        if self._status and self._status != 101:
            self._complete = True

    def _end(self, *, keep_alive: bool) -> None:
        if self._handler is None:
            return
        self.reusable = keep_alive
        handler = self._handler
        if not self._raw:
            self._handler = None
        handler.response_ended()

    def _fail(self, message: str) -> None:
        handler, self._handler = self._handler, None
        if self._transport is not None:
            self._transport.abort()
        if handler is not None:
            handler.response_failed(OriginError(message))


def plain(error: OSError) -> str:
    """What an OSError means, without the list of every address that was tried."""
    text = str(error)
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
        return "connection refused; does anything listen there?"
    return error.strerror or text
