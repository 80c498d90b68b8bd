"""What an exchange needs done for it, and what all of them share. Pure: `exchanges.py` does it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from actors.exchange.backend import Target
from actors.exchange.gate import Gate, Way
from actors.exchange.holding import Holding
from actors.exchange.observers import Observers
from actors.exchange.request import Request

if TYPE_CHECKING:
    from actors.exchange.exchange import Exchange


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None:
        """Do not call it."""


class Driver(Protocol):
    """Does for exchanges what takes a clock or an event loop."""

    observers: Observers
    holding: Holding
    """The bodies of all exchanges together that gates ask for."""

    @property
    def is_full(self) -> bool:
        """Whether as many exchanges run as may."""

    def route(self, request: Request) -> Way | None:
        """Where a request goes; None: the tunnel's rules are about to come."""

    def await_rules(self, exchange: "Exchange") -> None:
        """Tell the exchange once it is known where it goes: `routed`."""

    def now(self) -> float:
        """Seconds of a monotonic clock."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back later."""

    def connect(self, exchange: "Exchange", target: Target) -> None:
        """Open a connection, and tell the exchange: `connected`, `connect_failed` or `fault`."""

    def judge(self, exchange: "Exchange", gate: Gate, body: bytes | None) -> None:
        """Ask the gate, and tell the exchange: `judged`, perhaps at once, or `fault`."""

    def ended(self, exchange: "Exchange") -> None:
        """The exchange needs nothing any more. Called once."""

    def fault(self, exchange: "Exchange", error: Exception) -> None:
        """Say in the log that this program has failed."""
