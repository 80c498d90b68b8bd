"""One request before the gates of its way, one after the other. Pure.

While it is there nothing of it goes on. A gate that wants the body gets all of it: it is held here, up to a bound, and
then goes on byte for byte as it came.
"""

import http
from collections.abc import Callable
from typing import Final, Protocol

from actors.exchange import reasons
from actors.exchange.driver import Driver, Timer
from actors.exchange.gate import Gate, Need, Passed, Refusal, Reply, Verdict
from actors.exchange.holding import MAX_HELD_BODIES, MAX_OF_ONE_VISITOR
from actors.exchange.http1 import Body, RequestHead
from actors.exchange.request import Field, Request
from actors.exchange.upload import MAX_GATHERED, UnfitBody, Upload

Ask = Callable[[Gate, bytes | None], None]

HOLD_TIMEOUT: Final = 30.0
"""Seconds for a body that is held: who sends one to be checked sends it at once, and others wait for the place."""

_RETRY_AFTER: Final = b"1"
"""Seconds: places become free all the time."""

TOO_LONG: Final = Refusal(
    413,
    f"is longer than {MAX_GATHERED} bytes, which are all that is held to be checked",
    reasons.GUARD_BODY,
    is_told=False,
)
TOO_SLOW: Final = Refusal(
    408,
    f"the body, which is to be checked, did not come within {HOLD_TIMEOUT:.0f} s",
    reasons.GUARD_BODY,
    is_told=False,
)
MADE_ROOM: Final = Refusal(
    408,
    f"of {MAX_HELD_BODIES} bodies that are to be checked this one did not come for longest, and another one came",
    reasons.GUARD_BODY,
    is_told=False,
)
TOO_MANY: Final = Refusal(
    503,
    f"{MAX_OF_ONE_VISITOR} bodies of this visitor are held already, to be checked",
    reasons.GUARD_BUSY,
    ((b"Retry-After", _RETRY_AFTER),),
    is_told=False,
)


class Comer(Protocol):
    """Who stands before the gates: an exchange."""

    request: Request
    head: RequestHead

    def refused(self, refusal: Refusal) -> None:
        """A gate is against it."""

    def replied(self, reply: Reply) -> None:
        """A gate answers it."""

    def changed(self, request: Request) -> bool:
        """It goes on as this; whether that can be."""

    def admitted(self) -> None:
        """All have let it through."""


class Entrance:
    """The gates that one request has yet to pass."""

    def __init__(self, comer: Comer, ask: Ask, driver: Driver, upload: Upload, gates: tuple[Gate, ...]) -> None:
        """`ask` puts a question to a gate, whose answer comes by `judged`."""
        self._comer = comer
        self._ask = ask
        self._driver = driver
        self._upload = upload
        self._gates = list(reversed(gates))
        self._timer: Timer | None = None
        self._holds = False
        self._leave: list[Callable[[], None]] = []
        self._fields: tuple[Field, ...] = ()
        self.has_shown_body = False
        """Whether a gate has seen the body: what comes after that is not of it."""

    @property
    def is_closed(self) -> bool:
        """Whether the request has yet to be let through."""
        return bool(self._gates)

    def ask(self) -> None:
        """Ask the next gate."""
        self._ask(self._gates[-1], None)

    def judged(self, verdict: Verdict) -> None:
        """The gate has answered."""
        if not self._gates:  # it took too long: the exchange is over
            if isinstance(verdict, Passed) and verdict.leave is not None:
                verdict.leave()
            return
        match verdict:
            case Refusal():
                self._comer.refused(verdict)
            case Reply():
                self._comer.replied(verdict)
            case Need.BODY:
                self._hold(self._comer.head)
            case _:
                self._pass(verdict)

    def _pass(self, passed: Passed | None) -> None:
        self._gates.pop()
        if passed is not None:
            if passed.leave is not None:
                self._leave.append(passed.leave)
            self._fields += passed.fields
            if passed.request is not self._comer.request and not self._comer.changed(passed.request):
                return
        if self._gates:
            self.ask()
        else:
            self._comer.admitted()

    def answer(self, fields: list[Field]) -> list[Field]:
        """The fields of the response, with those that the gates want there."""
        ours = {name.lower() for name, _ in self._fields}
        return [*(field for field in fields if field[0].lower() not in ours), *self._fields]

    # --- the body, if a gate wants it ---

    def _hold(self, head: RequestHead) -> None:
        from actors.guard import addresses  # here, since few have gates that want a body

        if self._upload.has_ended or head.body is Body.NONE or (head.body is Body.LENGTH and not head.length):
            self._show()
        elif head.length > MAX_GATHERED:
            self._comer.refused(TOO_LONG)
        elif not self._driver.holding.take(self, addresses.name(addresses.visitor(self._comer.request))):
            self._comer.refused(TOO_MANY)
        else:
            self._holds = True
            self._timer = self._driver.call_later(HOLD_TIMEOUT, lambda: self._comer.refused(TOO_SLOW))
            self._upload.gather(UnfitBody(reasons.GUARD_BODY, TOO_LONG.message, http.HTTPStatus(TOO_LONG.status)))

    def make_room(self) -> None:
        """Others need its place (`Holder`)."""
        self._comer.refused(MADE_ROOM)

    def body_ended(self) -> None:
        """The body is complete."""
        if self._holds:
            self._let_go()
            self._show()

    def _show(self) -> None:
        self.has_shown_body = True
        self._ask(self._gates[-1], self._upload.held)

    def _let_go(self) -> None:
        """No body is held any more for a gate's sake."""
        if self._holds:
            self._holds = False
            self._driver.holding.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """The exchange has ended."""
        self._let_go()
        self._gates.clear()
        while self._leave:
            self._leave.pop()()
        del self._comer, self._ask  # they hold this: no collector need look for what is over
