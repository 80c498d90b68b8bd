"""Configurations that the edge pushes: they are the supervisor's affair, and the edge waits for what it says."""

import asyncio
from collections.abc import Callable
from typing import Final

from actors.bus.messages import ConfigurationAnswered, ConfigurationPushed
from actors.wire.registration import NOT_APPLIED, ConfigurationAnswer

PATIENCE: Final = 4.0
"""Seconds for the supervisor's answer. The edge waits for 5, and then knows nothing."""

Answer = Callable[[ConfigurationAnswer], None]


def refuse_all(version: int, configuration: bytes, answer: Answer) -> None:
    """What becomes of a push where the edge may not push."""
    answer(ConfigurationAnswer(0, NOT_APPLIED))


class Pushes:
    """Those of one connection that were not answered yet."""

    def __init__(self, say: Callable[[ConfigurationPushed], None], version: Callable[[], int], *, takes: bool) -> None:
        """`say` tells the supervisor, and `version` what is in force; `takes`: whether the edge may push at all."""
        self._say = say
        self._version = version
        self._takes = takes
        self._number = 0
        self._waiting: dict[int, tuple[Answer, asyncio.TimerHandle]] = {}

    def push(self, version: int, configuration: bytes, answer: Answer) -> None:
        """The edge pushes a configuration; `answer` gets what it is to be told, once."""
        if not self._takes:
            refuse_all(version, configuration, answer)
            return
        self._number += 1
        loop = asyncio.get_running_loop()
        self._waiting[self._number] = answer, loop.call_later(PATIENCE, self._gives_up, self._number)
        self._say(ConfigurationPushed(self._number, version, configuration))

    def answered(self, message: ConfigurationAnswered) -> None:
        """The supervisor has decided."""
        if (waiting := self._waiting.pop(message.number, None)) is not None:
            answer, timer = waiting
            timer.cancel()
            answer(ConfigurationAnswer(message.version, message.error))

    def _gives_up(self, number: int) -> None:
        answer, _ = self._waiting.pop(number)
        answer(ConfigurationAnswer(self._version(), f"this client could not decide within {PATIENCE:.0f} s"))
