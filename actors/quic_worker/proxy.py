"""One exchange: a stream of the edge on one side, a connection to the origin on the other.

Bytes pass as they come; what one side cannot take yet stops the other side's source: a slow origin keeps the stream's
flow-control credit, a slow visitor pauses reading from the origin. A response that breaks off ends with RESET_STREAM,
never with FIN.
"""

import asyncio
import contextlib
import functools
import http
from collections.abc import Callable
from time import monotonic
from typing import Concatenate, Final, NamedTuple, ParamSpec

from actors.log import Logger
from actors.quic_worker.connection import Stream
from actors.quic_worker.http1 import (
    LAST_CHUNK,
    BadRequest,
    Body,
    RequestHead,
    build_request_head,
    chunk,
    error_metadata,
    response_metadata,
)
from actors.quic_worker.ledger import Ledger
from actors.quic_worker.origin import OriginConnection, OriginError
from actors.quic_worker.origin_pool import OriginPool
from actors.quic_worker.wire.connect import ConnectionType, ConnectRequest, ConnectResponse, encode_response
from actors.tasks import Tasks

HALF_CLOSED_TIMEOUT: Final = 5.0
"""Seconds that a raw tunnel lives on after the origin has closed its side."""

MAX_LOGGED_PATH: Final = 200
"""Characters of a path in the log of requests."""

_RAW_HEAD: Final = RequestHead(b"", "", Body.NONE, 0, upgrade=False)
"""What is sent ahead on a raw TCP tunnel: nothing."""


class Surroundings(NamedTuple):
    """What every exchange of a connection shares."""

    pool: OriginPool
    ledger: Ledger
    tasks: Tasks
    is_full: Callable[[], bool]
    """Whether as many exchanges run as may."""
    ended: Callable[["Exchange"], None]
    """Called once, when an exchange needs nothing any more."""
    log: Logger | None
    """Where each request is logged; None: nowhere."""


_P = ParamSpec("_P")


