"""Restart rules: that they are complete, and how waits grow."""

import msgspec

from actors.supervisor.children import MODULES
from actors.supervisor.dice import Dice
from actors.supervisor.restart import BACKOFF, HELPERS, MIN_JITTER, PATIENCE, Helpers, backoff
from actors.supervisor.vocabulary import HelperBeat, HelperReady, KillHelper


def test_every_kind_of_child_has_a_rule() -> None:
    assert {*HELPERS, "worker"} == set(MODULES)


def test_waits_grow_to_the_cap_with_jitter() -> None:
    dice = Dice(1)
    for tries in range(1, 50):
        full = BACKOFF[min(tries, len(BACKOFF)) - 1]
        waits = [backoff(tries, dice) for _ in range(100)]
        assert MIN_JITTER * full <= min(waits)
        assert max(waits) <= full
        assert len(set(waits)) > 90, "no two clients come back together"


def test_silent_helper_is_killed_unless_it_was_us_who_slept() -> None:
    helpers, dice = Helpers(), Dice(1)
    helpers.handle(HelperReady("metrics"), 0.0, dice)
    helpers.slept(3600.0)
    assert helpers.tick(3600.0 + PATIENCE - 1) == []
    helpers.handle(HelperBeat("metrics"), 3605.0, dice)
    assert helpers.tick(3605.0 + PATIENCE + 1) == [KillHelper("metrics")]
    helpers.handle(HelperBeat("metrics"), 3610.0, dice)  # a word that was on its way
    assert not helpers.is_up("metrics")


def test_dice_that_are_read_back_go_on_where_they_were() -> None:
    dice = Dice(7)
    dice.shuffle(order := list(range(9)))
    again = msgspec.json.decode(msgspec.json.encode(dice), type=Dice)
    assert [again.uniform(0, 1) for _ in range(9)] == [dice.uniform(0, 1) for _ in range(9)]
    assert sorted(order) == list(range(9)) != order
