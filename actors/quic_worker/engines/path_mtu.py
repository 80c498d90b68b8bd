"""Search for the largest datagram that a path carries (RFC 8899, DPLPMTUD). Pure.

The connection begins with a size that every path carries, and probes larger ones: a datagram of nothing but a PING and
padding, whose loss says nothing about congestion. A path that stops carrying what it carried is met by going back.
"""

import math
from typing import Final

BASE_BYTES: Final = 1232
"""UDP payload that fits the smallest IPv6 link (1280 bytes less both headers)."""

CANDIDATES: Final = (1452, 1432, 1392, 1352, 1280)
"""Sizes to try, best first. 1452: Ethernet with IPv6, and the most the edge takes; 1432: the same through PPPoE; 1392:
WireGuard (1420) with IPv4; 1352: nested tunnels."""

MAX_PROBES: Final = 3
"""Probes of one size lost until it counts as too large (RFC 8899 section 5.1.2): one may be lost by chance."""

BLACK_HOLE_TIMEOUTS: Final = 2
"""Probe timeouts in a row after which a size that had passed is given up."""

RETRY_SECONDS: Final = 30.0
"""After such a fall the search begins anew: most of them are outages, and the path is as it was."""

RAISE_SECONDS: Final = 600.0
"""The search for more begins anew after so long: paths change (RFC 8899 section 5.1.1)."""


class PathMtu:
    """The search on one path."""

    def __init__(self) -> None:
        self.size = BASE_BYTES
        """UDP payload in bytes that the path carries, as far as is known."""
        self._untried = list(CANDIDATES)
        self._lost = 0
        self._in_flight = False
        self._again_at = math.inf

    def probe(self, now: float) -> int | None:
        """The size to probe now, if any. The caller sends it, and tells `acked` or `lost`."""
        if now >= self._again_at:
            self._again_at = math.inf
            self._untried = [size for size in CANDIDATES if size > self.size]
        if self._in_flight or not self._untried:
            return None
        self._in_flight = True
        return self._untried[0]

    def acked(self, size: int, now: float) -> None:
        """A probe arrived: the first that does is the largest."""
        self._in_flight = False
        self.size = max(self.size, size)
        self._end(now)

    def lost(self, size: int, now: float) -> None:
        """A probe did not arrive."""
        self._in_flight = False
        if not self._untried or size != self._untried[0]:
            return
        self._lost += 1
        if self._lost >= MAX_PROBES:
            self._lost = 0
            self._untried.pop(0)
            if not self._untried:
                self._end(now)

    def _end(self, now: float) -> None:
        self._untried.clear()
        self._lost = 0
        self._again_at = now + RAISE_SECONDS if self.size < CANDIDATES[0] else math.inf

    def timed_out(self, times: int, now: float) -> None:
        """So many probe timeouts (RFC 9002 section 6.2) came in a row: nothing gets through, or nothing so large."""
        if times >= BLACK_HOLE_TIMEOUTS and self.size > BASE_BYTES:
            self.size = BASE_BYTES
            self._untried.clear()
            self._lost = 0
            self._again_at = now + RETRY_SECONDS
