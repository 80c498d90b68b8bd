"""Who holds a body for its gates, of all requests of one connection to the edge. Pure.

Anybody can say that a body will come, and send it slowly. So no visitor gets more than some of the places, and when all
are taken, the body that has been awaited longest makes room: who sends one to be checked sends it at once.
"""

from typing import Final, Protocol

MAX_HELD_BODIES: Final = 32
"""Bodies that one connection to the edge holds for its gates: with 1 MiB each, all that strangers can make it keep."""

MAX_OF_ONE_VISITOR: Final = MAX_HELD_BODIES // 4
"""Of these: more than any sender of webhooks has under way at once."""


class Holder(Protocol):
    """Who holds one."""

    def make_room(self) -> None:
        """Its place is gone: it was there for longest, and another one came."""


class Holding:
    """The places."""

    def __init__(self) -> None:
        self._visitors: dict[Holder, bytes] = {}
        """Of whom each is, the one that came first at the beginning."""

    def __len__(self) -> int:
        return len(self._visitors)

    def take(self, holder: Holder, visitor: bytes) -> bool:
        """Take a place; whether there is one for this visitor."""
        if sum(other == visitor for other in self._visitors.values()) >= MAX_OF_ONE_VISITOR:
            return False
        if len(self._visitors) >= MAX_HELD_BODIES:
            first = next(iter(self._visitors))
            self.leave(first)
            first.make_room()
        self._visitors[holder] = visitor
        return True

    def leave(self, holder: Holder) -> None:
        """Give the place back; nothing, if it has none any more."""
        self._visitors.pop(holder, None)
