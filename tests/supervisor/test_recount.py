"""A recount: whom it asks, and when it is over."""

import asyncio

import pytest

from actors.supervisor import recount
from actors.supervisor.recount import Recount, Worker


class Trial:
    """A recount of some workers, and what came of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Worker, int]] = []
        self.over: list[int] = []
        self.recount = Recount(
            lambda worker, number: self.asked.append((worker, number)), lambda: self.over.append(self.recount.answered)
        )


async def test_it_is_over_when_all_have_answered() -> None:
    trial = Trial()
    trial.recount.begin(1, [(0, 1), (1, 4)])
    assert trial.asked == [((0, 1), 1), ((1, 4), 1)]
    trial.recount.heard((0, 1), 1)
    trial.recount.heard((1, 4), 0)  # a heartbeat that was on its way
    assert trial.over == []
    trial.recount.heard((1, 4), 1)
    assert trial.over == [1]
    trial.recount.heard((1, 4), 1)
    assert trial.over == [1], "once"


async def test_without_workers_it_is_over_at_once() -> None:
    trial = Trial()
    trial.recount.begin(1, [])
    assert trial.over == [1]


async def test_one_that_ends_is_not_waited_for() -> None:
    trial = Trial()
    trial.recount.begin(1, [(0, 1)])
    trial.recount.gone((0, 1))
    assert trial.over == [1]


async def test_a_later_one_answers_an_earlier_one() -> None:
    trial = Trial()
    trial.recount.begin(1, [(0, 1), (1, 1)])
    trial.recount.heard((0, 1), 1)
    trial.recount.begin(2, [(0, 1), (1, 1)])
    trial.recount.heard((1, 1), 2)
    assert trial.over == []
    trial.recount.heard((0, 1), 2)
    assert trial.over == [2]


async def test_one_that_is_stuck_costs_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recount, "PATIENCE", 0.0)
    trial = Trial()
    trial.recount.begin(1, [(0, 1)])
    while not trial.over:
        await asyncio.sleep(0)
    assert trial.over == [1]
