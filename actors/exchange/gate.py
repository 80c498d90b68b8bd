"""What a request passes before it goes to its target, and the way that a route gives it. Pure.

Nothing of a request reaches a target, body included, before its gate has let it through; a gate may take its time.
"""

from typing import NamedTuple, Protocol

from actors.exchange.backend import Target
from actors.exchange.reasons import Reason
from actors.exchange.request import Request


class Refusal(NamedTuple):
    """Why a request does not go through."""

    status: int
    """What the visitor gets for it."""
    message: str
    reason: Reason


class Gate(Protocol):
    """Lets requests through, or not."""

    async def judge(self, request: Request) -> Refusal | None:
        """Why `request` does not go through; None: it does. What it raises is a fault, and lets nothing through."""


class Way(NamedTuple):
    """Where a request goes, and past whom."""

    target: Target
    gate: Gate | None = None
    rule: str = ""
    """Which rule says so, in words; empty where there is but one way."""
