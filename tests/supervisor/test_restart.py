"""Restart rules: that they are complete, and how waits grow."""

import random

from actors.supervisor.children import MODULES
from actors.supervisor.restart import BACKOFF, CHILDREN, MIN_JITTER, PATIENCE, Helpers, backoff
from actors.supervisor.vocabulary import HelperBeat, HelperReady, KillHelper


def test_every_kind_of_child_has_a_rule() -> None:
    assert set(CHILDREN) == set(MODULES)


def test_waits_grow_to_the_cap_with_jitter() -> None:
    rng = random.Random(1)
    for tries in range(1, 50):
        full = BACKOFF[min(tries, len(BACKOFF)) - 1]
        waits = [backoff(tries, rng) for _ in range(100)]
        assert MIN_JITTER * full <= min(waits)
        assert max(waits) <= full
        assert len(set(waits)) > 90, "no two clients come back together"


def test_silent_helper_is_killed_unless_it_was_us_who_slept() -> None:
    helpers = Helpers(random.Random(1))
    helpers.handle(HelperReady("metrics"), 0.0)
    helpers.slept(3600.0)
    assert helpers.tick(3600.0 + PATIENCE - 1) == []
    helpers.handle(HelperBeat("metrics"), 3605.0)
    assert helpers.tick(3605.0 + PATIENCE + 1) == [KillHelper("metrics")]
    helpers.handle(HelperBeat("metrics"), 3610.0)  # a word that was on its way
    assert not helpers.is_up("metrics")
