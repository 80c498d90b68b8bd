"""asyncio tasks that are held until they end, and whose failures are seen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

RETRY_PAUSE: Final = 10.0
"""Seconds until work that failed is done again: short for who waits for it, long for what fails each time."""


@contextlib.asynccontextmanager
async def beside(work: Awaitable[T]) -> AsyncIterator[asyncio.Future[T]]:
    """Do `work` while the block runs, which may wait for it; at the block's end it is cancelled if it still goes on."""
    waiting = asyncio.ensure_future(work)  # noqa: TID251 - awaited or cancelled right here
    try:
        yield waiting
    finally:
        waiting.cancel()
        await asyncio.wait((waiting,))  # raises nothing of `work`: a CancelledError from here is the caller's own
        if not waiting.cancelled():
            waiting.exception()  # seen here: the block has taken what it wanted of it


async def until_over(work: Awaitable[T], over: asyncio.Future[Any]) -> T:
    """Wait for `work`; or for `over`, if that comes first: then `work` is cancelled, and what `over` holds raised."""
    async with beside(work) as waiting:
        await asyncio.wait((waiting, over), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            over.result()
        return await waiting


async def kept(work: Callable[[], Awaitable[None]], on_fault: Callable[[Exception], None]) -> None:
    """Do `work`; after a fault in it, tell of that, and do it again a little later."""
    while True:
        try:
            return await work()
        except Exception as error:
            on_fault(error)
        await asyncio.sleep(RETRY_PAUSE)


class Tasks:
    """The background tasks of one actor. The event loop itself keeps only weak references.

    `on_failure` is called with the exception of a task that fails; a failure is never swallowed.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_failure = on_failure

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` beside the caller."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def replace(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run `coroutine` beside the caller, and no longer what ran under the same name."""
        for task in self._tasks:
            if task.get_name() == name:
                task.cancel()
        self.start(coroutine, name=name)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    async def cancel(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
