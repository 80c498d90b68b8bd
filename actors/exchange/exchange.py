"""One exchange: a request of the edge on one side, a connection to the origin on the other. Pure.

It is a machine of events and commands. Events are its methods: from the edge (`RequestHandler`), from the origin
(`ResponseHandler`), and from whoever drives it (connections that were made, timers). Commands are its calls of the
responder, of the backend, and of the driver, which does all that needs a clock or an event loop:

    edge → head, body, end, reset          → exchange → begin, write, write_eof, abort → origin
    edge ← respond, write, reset, consumed ← exchange ← head, body, end, failure       ← origin

Bytes pass as they come; what one side cannot take yet stops the other side's source: a slow origin keeps the edge's
credit, a slow visitor pauses reading from the origin. A response that breaks off ends with a reset, never as a whole.
"""

import contextlib
import functools
import http
from collections.abc import Sequence
from typing import Final

from actors.exchange import reasons
from actors.exchange.backend import Answer, Backend, OriginError, Target
from actors.exchange.contained import contained
from actors.exchange.driver import Driver, Timer
from actors.exchange.entrance import Entrance
from actors.exchange.gate import Refusal, Reply, Verdict, Way
from actors.exchange.http1 import NO_HEAD, BadRequest, Body, error_answer, method_of, response_fields
from actors.exchange.request import Field, Kind, Request, Responder
from actors.exchange.response import Head
from actors.exchange.rewrite import Rewrite, prepared
from actors.exchange.upload import MAX_GATHERED, UnfitBody, Upload

HALF_CLOSED_TIMEOUT: Final = 5.0
"""Seconds that a raw tunnel lives on after the origin has closed its side."""

BODY_TIMEOUT: Final = 1.0
"""Seconds to wait for the first bytes of a body that nothing announced, or for FIN. An edge sends FIN with the head or
right after it; a visitor who says more later gets it through in chunks, and an origin that would answer before it reads
need not wait for that."""


