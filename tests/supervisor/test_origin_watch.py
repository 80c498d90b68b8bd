"""The look at the origin's port when requests fail."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.testing import capture_logs

from actors.bus import events
from actors.bus.routes import Origin
from actors.supervisor import origin_watch
from actors.supervisor.origin_watch import OriginWatch
from tests.kit.origins import free_port


async def test_origin_that_comes_goes_and_comes_again_is_said_each_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin_watch, "PROBE_INTERVAL", 0.05)
    said: asyncio.Queue[events.Event] = asyncio.Queue()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    watch = OriginWatch(Origin(host="127.0.0.1", port=port), said.put_nowait, structlog.get_logger())
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
    watch = OriginWatch(Origin(host="127.0.0.1", port=1), lambda fact: None, structlog.get_logger())
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


@contextlib.asynccontextmanager
async def watched(port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[OriginWatch, asyncio.Queue[str]]]:
    """A watch that runs, and the events it tells."""
    monkeypatch.setattr(origin_watch, "PROBE_INTERVAL", 0.01)
    said: asyncio.Queue[str] = asyncio.Queue()
    watch = OriginWatch(
        Origin(host="127.0.0.1", port=port), lambda fact: said.put_nowait(type(fact).__name__), structlog.get_logger()
    )
    running = asyncio.create_task(watch.run())  # noqa: TID251 - cancelled below
    try:
        yield watch, said
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_origin_that_comes_soon_after_the_start_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with capture_logs() as lines:
        async with watched(port, monkeypatch) as (_, said):
            assert await said.get() == "OriginUnreachable", "programs know at once"
            assert lines == []
            async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port):
                assert await said.get() == "OriginReachable"
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", f"something answers on 127.0.0.1:{port} now")
    ]


@pytest.mark.parametrize("how", ["patience is over", "a request failed"])
async def test_origin_that_does_not_come_is_a_warning_that_is_taken_back(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    if how == "patience is over":
        monkeypatch.setattr(origin_watch, "START_PATIENCE", 0.0)
    with capture_logs() as lines:
        async with watched(port, monkeypatch) as (watch, said):
            assert await said.get() == "OriginUnreachable"
            if how == "a request failed":
                watch.failures(0, 1, 1)
            while not lines:
                await asyncio.sleep(0)
            async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port):
                assert await said.get() == "OriginReachable"
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", f"nothing answers on 127.0.0.1:{port}; requests get 502 until something does"),
        ("warning", f"something answers on 127.0.0.1:{port} now"),
    ]
