"""What all workers of a tunnel count together: a visitor's requests, and requests in flight. Pure: some memory.

    16 bytes   a key, random for each tunnel: who does not know it cannot tell which visitors share a place
    columns    for each worker a row, for each guard a column: requests in flight, 4 bytes each
    places     for visitors, 8 bytes each: when the visitor has used up what it may (GCRA's theoretical arrival time)

The memory is a file that all of them have mapped, and there is no lock: a row is written by its worker alone, and of
two workers that count one visitor in the same instant one count is lost. Times are seconds of CLOCK_MONOTONIC, which is
the whole machine's.
"""

import hashlib
import struct
from mmap import mmap
from typing import Final

from actors.bus.guards import MAX_GUARDS, Rate

KEY_BYTES: Final = 16

GENERATIONS: Final = 8
"""Workers of one slot that there may be at once: its own, and predecessors that finish what they have."""

SLOTS: Final = 4
"""As many connections as the edge takes of one tunnel."""

ROWS: Final = SLOTS * GENERATIONS

PLACES: Final = 64 * 1024
"""For visitors: of 1000 who come in the same minute, some 8 share a place with another one, and what that one uses."""

MARGIN: Final = 1.0
"""Seconds between two workers' looks at the clock, for one and the same request."""

_COUNT: Final = struct.Struct("<I")
_TIME: Final = struct.Struct("<d")
_ROW_BYTES: Final = MAX_GUARDS * _COUNT.size
_PLACES_AT: Final = KEY_BYTES + ROWS * _ROW_BYTES

SIZE: Final = _PLACES_AT + PLACES * _TIME.size
"""Bytes of the whole: half a MB, of which the kernel keeps what was touched."""


def row_of(slot: int, generation: int) -> int:
    """Where a worker counts."""
    return slot % SLOTS * GENERATIONS + generation % GENERATIONS


class Shared:
    """The memory."""

    def __init__(self, memory: memoryview | bytearray | mmap) -> None:
        """`memory`: `SIZE` bytes; new ones are all 0, but for the key."""
        self._memory = memoryview(memory)
        self._key = bytes(self._memory[:KEY_BYTES])

    # --- requests of one visitor ---

    def take(self, guard: int, visitor: bytes, rate: Rate, now: float) -> float:
        """Count one request of a visitor; 0.0 if it may pass, else in how many seconds one may."""
        name = guard.to_bytes(4, "little") + visitor
        number = int.from_bytes(hashlib.blake2b(name, key=self._key, digest_size=8).digest(), "little") % PLACES
        at = _PLACES_AT + number * _TIME.size
        (used_until,) = _TIME.unpack_from(self._memory, at)
        # What is further ahead than any visitor can get was written under another rate, or is no time at all.
        if not now <= used_until <= now + rate.burst * rate.interval + MARGIN:
            used_until = now
        wait = used_until - (rate.burst - 1) * rate.interval - now
        if wait > 0:
            return float(wait)
        _TIME.pack_into(self._memory, at, used_until + rate.interval)
        return 0.0

    # --- requests in flight ---

    def in_flight(self, guard: int) -> int:
        """Requests that are in flight past this guard, of all workers."""
        places = range(KEY_BYTES + guard * _COUNT.size, _PLACES_AT, _ROW_BYTES)
        return sum(_COUNT.unpack_from(self._memory, at)[0] for at in places)

    def came(self, row: int, guard: int, change: int = 1) -> None:
        """One more is, of the worker with that row; or one less."""
        at = KEY_BYTES + row * _ROW_BYTES + guard * _COUNT.size
        _COUNT.pack_into(self._memory, at, max(0, _COUNT.unpack_from(self._memory, at)[0] + change))

    def clear(self, row: int) -> None:
        """The worker of that row is gone, or has just begun."""
        at = KEY_BYTES + row * _ROW_BYTES
        self._memory[at : at + _ROW_BYTES] = bytes(_ROW_BYTES)
