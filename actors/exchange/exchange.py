"""One exchange: a request of the edge on one side, a connection to the origin on the other.

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

from actors.exchange import reasons
from actors.exchange.http1 import (
    LAST_CHUNK,
    BadRequest,
    Body,
    RequestHead,
    build_request_head,
    chunk,
    error_fields,
    method_of,
    response_fields,
)
from actors.exchange.journal import Journal, Outcome
from actors.exchange.ledger import Ledger
from actors.exchange.origin import OriginConnection, OriginError
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Field, Kind, Request, Responder
from actors.exchange.rewrite import Rewrite
from actors.processes.tasks import Tasks

HALF_CLOSED_TIMEOUT: Final = 5.0
"""Seconds that a raw tunnel lives on after the origin has closed its side."""

BODY_TIMEOUT: Final = 1.0
"""Seconds to wait for the first bytes of a body that nothing announced, or for FIN. An edge sends FIN with the head or
right after it; a visitor who says more later gets it through in chunks, and an origin that would answer before it reads
need not wait for that."""

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
    journal: Journal


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

    def __init__(self, responder: Responder, request: Request, surroundings: Surroundings) -> None:
        self._responder = responder
        self._request = request
        self._pool, self._ledger, self._tasks, self._is_full, self._on_ended, self._journal = surroundings
        self._origin: OriginConnection | None = None
        self._rewrite: Rewrite | None = None
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
        self._bytes_in = 0
        self._bytes_out = 0
        self._status: int | None = None
        self._reason: reasons.Reason | None = None
        """Why the visitor did not get the origin's whole answer."""
        self._ended = False

    @_contained
    def start(self, body: bytes) -> None:
        """Begin; `body` is what came with the head."""
        self._ledger.stream_opened()
        if self._is_full():
            self._head = self._refused_head()
            self._fail(OriginError("too many requests at once", status=503), reasons.FULL)
            return
        if self._request.kind is not Kind.TCP:
            try:
                self._head = self._build_head()
            except BadRequest as error:
                self._head = self._refused_head()
                message = f"the request was refused: {error}"
                self._answer(http.HTTPStatus(error.status), message, reasons.refusal(error.status))
                return
        if body:
            self._early.append(body)
            if self._is_unannounced:
                self._head = self._head.framed(has_body=True)
        if self._head.body is Body.UNKNOWN:
            self._deadline = asyncio.get_running_loop().call_later(BODY_TIMEOUT, self._body_known, True)
        else:
            self._go()

    @property
    def _is_unannounced(self) -> bool:
        """Whether bytes of a body would be a surprise."""
        body = self._head.body
        return (body is Body.NONE or body is Body.UNKNOWN) and not self._head.upgrade and bool(self._head.method)

    @_contained
    def _body_known(self, has_body: bool) -> None:
        """It has turned out whether there is a body, or it takes too long to."""
        waited = self._head.body is Body.UNKNOWN
        self._head = self._head.framed(has_body=has_body)
        if waited:
            self._cancel_deadline()
            self._go()

    def _go(self) -> None:
        """The request is known as far as the origin needs to know it."""
        self._left = self._head.length
        origin = self._pool.reuse(self._head) if self._request.kind is not Kind.TCP else None
        if origin is not None:
            self._begin(origin)
        else:
            self._connect_soon()

    def _refused_head(self) -> RequestHead:
        """What is known of a request that is refused: enough to log it, and to answer a HEAD without a body."""
        return _RAW_HEAD._replace(method=method_of(self._request))

    def _build_head(self) -> RequestHead:
        origin, request = self._pool.origin, self._request
        if origin.host_header is not None:
            self._rewrite = Rewrite(request, origin)
            request = self._rewrite.request()
        return build_request_head(request, refuse_twins=origin.refuse_twins)

    def _connect_soon(self) -> None:
        self._tasks.start(self._connect(), name=f"exchange-{self._responder.id}")

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
        self._raw = self._response_begun = self._request.kind is Kind.TCP
        origin.begin(self, self._head, raw=self._raw)
        if self._raw:
            self._responder.accept()
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
            message = f"{self._pool.origin} did not answer within {seconds:g} s"
            self._answer(http.HTTPStatus.GATEWAY_TIMEOUT, message, reasons.SLOW)

    # --- from the edge (RequestHandler) ---

    @_contained
    def data_received(self, data: bytes) -> None:
        if self._origin is not None and (self._raw or not self._head.upgrade):
            self._upload(data)
            return
        self._early.append(data)
        if self._origin is None and self._is_unannounced:
            self._body_known(True)

    @_contained
    def eof_received(self) -> None:
        self._request_ended = True
        if self._head.body is Body.UNKNOWN:
            self._body_known(False)
        elif not self._early and self._origin is not None and (self._raw or not self._head.upgrade):
            self._end_upload()

    @_contained
    def reset_received(self) -> None:
        self.abandon(reasons.VISITOR_LEFT)

    @_contained
    def stop_received(self) -> None:
        self.abandon(reasons.VISITOR_LEFT)

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
                self.abandon(reasons.WRONG_LENGTH)
                return
            self._left -= size
            self._origin.write(data)
            if not self._left:
                self._sent_all()
        else:
            # The request has left without a body. Better no answer of the origin than one to a request without it.
            self._responder.consumed(size)
            if not self._response_begun:
                message = f"the request was refused: the body of a {self._head.method} came without a Content-Length"
                self._answer(http.HTTPStatus.LENGTH_REQUIRED, message, reasons.NO_LENGTH)
            return
        self._ledger.received(size)
        self._bytes_in += size
        if self._upload_paused:
            self._unconsumed += size
        else:
            self._responder.consumed(size)

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
            self.abandon(reasons.WRONG_LENGTH)  # the origin must not take it for the whole

    # --- from the origin (ResponseHandler) ---

    @_contained
    def head_received(self, status: int, fields: list[Field]) -> None:
        self._response_begun = True
        self._status = status
        self._ledger.answered(monotonic() - self._begun_at)
        self._cancel_deadline()
        if self._rewrite is not None:
            fields = self._rewrite.answer(fields)
        else:
            self._journal.answered(self._request, status)
        if self._journal.looks_for_event_streams and self._head.method == "GET":
            self._journal.event_stream(self._request, fields)
        upgraded = status == http.HTTPStatus.SWITCHING_PROTOCOLS
        self._responder.respond(status, response_fields(fields, upgraded=upgraded))
        if upgraded:
            self._raw = True
            self._journal.upgraded(self._request)
            self._release_early()

    @_contained
    def body_received(self, data: bytes) -> None:
        if not self._responder.sending:
            return
        size = len(data)
        self._ledger.sent(size)
        self._bytes_out += size
        self._responder.write(data)

    @_contained
    def response_ended(self) -> None:
        self._response_ended = True
        self._responder.write(b"", fin=True)
        if not self._raw or self._request_ended:
            self._end()
        else:
            # Half-closed: the visitor may go on talking, but not for ever to somebody who has left.
            self._deadline = asyncio.get_running_loop().call_later(HALF_CLOSED_TIMEOUT, self._left_alone)

    @_contained
    def _left_alone(self) -> None:
        """The origin ended its side, and the visitor has not followed."""
        self.abandon()

    @_contained
    def response_failed(self, error: OriginError) -> None:
        if self._origin is not None and self._origin.may_be_stale and not self._repeated:
            self._repeated = True
            self._origin = None
            self._connect_soon()
        elif self._response_begun:
            self._journal.answered_instead(reasons.BROKEN_OFF, status=None, error=str(error))
            self.abandon(reasons.BROKEN_OFF)
        else:
            self._fail(error, reasons.failure(error, error.status))

    @_contained
    def pause_upload(self) -> None:
        self._upload_paused = True

    @_contained
    def resume_upload(self) -> None:
        self._upload_paused = False
        if count := self._unconsumed:
            self._unconsumed = 0
            self._responder.consumed(count)

    # --- ends ---

    def _fail(self, error: OriginError, reason: reasons.Reason) -> None:
        """There is no answer of the origin."""
        if self._request.kind is Kind.TCP:
            self._journal.answered_instead(reason, status=None, error=str(error))
            self._responder.refuse(str(error))
            self._end()
        else:
            self._answer(http.HTTPStatus(error.status), str(error), reason)

    def _answer(self, status: http.HTTPStatus, message: str, reason: reasons.Reason) -> None:
        """Answer in the origin's place, as a gateway does."""
        page = f"{status.value} {status.phrase}\n\ntunnel-supervisor: {message}\n".encode()
        body = b"" if self._head.method == "HEAD" else page
        self._status, self._reason = status.value, reason
        self._journal.answered_instead(reason, status=status.value, error=message)
        self._ledger.sent(len(body))
        self._bytes_out += len(body)
        self._responder.respond(status.value, error_fields(len(page)), body, fin=True)
        self._end()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _fault(self, error: Exception) -> None:
        """A fault of this program: it is logged, the visitor gets 502 if that can still be, and else a reset."""
        context = {"message": f"fault in the exchange of request {self._responder.id}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        if self._ended:
            return
        with contextlib.suppress(Exception):
            if self._origin is not None:
                self._origin.abort()
            if not self._response_begun and self._request.kind is not Kind.TCP:
                self._answer(
                    http.HTTPStatus.BAD_GATEWAY, "an internal fault of this program; its log has more", reasons.FAULT
                )
        if not self._ended:
            with contextlib.suppress(Exception):
                self.abandon(reasons.FAULT)

    def abandon(self, reason: reasons.Reason | None = None) -> None:
        """One side broke off: the other is told so at once."""
        self._reason = self._reason or reason
        self._responder.reset()
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
        if self._request.kind is not Kind.TCP:
            seconds = monotonic() - self._begun_at
            self._ledger.request_ended(self._status, seconds)
            if self._journal.all_requests:
                outcome = Outcome(
                    self._head.method, self._status, seconds, self._bytes_in, self._bytes_out, self._reason
                )
                self._journal.ended(self._request, outcome)

    def _let_go(self) -> None:
        """Give back all that it holds."""
        self._early.clear()
        self._responder.stop()
        self._cancel_deadline()
        if self._origin is not None:
            if self._response_ended and self._upload_ended and self._origin.reusable:
                self._pool.release(self._origin)
            else:
                self._origin.close()
            self._origin = None
        self._on_ended(self)
