"""A connection to the origin: bytes out, a parsed response in.

llhttp (httptools) reads the response. What it reports goes to a `ResponseHandler`, in order; after an upgrade the
bytes pass as they are.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from actors.messages import Origin

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to reach the origin: it is on this machine or next to it."""

MAX_RESPONSE_HEAD: Final = 64 * 1024
"""Bytes of a response's status line and fields."""

MAX_INTERIM_RESPONSES: Final = 16
"""1xx responses before the final one; more are a flood."""

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


class OriginConnection(asyncio.Protocol):
    """One connection, for one exchange."""

    def __init__(self, handler: ResponseHandler, *, method: str = "", upgrade: bool = False, raw: bool = False) -> None:
        """`method` and `upgrade` say what is asked; `raw`, that no HTTP is spoken at all."""
        self._handler = handler
        self._method = method
        self._upgrade = upgrade
        self._raw = raw
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._status = 0
        self._interim = 0
        self._until_close = False
        self._ended = False

    @classmethod
    async def open(cls, origin: Origin, make: Callable[[], "OriginConnection"]) -> "OriginConnection":
        """Connect.

        Raises:
            OriginError: nothing answers there (502), or not in time (504).
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                # `localhost` has two addresses on most machines, and servers often listen on one of them.
                _, connection = await loop.create_connection(make, origin.host, origin.port, happy_eyeballs_delay=0.25)
        except TimeoutError as error:
            raise OriginError(f"no connection to {origin} within {CONNECT_TIMEOUT:.0f} s", status=504) from error
        except OSError as error:
            raise OriginError(f"cannot connect to {origin}: {_plain(error)}") from error
        return connection

    # --- towards the origin ---

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Half-close: the visitor of a raw tunnel has no more to say."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; the handler hears nothing more."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close once what was written has left; the handler hears nothing more."""
        self._ended = True
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self._ended:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self._raw:
            self._handler.body_received(data)
            return
        if not self._status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._raw = True
            if rest := data[upgrade.args[0] :]:
                self._handler.body_received(rest)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # a fault of our own, not of the origin
        except httptools.HttpParserError as error:
            if not self._ended:
                self._fail(f"the origin's response is no HTTP: {error}")
            return
        if not self._status and self._head_bytes > MAX_RESPONSE_HEAD and not self._ended:
            self._fail(f"the origin's response has a head of more than {MAX_RESPONSE_HEAD} bytes")

    def eof_received(self) -> bool:
        if self._ended:
            return False
        if self._raw or self._until_close:
            self._end()
            return self._raw  # the other direction of a raw tunnel goes on
        self._fail("the origin closed the connection before its response was complete")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended:
            reason = _plain(exc) if isinstance(exc, OSError) else "closed"
            self._fail(f"the connection to the origin was lost: {reason}")

    def pause_writing(self) -> None:
        if not self._ended:
            self._handler.pause_upload()

    def resume_writing(self) -> None:
        if not self._ended:
            self._handler.resume_upload()

    # --- what llhttp reports ---

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # later ones are trailers, which the protocol does not carry
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM_RESPONSES:
                self._fail(f"the origin sent more than {MAX_INTERIM_RESPONSES} interim responses")
            return
        if status == 101 and not (self._upgrade and self._parser.should_upgrade()):
            self._fail("the origin switched protocols without being asked to")
            return
        self._status = status
        names = {name.lower() for name, _ in fields}
        self._until_close = b"content-length" not in names and b"transfer-encoding" not in names
        self._handler.head_received(status, fields)
        if self._method == "HEAD" and not self._ended:
            # llhttp knows responses, not what they answer: this one has no body whatever its fields say.
            self._end()

    def on_body(self, data: bytes) -> None:
        if self._status and not self._ended:
            self._handler.body_received(data)

    def on_message_complete(self) -> None:
        if self._status and self._status != 101 and not self._ended:
            self._end()

    def _end(self) -> None:
        self._ended = not self._raw
        self._handler.response_ended()

    def _fail(self, message: str) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.abort()
        self._handler.response_failed(OriginError(message))


def _plain(error: OSError) -> str:
    """What an OSError means, without the list of every address that was tried."""
    text = str(error)
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in text:
        return "connection refused; does anything listen there?"
    return error.strerror or text