def _contained(act: Callable[Concatenate["Exchange", _P], None]) -> Callable[Concatenate["Exchange", _P], None]:
    """A fault in an exchange, from whichever callback it comes, costs that exchange and no other."""

    @functools.wraps(act)
    def contained(self: "Exchange", /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            act(self, *args, **kwargs)
        except Exception as error:
            self._fault(error)

    return contained


class Exchange:
    """One request and its response; or one raw tunnel, after an upgrade or of the TCP type."""

    def __init__(self, stream: Stream, request: ConnectRequest, surroundings: Surroundings) -> None:
        self._stream = stream
        self._request = request
        self._pool, self._ledger, self._tasks, self._is_full, self._on_ended, self._log = surroundings
        self._origin: OriginConnection | None = None
        self._head = _RAW_HEAD
        self._left = 0
        """Bytes of a body with Content-Length that are still to come."""
        self._raw = False
        self._early: list[bytes] = []
        """What came before the origin could take it; bounded by the stream's receive window."""
        self._request_ended = False
        self._response_begun = False
        self._response_ended = False
        self._upload_ended = False
        self._upload_paused = False
        self._unconsumed = 0
        self._repeated = False
        """Sent a second time, since the connection of the first had been closed by the origin meanwhile."""
        self._deadline: asyncio.TimerHandle | None = None
        self._begun_at = monotonic()
        self._status: int | None = None
        self._ended = False

    @_contained
    def start(self, body: bytes) -> None:
        """Begin; `body` is what came with the head."""
        self._ledger.stream_opened()
        self._stream.handler = self
        if self._is_full():
            self.response_failed(OriginError("too many requests at once", status=503))
            return
        origin: OriginConnection | None = None
        if self._request.type is not ConnectionType.TCP:
            try:
                self._head = build_request_head(self._request, host_header=self._pool.origin.host_header)
            except BadRequest as error:
                self._answer(http.HTTPStatus.BAD_REQUEST, f"the request was refused: {error}")
                return
            self._left = self._head.length
            origin = self._pool.reuse(self._head)
        if body:
            self._early.append(body)
        if origin is not None:
            self._begin(origin)
        else:
            self._connect_soon()

    def _connect_soon(self) -> None:
        self._tasks.start(self._connect(), name=f"exchange-{self._stream.id}")

    async def _connect(self) -> None:
        try:
            origin = await self._pool.connect()
        except OriginError as error:
            if not self._ended:
                self.response_failed(error)
            return
        except Exception as error:
            self._fault(error)
            return
        if self._ended:
            origin.abort()
            return
        self._begin(origin)

    @_contained
    def _begin(self, origin: OriginConnection) -> None:
        self._origin = origin
        self._raw = self._response_begun = self._request.type is ConnectionType.TCP
        origin.begin(self, self._head, raw=self._raw)
        if self._raw:
            self._stream.write(encode_response(ConnectResponse("", ())))
        if not self._raw and self._head.body is not Body.CHUNKED and not self._left:
            self._sent_all()
        if not self._head.upgrade:
            self._release_early()

    def _sent_all(self) -> None:
        """The request has left; from here on the origin has its time to answer."""
        self._upload_ended = True
        if (seconds := self._pool.origin.response_timeout) and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._too_slow, seconds)

    @_contained
    def _too_slow(self, seconds: float) -> None:
        if not self._response_begun and not self._ended:
            self._answer(http.HTTPStatus.GATEWAY_TIMEOUT, f"{self._pool.origin} did not answer within {seconds:g} s")

    # --- from the edge (StreamHandler) ---

    @_contained
    def data_received(self, data: bytes) -> None:
        if self._origin is None or (self._head.upgrade and not self._raw):
            self._early.append(data)
        else:
            self._upload(data)

    @_contained
    def eof_received(self) -> None:
        self._request_ended = True
        if not self._early and self._origin is not None and (self._raw or not self._head.upgrade):
            self._end_upload()

    @_contained
    def reset_received(self) -> None:
        self._abandon()

    @_contained
    def stop_received(self) -> None:
        self._abandon()

    @_contained
    def pause_writing(self) -> None:
        if self._origin is not None:
            self._origin.pause()

    @_contained
    def resume_writing(self) -> None:
        if self._origin is not None:
            self._origin.resume()

    def _release_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            if not self._ended:
                self._upload(data)
        if self._request_ended and not self._ended:
            self._end_upload()

    def _upload(self, data: bytes) -> None:
        assert self._origin is not None
        size = len(data)
        if self._raw:
            self._origin.write(data)
        elif self._head.body is Body.CHUNKED:
            self._origin.write(chunk(data))
        elif self._head.body is Body.LENGTH:
            if size > self._left:
                # More than was announced: on this connection it would look like another request.
                self._abandon()
                return
            self._left -= size
            self._origin.write(data)
            if not self._left:
                self._sent_all()
        else:
            self._stream.consumed(size)  # a body that was never announced has nowhere to go
            return
        self._ledger.received(size)
        if self._upload_paused:
            self._unconsumed += size
        else:
            self._stream.consumed(size)

    def _end_upload(self) -> None:
        assert self._origin is not None
        if self._raw:
            self._origin.write_eof()
            if self._response_ended:
                self._end()
        elif self._head.body is Body.CHUNKED:
            self._origin.write(LAST_CHUNK)
            self._sent_all()
        elif self._left:
            self._abandon()  # the visitor broke off: the origin must not take it for the whole

    # --- from the origin (ResponseHandler) ---

    @_contained
    def head_received(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        self._response_begun = True
        self._status = status
        self._ledger.answered(monotonic() - self._begun_at)
        self._cancel_deadline()
        upgraded = status == http.HTTPStatus.SWITCHING_PROTOCOLS
        metadata = response_metadata(status, fields, upgraded=upgraded)
        self._stream.write(encode_response(ConnectResponse("", metadata)))
        if upgraded:
            self._raw = True
            self._release_early()

    @_contained
    def body_received(self, data: bytes) -> None:
        if not self._stream.sending:
            return
        self._ledger.sent(len(data))
        self._stream.write(data)

    @_contained
    def response_ended(self) -> None:
        self._response_ended = True
        self._stream.write(b"", fin=True)
        if not self._raw or self._request_ended:
            self._end()
        else:
            # Half-closed: the visitor may go on talking, but not for ever to somebody who has left.
            self._deadline = asyncio.get_running_loop().call_later(HALF_CLOSED_TIMEOUT, self.reset_received)

    @_contained
    def response_failed(self, error: OriginError) -> None:
        if self._origin is not None and self._origin.may_be_stale and not self._repeated:
            self._repeated = True
            self._origin = None
            self._connect_soon()
        elif self._response_begun:
            self._abandon()
        elif self._request.type is ConnectionType.TCP:
            self._stream.write(encode_response(ConnectResponse(str(error), ())), fin=True)
            self._end()
        else:
            self._answer(http.HTTPStatus(error.status), str(error))

    @_contained
    def pause_upload(self) -> None:
        self._upload_paused = True

    @_contained
    def resume_upload(self) -> None:
        self._upload_paused = False
        if count := self._unconsumed:
            self._unconsumed = 0
            self._stream.consumed(count)

    # --- ends ---

    def _answer(self, status: http.HTTPStatus, message: str) -> None:
        """Answer in the origin's place, as a gateway does."""
        page = f"{status.value} {status.phrase}\n\ntunnel-supervisor: {message}\n".encode()
        body = b"" if self._head.method == "HEAD" else page
        self._status = status
        self._ledger.sent(len(body))
        self._stream.write(encode_response(ConnectResponse("", error_metadata(status, len(page)))) + body, fin=True)
        self._end()

    def _log_request(self, log: Logger, seconds: float) -> None:
        # Without the query: it may hold a secret.
        where = self._request.dest.partition("?")[0]
        path = "/" + where.partition("://")[2].partition("/")[2] if "://" in where else where
        ms = round(seconds * 1000, 1)
        log.info("request", method=self._head.method, path=path[:MAX_LOGGED_PATH], status=self._status, ms=ms)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _fault(self, error: Exception) -> None:
        """A fault of this program: it is logged, the visitor gets 502 if that can still be, and else a reset."""
        context = {"message": f"fault in the exchange of stream {self._stream.id}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        if self._ended:
            return
        with contextlib.suppress(Exception):
            if self._origin is not None:
                self._origin.abort()
            if not self._response_begun and self._request.type is not ConnectionType.TCP:
                self._answer(http.HTTPStatus.BAD_GATEWAY, "an internal fault of this program; its log has more")
        if not self._ended:
            with contextlib.suppress(Exception):
                self._abandon()

    def _abandon(self) -> None:
        """One side broke off: the other is told so at once."""
        self._stream.reset()
        if self._origin is not None:
            self._origin.abort()
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            self._account()
        finally:
            self._let_go()

    def _account(self) -> None:
        """Count it, and log it."""
        if self._request.type is not ConnectionType.TCP:
            seconds = monotonic() - self._begun_at
            self._ledger.request_ended(self._status, seconds)
            if self._log is not None:
                self._log_request(self._log, seconds)

    def _let_go(self) -> None:
        """Give back all that it holds."""
        self._early.clear()
        self._stream.stop()
        self._cancel_deadline()
        if self._origin is not None:
            if self._response_ended and self._upload_ended and self._origin.reusable:
                self._pool.release(self._origin)
            else:
                self._origin.close()
            self._origin = None
        self._on_ended(self)
