"""What a request passes before it goes to its target, and the way that a route gives it. Pure.

Nothing of a request reaches a target, body included, before each of its gates has let it through; a gate may take its
time, and may ask for the body before it judges. `entrance.py` leads a request from one to the next.
"""

import enum
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from actors.exchange.backend import Target
from actors.exchange.reasons import Reason
from actors.exchange.request import Field, Request


class Refusal(NamedTuple):
    """Why a request does not go through."""

    status: int
    """What the visitor gets for it."""
    message: str
    """The same in words, for the log; empty: it is nothing that anybody should look at."""
    reason: Reason
    fields: tuple[Field, ...] = ()
    """What else the visitor gets."""
    is_told: bool = True
    """Whether the visitor reads the message, too; else there is nothing but the status."""


class Reply(NamedTuple):
    """What a gate answers in the target's place, though it has nothing against the request: a page, a redirect."""

    status: int
    fields: tuple[Field, ...]
    body: bytes = b""


class Passed(NamedTuple):
    """The request goes through, as it is here: what was meant for the gate alone has been taken out."""

    request: Request
    leave: Callable[[], None] | None = None
    """Called once when its exchange has ended, or another gate is against it."""
    fields: tuple[Field, ...] = ()
    """What the response has to say, whatever the target says of it."""


class Need(enum.Enum):
    """What a gate wants before it judges."""

    BODY = enum.auto()
    """The whole body: it is asked again with that."""


Verdict = Refusal | Reply | Passed | Need | None
"""None: the request goes through as it came."""


class Gate(Protocol):
    """Lets requests through, or not."""

    def judge(self, request: Request, body: bytes | None) -> Verdict | Coroutine[Any, Any, Verdict]:
        """What becomes of `request`. `body`: all of it, if the gate has asked for it, else None.

        A gate that has to wait for something returns a coroutine. What either raises is a fault, and lets nothing
        through.
        """


class Way(NamedTuple):
    """Where a request goes, and past whom."""

    target: Target
    gates: tuple[Gate, ...] = ()
    """In their order."""
    rule: str = ""
    """Which rule says so, in words; empty where there is but one way."""
