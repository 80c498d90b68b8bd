"""Tasks: what they end with, and what nobody swallows."""

import asyncio

import pytest

from actors.processes import tasks
from actors.processes.tasks import beside, kept, until_over


async def forever() -> None:
    await asyncio.Event().wait()


async def test_work_beside_a_block_ends_with_it() -> None:
    async with beside(forever()) as work:
        pass
    assert work.cancelled()


async def test_failure_of_work_that_nobody_waited_for_is_not_the_block_s() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async with beside(fail()):
        await asyncio.sleep(0)


async def test_cancellation_of_the_caller_is_not_swallowed_while_a_block_ends() -> None:
    """It comes while an exception unwinds, and the work beside takes its time to end."""
    ending, go_on = asyncio.Event(), asyncio.Event()

    async def reluctant() -> None:
        try:
            await forever()
        finally:
            ending.set()
            await go_on.wait()

    async def caller() -> None:
        async with beside(reluctant()):
            await asyncio.sleep(0)  # let it begin
            raise ZeroDivisionError

    task = asyncio.ensure_future(caller())  # noqa: TID251 - awaited below
    await ending.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_over_first_is_raised() -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    over.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await until_over(forever(), over)


async def test_work_that_is_kept_begins_again_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "RETRY_PAUSE", 0.0)
    faults: list[Exception] = []
    tries = iter((ZeroDivisionError(), OSError(), None))

    async def work() -> None:
        if (error := next(tries)) is not None:
            raise error

    await kept(work, faults.append)
    assert [type(fault) for fault in faults] == [ZeroDivisionError, OSError]
