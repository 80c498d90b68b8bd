"""Whether a path is alive, from what comes over it. Pure: times are in seconds of one monotonic clock, passed in.

TCP tells of a dead path after many minutes, of one that a router has forgotten never. So we ask when nothing comes.
"""

import enum
from typing import Final

QUIET: Final = 5.0
"""Seconds without a byte after which a PING is sent."""

PATIENCE: Final = 5.0
"""Seconds without a byte after a PING until the path counts as dead."""

SAMPLE_INTERVAL: Final = 15.0
"""Seconds between PINGs where bytes come all the time: the round trip is still to be known."""

LOOK_INTERVAL: Final = 1.0
"""Seconds between looks."""

_ASLEEP: Final = 3 * LOOK_INTERVAL
"""Seconds between two looks that mean that this process did not run: what came meanwhile is read first."""


class Due(enum.Enum):
    """What is to be done."""

    NOTHING = enum.auto()
    PING = enum.auto()
    GIVE_UP = enum.auto()


class Pulse:
    """Of one connection."""

    def __init__(self, now: float) -> None:
        self.round_trip_time = 0.0
        """Seconds from the latest PING to its answer; 0 before the first."""
        self._heard_at = now
        self._looked_at = now
        self._asked_at: float | None = None
        """When the PING was sent that is not answered yet."""
        self._sampled_at = now - SAMPLE_INTERVAL

    def heard(self, now: float) -> None:
        """Bytes came."""
        self._heard_at = now

    def answered(self, now: float) -> None:
        """The answer to a PING came."""
        if self._asked_at is not None:
            self.round_trip_time = now - self._asked_at
            self._asked_at = None

    def look(self, now: float) -> Due:
        """What is due. After `PING` one is sent at once."""
        slept = now - self._looked_at > _ASLEEP
        self._looked_at = now
        if slept:
            self._heard_at = now
            self._asked_at = None
        if self._asked_at is not None:
            silent = now - max(self._heard_at, self._asked_at)
            return Due.GIVE_UP if silent >= PATIENCE else Due.NOTHING
        if now - self._heard_at >= QUIET or now - self._sampled_at >= SAMPLE_INTERVAL:
            self._asked_at = self._sampled_at = now
            return Due.PING
        return Due.NOTHING
