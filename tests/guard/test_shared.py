"""What all workers of a tunnel count together."""

import os
import struct

import pytest

from actors.bus.guards import MAX_GUARDS, Rate
from actors.guard.shared import GENERATIONS, KEY_BYTES, PLACES, ROWS, SIZE, SLOTS, Shared, row_of

RATE = Rate(0.1, 3)


def memory() -> bytearray:
    return bytearray(os.urandom(KEY_BYTES) + bytes(SIZE - KEY_BYTES))


def test_burst_then_the_rate() -> None:
    shared = Shared(memory())
    waits = [shared.take(0, b"v", RATE, 100.0) for _ in range(5)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[3] == waits[4] == pytest.approx(0.1)
    assert shared.take(0, b"v", RATE, 100.1001) == 0.0
    assert shared.take(0, b"v", RATE, 100.1001) > 0
    assert [shared.take(0, b"v", RATE, 200.0) for _ in range(4)].count(0.0) == 3


def test_in_the_long_run_it_is_the_rate() -> None:
    shared = Shared(memory())
    passed = sum(shared.take(0, b"v", RATE, 100 + number / 1000) == 0.0 for number in range(10_000))
    assert 100 <= passed <= 103


def test_visitors_and_guards_are_told_apart() -> None:
    shared = Shared(memory())
    for _ in range(4):
        shared.take(0, b"one", RATE, 100.0)
    assert shared.take(0, b"one", RATE, 100.0) > 0
    assert shared.take(0, b"other", RATE, 100.0) == 0.0
    assert shared.take(1, b"one", RATE, 100.0) == 0.0


def test_two_workers_count_together() -> None:
    common = memory()
    workers = [Shared(common), Shared(common)]
    assert [worker.take(0, b"v", RATE, 100.0) == 0.0 for worker in workers * 2] == [True, True, True, False]


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e300, 1e300])
def test_what_is_no_time_of_ours_keeps_nobody_out_for_long(garbage: float) -> None:
    common = memory()
    common[SIZE - PLACES * 8 :] = struct.pack("<d", garbage) * PLACES
    shared = Shared(common)
    assert shared.take(0, b"v", RATE, 100.0) <= RATE.burst * RATE.interval
    assert shared.take(0, b"v", RATE, 101.0) == 0.0


def test_few_visitors_share_a_place() -> None:
    shared = Shared(memory())
    alone = sum(shared.take(0, b"%d" % number, Rate(1e9, 1), 100.0) == 0.0 for number in range(1000))
    assert alone >= 970


def test_requests_in_flight_of_all_workers() -> None:
    common = memory()
    shared = Shared(common)
    rows = {row_of(slot, generation) for slot in range(SLOTS) for generation in range(GENERATIONS)}
    assert rows == set(range(ROWS))
    for row in rows:
        shared.came(row, 0)
        shared.came(row, MAX_GUARDS - 1)
    assert shared.in_flight(0) == shared.in_flight(MAX_GUARDS - 1) == ROWS
    assert shared.in_flight(1) == 0
    shared.came(3, 0, -1)
    shared.came(3, 0, -1)
    assert shared.in_flight(0) == ROWS - 1, "it never counts below nothing"
    shared.clear(5)
    assert (shared.in_flight(0), shared.in_flight(MAX_GUARDS - 1)) == (ROWS - 2, ROWS - 1)


def test_places_of_visitors_and_rows_are_apart() -> None:
    common = memory()
    shared = Shared(common)
    for row in range(ROWS):
        shared.clear(row)
    shared.came(ROWS - 1, MAX_GUARDS - 1)
    assert not any(common[SIZE - PLACES * 8 :])
    assert len(common) == SIZE