class Exchange:
    """One request and its response; or one raw tunnel, after an upgrade or of the TCP type. (`Observed`.)"""

    # What an exchange begins with stands here, once for all: most of it stays as it is.
    method = ""
    status: int | None = None
    reason: reasons.Reason | None = None
    error = ""
    is_substitute = False
    is_admitted = False
    is_repeated = False
    rule = ""
    is_renamed = False
    seconds = 0.0
    bytes_in = 0
    bytes_out = 0
    _target: Target
    _failure: OriginError | None = None
    """Why there is no connection, while the rest of the body is waited for."""
    _backend: Backend | None = None
    _entrance: Entrance | None = None
    """The gates of its way, if there are any: nothing of it goes on before it has passed them."""
    _rewrite: Rewrite | None = None
    head = NO_HEAD
    _response_begun = False
    _response_ended = False
    _timer: Timer | None = None
    _ended = False

    def __init__(self, responder: Responder, request: Request, driver: Driver) -> None:
        self.request = request
        self._responder = responder
        self._driver = driver
        self._tell = driver.observers
        self._begun_at = driver.now()
        self._upload = Upload(responder.consumed, self._passed)

    @property
    def held(self) -> bytes:
        """Bytes of the body that came, and went nowhere."""
        return self._upload.held

    @property
    def is_heard_out(self) -> bool:
        """Whether all of the body has come."""
        return self._upload.is_complete or self._upload.is_heard_out(self.head)

    @contained
    def start(self, body: bytes) -> None:
        """Begin; `body` is what came with the head."""
        for tell in self._tell.opened:
            tell(self)
        if self._driver.is_full:
            self.method = method_of(self.request)
            self._fail(503, "too many requests at once", reasons.FULL)
            return
        if body:
            self._upload.add(body)
        way = self._driver.route(self.request)
        if way is None:
            self._driver.await_rules(self)
        else:
            self._go_by(way)

    def _go_by(self, way: Way) -> None:
        self._target, self.rule = way.target, way.rule
        if self.request.kind is not Kind.TCP and not self._prepare(self.request):
            return
        if way.gates:
            ask = functools.partial(self._driver.judge, self)
            self._entrance = Entrance(self, ask, self._driver, self._upload, way.gates)
            self._entrance.ask()
        else:
            self.admitted()

    def _prepare(self, request: Request) -> bool:
        """Make the head that the target gets; whether there is one: a request that is refused has been answered."""
        try:
            trailers = self._responder.takes_trailers
            head, self._rewrite = prepared(request, self._target.origin, trailers=trailers)
        except BadRequest as error:
            self.method = method_of(request)  # enough to log it, and to answer a HEAD without a body
            message = f"the request was refused: {error}"
            self._answer(error.status, message, reasons.refusal(error.status))
            return False
        if self._upload.has_begun:
            if head.announces_no_body:
                head = head.framed(has_body=True)
        elif self._upload.has_ended and head.body is Body.UNKNOWN:
            head = head.framed(has_body=False)
        self.head, self.method, self.is_renamed = head, head.method, self._rewrite is not None
        return True

    # --- from its gates (Comer) ---

    @contained
    def refused(self, refusal: Refusal) -> None:
        """One is against it, and the origin sees nothing of it."""
        self._fail(*refusal)

    def replied(self, reply: Reply) -> None:
        """One answers it."""
        self.is_substitute = True
        self._respond(*reply)

    def changed(self, request: Request) -> bool:
        """It goes on as this; whether that can be."""
        self.request = request
        return request.kind is Kind.TCP or self._prepare(request)

    def admitted(self) -> None:
        """Nobody is against it."""
        self.is_admitted, target = True, self._target
        if target.answer is not None and self.request.kind is not Kind.TCP:
            self._answer_barely(target.answer)
        elif self.head.body is Body.UNKNOWN:
            self._timer = self._driver.call_later(BODY_TIMEOUT, self._waited_for_body)
        else:
            self._go(target)

    @contained
    def _waited_for_body(self) -> None:
        """It takes too long to turn out whether there is a body: take it that there is."""
        self._body_known(has_body=True)

    def _body_known(self, *, has_body: bool) -> None:
        """It has turned out whether there is a body."""
        waited = self._timer is not None
        if has_body and self._entrance is not None and self._entrance.has_shown_body:
            raise UnfitBody(reasons.NO_LENGTH, "came after it was checked", http.HTTPStatus.LENGTH_REQUIRED)
        self.head = self.head.framed(has_body=has_body)
        if waited:
            self._stop_timer()
            self._go(self._target)

    def _go(self, target: Target) -> None:
        """The request is known as far as the origin needs to know it."""
        if self.head.body is Body.CHUNKED and target.origin is not None and not target.origin.chunked:
            if not self._upload.gathers:
                text = f"is longer than {MAX_GATHERED} bytes, without a Content-Length"
                self._upload.gather(UnfitBody(reasons.NOT_GATHERED, text, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            if not self._upload.has_ended:
                return
            self.head = self.head.with_length(self._upload.gathered)
        backend = target.reuse(self.request, self.head)
        if backend is not None:
            self._begin(backend)
        else:
            self._driver.connect(self, target)

    # --- from the driver ---

    @contained
    def routed(self, way: Way) -> None:
        """It has waited for rules, and now there are some, or none will come."""
        if not self._ended:
            self._go_by(way)

    @contained
    def judged(self, verdict: Verdict) -> None:
        """A gate has let the request through, or not, or wants the body first."""
        if self._entrance is not None:
            self._entrance.judged(verdict)

    @contained
    def connected(self, backend: Backend) -> None:
        """There is a connection to the target."""
        if self._ended:
            backend.abort()
        else:
            self._begin(backend)

    @contained
    def connect_failed(self, error: OriginError) -> None:
        """There is none. If somebody wants to send the request again, once there is an origin, its body has to be
        whole: what has not come yet is waited for, as long as for a body that nothing announced."""
        if self._ended:
            return
        self._failure = error
        if self._tell.keep_bodies and not self._upload.is_heard_out(self.head):
            self._timer = self._driver.call_later(BODY_TIMEOUT, self._give_up)
        else:
            self._give_up()

    @contained
    def _give_up(self) -> None:
        if (error := self._failure) is not None and not self._ended:
            self._fail_by(error)

    def _begin(self, backend: Backend) -> None:
        self._backend = backend
        is_raw = self._response_begun = self.request.kind is Kind.TCP
        if is_raw:
            self._upload.become_raw()
        else:
            self._upload.announce(self.head)
        for tell in self._tell.reached:
            tell(self, self._target)
        backend.begin(self, self.head, raw=is_raw)
        if is_raw:
            self._responder.accept()
        if not self.head.upgrade:
            self._upload.connect(backend)
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        """If the request has left, the origin has its time to answer from here on."""
        if not self._upload.is_complete or self._response_begun or self._timer is not None or self._ended:
            return
        if (origin := self._target.origin) is not None and (seconds := origin.response_timeout):
            self._timer = self._driver.call_later(seconds, self._too_slow)

    @contained
    def _too_slow(self) -> None:
        origin = self._target.origin
        if origin is not None and not self._response_begun and not self._ended:
            message = f"{origin} did not answer within {origin.response_timeout:g} s"
            self._answer(504, message, reasons.SLOW)

    # --- from the edge (RequestHandler) ---

    @contained
    def data_received(self, data: bytes) -> None:
        self._upload.add(data)
        if self._backend is not None:
            self._wait_for_answer()
        elif self.head.announces_no_body:
            self._body_known(has_body=True)
        elif self._failure is not None and self._upload.is_heard_out(self.head):
            self._give_up()

    @contained
    def eof_received(self) -> None:
        self._upload.end()
        if self.head.body is Body.UNKNOWN:
            self._body_known(has_body=False)
        elif self._entrance is not None and self._entrance.is_closed:
            pass
        elif self._upload.gathers and self._backend is None:
            self._go(self._target)
        elif self._response_ended:
            self._end()  # of a raw tunnel, whose halves end one by one
        elif self._failure is not None:
            self._give_up()
        else:
            self._wait_for_answer()
        if self._entrance is not None:
            self._entrance.body_ended()

    @contained
    def reset_received(self) -> None:
        self.abandon(reasons.VISITOR_LEFT)

    stop_received = reset_received

    @contained
    def pause_writing(self) -> None:
        if self._backend is not None:
            self._backend.pause()

    @contained
    def resume_writing(self) -> None:
        if self._backend is not None:
            self._backend.resume()

    def _passed(self, data: bytes) -> None:
        """These went to the origin."""
        self.bytes_in += len(data)
        for tell in self._tell.request_data:
            tell(self, data)

    def _refuse_body(self, unfit: UnfitBody) -> None:
        """Better no answer of the origin than one to another request."""
        if unfit.status is None:
            self.abandon(unfit.reason)
        elif not self._response_begun:
            message = f"the request was refused: the body of a {self.method} {unfit}"
            self._answer(unfit.status, message, unfit.reason)

    # --- from the origin (ResponseHandler) ---

    @contained
    def head_received(self, head: Head, body: bytes, *, complete: bool) -> None:
        self._response_begun = True
        self.status = head.status
        self.seconds = self._driver.now() - self._begun_at
        self._stop_timer()
        fields = head.fields if self._rewrite is None else self._rewrite.answer(head.fields)
        if self._entrance is not None:
            fields = self._entrance.answer(fields)
        for tell in self._tell.answered:
            tell(self, fields)
        upgraded = head.status == http.HTTPStatus.SWITCHING_PROTOCOLS
        if body:
            self._count(body)
        self._responder.respond(head.status, response_fields(fields, upgraded=upgraded), body, fin=complete)
        if upgraded and self._backend is not None:
            self._upload.become_raw()
            self._upload.connect(self._backend)
        elif complete:
            self._response_ended = True
            self._end()

    @contained
    def body_received(self, data: bytes) -> None:
        if self._responder.sending:
            self._count(data)
            self._responder.write(data)

    def _count(self, data: bytes) -> None:
        self.bytes_out += len(data)
        for tell in self._tell.response_data:
            tell(self, data)

    @contained
    def response_ended(self, trailers: Sequence[Field] = ()) -> None:
        self._response_ended = True
        self._responder.end(trailers)
        if not self._upload.is_raw or self._upload.has_ended:
            self._end()
        else:
            # Half-closed: the visitor may go on talking, but not for ever to somebody who has left.
            self._timer = self._driver.call_later(HALF_CLOSED_TIMEOUT, self._left_alone)

    @contained
    def _left_alone(self) -> None:
        """The origin ended its side, and the visitor has not followed."""
        self.abandon()

    @contained
    def response_failed(self, error: OriginError) -> None:
        if self._response_begun:
            self.error = str(error)
            self.abandon(reasons.BROKEN_OFF)
        elif self._backend is not None and self._backend.may_be_stale and not self.is_repeated:
            self.is_repeated = True
            self._forget_backend()
            self._driver.connect(self, self._target)
        else:
            self._fail_by(error)

    @contained
    def pause_upload(self) -> None:
        self._upload.close()

    @contained
    def resume_upload(self) -> None:
        self._upload.open()

    # --- ends ---

    def _fail_by(self, error: OriginError) -> None:
        self._fail(error.status, str(error), error.reason or reasons.failure(error, error.status))

    def _fail(
        self,
        status: int,
        message: str,
        reason: reasons.Reason,
        fields: Sequence[Field] = (),
        is_told: bool = True,
    ) -> None:
        """There is no answer of the origin."""
        if self.request.kind is Kind.TCP:
            self.reason, self.error = reason, message
            self._responder.refuse(message if is_told else http.HTTPStatus(status).phrase)
            self._end()
        else:
            self._answer(status, message, reason, fields, is_told)

    def _answer_barely(self, answer: Answer) -> None:
        """There is nobody who would answer."""
        self.status, self.reason, self.error = answer
        self.is_substitute = True
        self._responder.respond(answer.status, (), b"", fin=True)
        self._end()

    def _answer(
        self, status: int, message: str, reason: reasons.Reason, fields: Sequence[Field] = (), is_told: bool = True
    ) -> None:
        """Answer in the origin's place, as a gateway does."""
        ours, page = error_answer(http.HTTPStatus(status), message if is_told else "", method=self.method)
        self.reason, self.error, self.is_substitute = reason, message, True
        self._respond(status, [*ours, *fields], page)

    def _respond(self, status: int, fields: Sequence[Field], page: bytes) -> None:
        self.status = status
        if page:
            self._count(page)
        self._responder.respond(status, fields, page, fin=True)
        self._end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fault(self, error: Exception) -> None:
        """A fault of this program: it is logged, the visitor gets 502 if that can still be, and else a reset. Bodies
        that are not what was announced are the visitor's own."""
        if isinstance(error, UnfitBody):
            self._refuse_body(error)
            return
        self._driver.fault(self, error)
        if self._ended:
            return
        with contextlib.suppress(Exception):
            self._abort_backend()
            if not self._response_begun and self.request.kind is not Kind.TCP:
                message = "an internal fault of this program; its log has more"
                self._answer(502, message, reasons.FAULT)
        if not self._ended:
            with contextlib.suppress(Exception):
                self.abandon(reasons.FAULT)

    def abandon(self, reason: reasons.Reason | None = None) -> None:
        """One side broke off: the other is told so at once."""
        self.reason = self.reason or reason
        self._responder.reset()
        self._abort_backend()
        self._end()

    def _abort_backend(self) -> None:
        if (backend := self._backend) is not None:
            self._forget_backend()
            backend.abort()

    def _forget_backend(self) -> None:
        self._backend = None
        self._upload.disconnect()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.seconds = self._driver.now() - self._begun_at
        try:
            for tell in self._tell.ended:
                tell(self)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Give back all that it holds."""
        self._responder.stop()
        if self._entrance is not None:
            self._entrance.close()
        self._stop_timer()
        if (backend := self._backend) is not None:
            self._forget_backend()
            if self._response_ended and self._upload.is_complete and backend.reusable:
                self._target.release(backend)
            else:
                backend.close()
        self._upload.close_for_good()
        self._driver.ended(self)
