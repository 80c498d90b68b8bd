"""Back-pressure between two sides of which each goes at its own pace. Pure.

A source either needs credit for each byte before it sends more (a stream of the edge), or is stopped and started (a
socket). Who writes to a sink that says "pause" passes it on to the source by one of these two.
"""

from collections.abc import Callable
from typing import Protocol


class Valve:
    """Gives a source credit for what a sink took; while the sink is full, the credit is held back."""

    __slots__ = ("_credit", "_held", "_is_open")

    def __init__(self, credit: Callable[[int], None]) -> None:
        """`credit` lets the source send so many bytes more."""
        self._credit = credit
        self._is_open = True
        self._held = 0

    def passed(self, count: int) -> None:
        """`count` bytes of the source went into the sink."""
        if self._is_open:
            self._credit(count)
        else:
            self._held += count

    def close(self) -> None:
        """The sink is full."""
        self._is_open = False

    def open(self) -> None:
        """The sink has room again."""
        self._is_open = True
        if held := self._held:
            self._held = 0
            self._credit(held)


class Readable(Protocol):
    """A transport, as asyncio has it."""

    def is_closing(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def stop(source: Readable | None) -> None:
    """Read no more for now. A transport that is about to close must not be asked."""
    if source is not None and not source.is_closing():
        source.pause_reading()


def start(source: Readable | None) -> None:
    """Read again."""
    if source is not None and not source.is_closing():
        source.resume_reading()
