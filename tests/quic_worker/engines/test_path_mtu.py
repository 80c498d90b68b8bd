"""The search for the largest datagram that a path carries."""

import pytest

from actors.quic_worker.engines.path_mtu import (
    BASE_BYTES,
    BLACK_HOLE_TIMEOUTS,
    CANDIDATES,
    MAX_PROBES,
    RAISE_SECONDS,
    RETRY_SECONDS,
    PathMtu,
)


def search(carries: int, *, chance: set[int] = frozenset()) -> tuple[PathMtu, list[int]]:  # type: ignore[assignment]
    """A search to its end on a path that carries so much, and what was probed. `chance`: probes that it loses too."""
    path, probes = PathMtu(), []
    while (size := path.probe(0.0)) is not None:
        probes.append(size)
        if size <= carries and len(probes) - 1 not in chance:
            path.acked(size, 0.0)
        else:
            path.lost(size, 0.0)
    return path, probes


@pytest.mark.parametrize(
    ("carries", "found"),
    [(9000, 1452), (1452, 1452), (1451, 1432), (1400, 1392), (1352, 1352), (1300, 1280), (1279, BASE_BYTES)],
)
def test_largest_that_passes_is_found(carries: int, found: int) -> None:
    path, probes = search(carries)
    assert path.size == found
    assert len(probes) <= MAX_PROBES * len(CANDIDATES)


def test_probe_lost_by_chance_is_repeated() -> None:
    path, probes = search(1500, chance={0, 1})
    assert (path.size, probes) == (1452, [1452] * 3)


def test_one_probe_at_a_time() -> None:
    path = PathMtu()
    assert path.probe(0.0) == CANDIDATES[0]
    assert path.probe(0.0) is None


def test_search_for_more_begins_anew_after_a_time() -> None:
    path, _ = search(1400)
    assert path.probe(RAISE_SECONDS - 1) is None
    assert path.probe(RAISE_SECONDS) == CANDIDATES[0]


def test_no_search_beyond_the_best() -> None:
    path, _ = search(1500)
    assert path.probe(1e9) is None


def test_path_that_no_longer_carries_it() -> None:
    path, _ = search(1500)
    path.timed_out(BLACK_HOLE_TIMEOUTS - 1, 10.0)
    assert path.size == 1452
    path.timed_out(BLACK_HOLE_TIMEOUTS, 10.0)
    assert path.size == BASE_BYTES
    assert path.probe(10.0 + RETRY_SECONDS - 1) is None
    assert path.probe(10.0 + RETRY_SECONDS) == CANDIDATES[0]


def test_late_news_of_a_probe_that_was_given_up_changes_nothing() -> None:
    path, _ = search(1500)
    path.timed_out(BLACK_HOLE_TIMEOUTS, 0.0)
    path.lost(1452, 0.0)
    assert path.size == BASE_BYTES
