"""The event loop of a process that moves bytes: uvloop's where it is installed (`[fast]`), else asyncio's own."""

import asyncio
import gc
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end, as `asyncio.run` does."""
    gc.freeze()  # what was imported stays: the collector, which is busy under load, need not look at it each time
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(main)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()

    class ExactLoop(uvloop.Loop):
        """uvloop's clock stands still within a turn and counts milliseconds: too coarse for round trips."""

        def time(self) -> float:
            return time.monotonic()

    return ExactLoop()
