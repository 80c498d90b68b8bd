"""The event loop of a worker, with and without uvloop."""

import asyncio
import sys
import time

import pytest

from actors.processes import event_loop


async def _loop_and_clock() -> tuple[str, float]:
    loop = asyncio.get_running_loop()
    return type(loop).__module__, loop.time() - time.monotonic()


def test_uvloop_is_used_where_it_is_installed_and_its_clock_is_exact() -> None:
    pytest.importorskip("uvloop")

    async def ticks() -> list[float]:
        loop = asyncio.get_running_loop()
        return [loop.time() for _ in range(1000)]

    module, difference = event_loop.run(_loop_and_clock())
    assert module == "actors.processes.event_loop"
    assert abs(difference) < 0.1, "one clock for both: times of one are compared with times of the other"
    assert len(set(event_loop.run(ticks()))) > 100, "it does not stand still within a turn"


def test_asyncio_s_own_loop_serves_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    module, _ = event_loop.run(_loop_and_clock())
    assert module.startswith("asyncio")
