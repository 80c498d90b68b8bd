"""What has passed by now: a recount asks every worker, which else reports a quarter of a second later."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

Worker = tuple[int, int]
"""Slot and generation."""

PATIENCE: Final = 1.0
"""Seconds that the workers get: one that is stuck must not hold back what the others counted."""


class Recount:
    """The recounts of one supervisor. Each has a number, which rises."""

    def __init__(self, ask: Callable[[Worker, int], None], done: Callable[[], None]) -> None:
        """`ask` tells a worker a recount's number; `done` is called when all of them have answered it, or are gone."""
        self._ask = ask
        self._done = done
        self._number = 0
        self._waiting: set[Worker] = set()
        """Those that have not answered the latest one."""
        self._timer: asyncio.TimerHandle | None = None
        self.answered = 0
        """The number of the latest that is over."""

    def begin(self, number: int, workers: Iterable[Worker]) -> None:
        """Ask these workers. A recount that still goes on is answered by this one."""
        self._number = number
        self._waiting = set(workers)
        for worker in list(self._waiting):
            self._ask(worker, number)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._finish)
        self._look()

    def heard(self, worker: Worker, number: int) -> None:
        """A worker has answered up to this one."""
        if number >= self._number:
            self.gone(worker)

    def gone(self, worker: Worker) -> None:
        """Do not wait for this worker."""
        self._waiting.discard(worker)
        self._look()

    def _look(self) -> None:
        if self._timer is not None and not self._waiting:
            self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.answered = self._number
        self._done()
