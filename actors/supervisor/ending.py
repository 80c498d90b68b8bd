"""Who may ask for the end of the tunnel: signals, the program that started it, its owner; twice, for one at once."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from typing import Final

from actors.bus.messages import Drain, Recount
from actors.errors import ExitCode
from actors.processes.dispositions import is_wanted
from actors.processes.log import Logger
from actors.processes.tasks import Tasks
from actors.supervisor.lifeline_input import LifelineInput
from actors.supervisor.owner import until_ended
from actors.supervisor.settings import Settings

CLOCK_INTERVAL: Final = 30.0
"""Seconds between looks at the clock: timers stand still while a machine sleeps, and this one may have."""

Stop = Callable[[float, signal.Signals | None], None]
"""The end in order: within so many seconds, because of a signal or for another reason."""


def awake_or_not() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class EndRequests:
    """Listens to all who may ask. What they ask for is done by others."""

    def __init__(
        self,
        settings: Settings,
        log: Logger,
        *,
        stop: Stop,
        end_at_once: Callable[[int], None],
        recount: Callable[[int], None],
    ) -> None:
        """`stop` is called once; `end_at_once` gets the exit status; `recount` its number."""
        self._settings = settings
        self._log = log
        self._stop = stop
        self._end_at_once = end_at_once
        self._recount = recount
        self._asked = False

    def listen(self, tasks: Tasks, signals: Iterable[signal.Signals]) -> None:
        """Begin to listen, in the running event loop."""
        loop = asyncio.get_running_loop()
        for number in signals:
            if is_wanted(number):
                loop.add_signal_handler(number, self._signalled, number)
        if self._settings.lifeline:
            LifelineInput(self._ordered, self._owner_gone)
        if self._settings.expires is not None:
            tasks.start(self._watch_clock(self._settings.expires), name="expires")
        if self._settings.owner:
            tasks.start(self._watch_owner(self._settings.owner), name="owner")

    async def _watch_clock(self, expires: float) -> None:
        """Wait for the end of the time that was given; while the machine sleeps it goes on."""
        end = awake_or_not() + expires
        while (left := end - awake_or_not()) > 0:  # noqa: ASYNC110 - no timer goes on while a machine sleeps
            await asyncio.sleep(min(left, CLOCK_INTERVAL))
        self._log.warning("the time of --expires is over: the tunnel ends")
        self._ask(self._settings.grace_period)

    def _signalled(self, number: signal.Signals) -> None:
        if self._asked:
            self._end_at_once(128 + number)
        self._ask(self._settings.grace_period, number)

    def _ordered(self, order: Drain | Recount) -> None:
        match order:
            case Drain(grace):
                self._ask(grace)
            case Recount(number):
                self._recount(number)

    async def _watch_owner(self, pid: int) -> None:
        await until_ended(pid)
        self._owner_gone()

    def _owner_gone(self) -> None:
        """The owner has ended, and with it everybody who waits for an answer: end without a grace period."""
        if self._asked:
            self._end_at_once(ExitCode.STOPPED)
        self._ask(0.0)

    def _ask(self, grace: float, number: signal.Signals | None = None) -> None:
        if not self._asked:
            self._asked = True
            self._stop(grace, number)
