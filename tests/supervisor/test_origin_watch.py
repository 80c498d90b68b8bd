"""The look at the origin's port when requests fail."""

import asyncio
import contextlib

import pytest

from actors import events
from actors.messages import Origin
from actors.supervisor import origin_watch
from actors.supervisor.origin_watch import OriginWatch


async def test_origin_that_comes_goes_and_comes_again_is_said_each_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin_watch, "PROBE_INTERVAL", 0.05)
    said: asyncio.Queue[events.Event] = asyncio.Queue()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    watch = OriginWatch(Origin(host="127.0.0.1", port=port), said.put_nowait)
    running = asyncio.create_task(watch.run())  # noqa: TID251 - cancelled below
    unreachable = await said.get()
    assert isinstance(unreachable, events.OriginUnreachable)
    assert f"127.0.0.1:{port}" in unreachable.message
    assert not watch.reachable
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    assert isinstance(await said.get(), events.OriginReachable)
    server.close()
    watch.failures(0, 1, 1)
    assert isinstance(await said.get(), events.OriginUnreachable)
    assert said.empty()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_old_failures_are_no_news() -> None:
    watch = OriginWatch(Origin(host="127.0.0.1", port=1), lambda fact: None)
    watch._doubt.clear()
    watch.failures(0, 1, 0)
    assert not watch._doubt.is_set()
    watch.failures(0, 1, 2)
    assert watch._doubt.is_set()
    watch._doubt.clear()
    watch.failures(0, 1, 2)
    assert not watch._doubt.is_set()
    watch.failures(0, 2, 1)
    assert watch._doubt.is_set()
