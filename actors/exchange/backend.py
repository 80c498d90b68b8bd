"""What can answer requests, and how an exchange speaks with it. Pure.

A `Target` is where a request goes; a `Backend` is one connection to it (`origin.py`), on which one exchange at a time
is served. What the backend reads it tells its `ResponseHandler`. A target may also have an `Answer` of its own, and no
connections.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from actors.bus.routes import Origin
from actors.exchange.http1 import RequestHead
from actors.exchange.reasons import Reason
from actors.exchange.request import Field, Request
from actors.exchange.response import Head


class OriginError(Exception):
    """The origin did not answer as HTTP demands: `status` is what the visitor gets for it."""

    def __init__(self, message: str, *, status: int = 502, reason: Reason | None = None) -> None:
        """`reason`: None if what caused it says enough (`reasons.failure`)."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class ResponseHandler(Protocol):
    """Told what the origin answers."""

    def head_received(self, head: Head, body: bytes, *, complete: bool) -> None:
        """The final response's head (or 101), and what of the body came with it; `complete`: that is all of it."""

    def body_received(self, data: bytes) -> None:
        """Bytes of the body, without framing; or raw bytes, after an upgrade or on a raw tunnel."""

    def response_ended(self, trailers: Sequence[Field] = ()) -> None:
        """The body is complete, and these fields followed it; of raw bytes: the origin sends no more."""

    def response_failed(self, error: OriginError) -> None:
        """There is no response, or no more of it."""

    def pause_upload(self) -> None:
        """The origin reads more slowly than we write."""

    def resume_upload(self) -> None:
        """It has caught up."""


class Backend(Protocol):
    """A connection to a target."""

    @property
    def may_be_stale(self) -> bool:
        """Whether the target may have closed it before this exchange reached it."""

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow this one."""

    def begin(self, handler: ResponseHandler, head: RequestHead, *, raw: bool = False) -> None:
        """Send `head` and serve `handler` from now on; `raw`: no HTTP is spoken, and no head is sent."""

    def write(self, data: bytes) -> None:
        """Send more of the request than its head."""

    def write_eof(self) -> None:
        """Half-close: the visitor of a raw tunnel has no more to say."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read again."""

    def abort(self) -> None:
        """Close at once; the handler hears nothing more."""

    def close(self) -> None:
        """Close once what was written has left; the handler hears nothing more."""


class Answer(NamedTuple):
    """What is answered to everything: a status without a field and without a body."""

    status: int
    reason: Reason | None = None
    """Why it is no answer of an origin, unless a rule wants it so."""
    error: str = ""
    """The same in words, for the log."""


class Target(Protocol):
    """Where requests go."""

    @property
    def name(self) -> str:
        """What it is called in logs and errors."""

    @property
    def failures(self) -> int:
        """Times so far that it could not be reached."""

    @property
    def answer(self) -> Answer | None:
        """What it answers by itself; None: there is something to connect to."""

    @property
    def origin(self) -> Origin | None:
        """Its address, and how requests of HTTP to it are made; None: what is there speaks no HTTP. As text it is the
        target's name in logs and errors."""

    def reuse(self, request: Request, head: RequestHead) -> Backend | None:
        """An idle connection, if there is one and the request may go on it."""

    async def connect(self, request: Request, head: RequestHead) -> Backend:
        """Open a connection.

        Raises:
            OriginError: there is none to be had.
        """

    def release(self, backend: Backend) -> None:
        """An exchange on a reusable connection has ended: keep it for another one, if that harms nobody."""

    def close(self) -> None:
        """No other request comes here: close what is idle, and what is in use once its exchange has ended."""


class Answering:
    """A target that answers by itself."""

    origin: Final = None
    failures: Final = 0

    def __init__(self, answer: Answer) -> None:
        self.answer: Final = answer
        self.name: Final = f"http_status:{answer.status}"

    def reuse(self, request: Request, head: RequestHead) -> Backend | None:
        return None

    async def connect(self, request: Request, head: RequestHead) -> Backend:
        raise OriginError(f"what came is answered with status {self.answer.status}, and goes nowhere")

    def release(self, backend: Backend) -> None: ...

    def close(self) -> None: ...
