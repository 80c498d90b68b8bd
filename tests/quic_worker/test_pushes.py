"""Configurations that the edge pushes: one answer each, whatever the supervisor does."""

import asyncio
from collections.abc import Callable

import pytest

from actors.bus.messages import ConfigurationAnswered, ConfigurationPushed
from actors.quic_worker import pushes
from actors.quic_worker.pushes import Pushes
from actors.wire.registration import NOT_APPLIED, ConfigurationAnswer


class World:
    def __init__(self, *, takes: bool = True) -> None:
        self.said: list[ConfigurationPushed] = []
        self.answers: list[ConfigurationAnswer] = []
        self.pushes = Pushes(self.said.append, lambda: 7, takes=takes)

    def push(self, version: int) -> None:
        self.pushes.push(version, b"{}", self.answers.append)


async def test_each_push_gets_the_answer_to_it() -> None:
    world = World()
    world.push(8)
    world.push(9)
    first, second = (message.number for message in world.said)
    world.pushes.answered(ConfigurationAnswered(second, 9))
    world.pushes.answered(ConfigurationAnswered(first, 8, "no"))
    assert world.answers == [(9, ""), (8, "no")]
    world.pushes.answered(ConfigurationAnswered(first, 8))
    assert len(world.answers) == 2, "once"


async def test_where_none_is_taken_the_supervisor_is_not_asked() -> None:
    world = World(takes=False)
    world.push(8)
    assert world.answers == [(0, NOT_APPLIED)]
    assert not world.said


async def test_a_supervisor_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, call, *arguments: later.append((delay, call, arguments)))
    world = World()
    world.push(8)
    ((delay, call, arguments),) = later
    assert delay == pushes.PATIENCE
    call(*arguments)
    ((version, error),) = world.answers
    assert (version, error) == (7, "this client could not decide within 4 s")
    world.pushes.answered(ConfigurationAnswered(world.said[0].number, 8))
    assert len(world.answers) == 1
