"""What is known of the names of header fields, and of status lines. Pure.

Visitors and origins send the same ones again and again; each is looked at once. A stranger's push others out, and
cost no more than that.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

KNOWN_NAMES: Final = 512
"""Names that are remembered for one purpose."""

MAX_NAME: Final = 64
"""Bytes of such a name: longer ones are seldom, and together they would take memory."""

T = TypeVar("T")


class Known(dict[bytes, T], Generic[T]):
    """By name, what a look at it has found."""

    def __init__(self, look: Callable[[bytes], T]) -> None:
        super().__init__()
        self._look = look

    def __missing__(self, name: bytes) -> T:
        found = self._look(name)
        if len(name) <= MAX_NAME:
            if len(self) >= KNOWN_NAMES:
                self.clear()
            self[name] = found
        return found
