"""Who is told of exchanges as they go: the ledger, the log, and whoever else wants to see them. Pure."""

from collections.abc import Sequence
from typing import Protocol

from actors.exchange.backend import Target
from actors.exchange.reasons import Reason
from actors.exchange.request import Field, Request


class Observed(Protocol):
    """What is known of an exchange. Observers read it, and change nothing."""

    request: Request
    method: str
    """Empty if the request has none that is valid."""
    status: int | None
    """Of the response; None while there is none."""
    reason: Reason | None
    """Why the visitor did not get the origin's whole answer."""
    error: str
    """More exactly what failed at the origin or in the request; empty if nothing did, or only the visitor left."""
    is_substitute: bool
    """Whether the response is this program's, in the place of the origin's."""
    is_admitted: bool
    """Whether all gates have let it through: from then on `request` is what the target is asked for."""
    is_repeated: bool
    """Whether it was sent a second time, since the connection of the first had been closed by the origin meanwhile."""
    rule: str
    """Which rule applied, in words; empty where there is but one way."""
    is_renamed: bool
    """Whether the origin is asked for by a name of its own (`rewrite.py`)."""
    seconds: float
    """From the beginning until the latest of: answered, ended."""
    bytes_in: int
    """Of the request's body, or a raw tunnel, towards the origin."""
    bytes_out: int
    """Of the response's body, or a raw tunnel, towards the edge."""

    @property
    def held(self) -> bytes:
        """Bytes of the request's body that came, and went nowhere."""

    @property
    def is_heard_out(self) -> bool:
        """Whether all of that body has come."""


class Observer:
    """Told of the events of all exchanges; what it does not override costs nothing."""

    keeps_bodies = False
    """Whether it wants whole bodies also of requests that reach nobody."""

    def opened(self, exchange: Observed) -> None:
        """A request has come."""

    def reached(self, exchange: Observed, target: Target) -> None:
        """There is a connection to its target, on which it goes now."""

    def request_data(self, exchange: Observed, data: bytes) -> None:
        """Bytes of its body went to the origin, or were ready to."""

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        """The head of the origin's response has come, or 101. `fields` are what the visitor gets, before those of the
        hop are taken out."""

    def response_data(self, exchange: Observed, data: bytes) -> None:
        """Bytes of the response's body went to the edge."""

    def ended(self, exchange: Observed) -> None:
        """It is over, one way or another."""


class Observers:
    """Several observers, as lists of whom to call at which event."""

    def __init__(self, *observers: Observer) -> None:
        self.keep_bodies = any(each.keeps_bodies for each in observers)
        self.opened = [each.opened for each in observers if _wants(each, "opened")]
        self.reached = [each.reached for each in observers if _wants(each, "reached")]
        self.request_data = [each.request_data for each in observers if _wants(each, "request_data")]
        self.answered = [each.answered for each in observers if _wants(each, "answered")]
        self.response_data = [each.response_data for each in observers if _wants(each, "response_data")]
        self.ended = [each.ended for each in observers if _wants(each, "ended")]


def _wants(observer: Observer, event: str) -> bool:
    return getattr(type(observer), event) is not getattr(Observer, event)
