"""Many at once, and slow ones among them: nothing lost, nothing gathered in memory."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from actors.quic_worker.engine import CONNECTION_WINDOW
from tests.kit.origins import BLOCK, answer, pattern_hash, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE
from tests.kit.queries import snapshot
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOAD_SECONDS = 60.0
HUGE = 200 * 1000 * 1000
"""Bytes: several times all that windows, rings and buffers of a connection may hold together."""
MEMORY_ALLOWED = 32 * 2**20 + CONNECTION_WINDOW


class Memory:
    """The most that a process held beyond what it held at first."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = process.memory_info().rss

    @property
    def growth(self) -> int:
        return int(self._process.memory_info().rss - self._before)


async def test_mixed_load_loses_nothing(state: Path) -> None:
    """Row L1: 200 at once for a minute, small and large, up and down, event streams and WebSockets."""
    async with uvicorn_origin() as port, tunnel(port, state, connections=2) as made:
        made.visitor._transport._pool._max_connections = 1000  # type: ignore[attr-defined]

        async def download(size: int) -> None:
            response = await made.visitor.get(f"/down/{size}")
            assert hashlib.sha256(response.content).hexdigest() == pattern_hash(size)

        async def upload(size: int) -> None:
            body = os.urandom(size)
            response = await made.visitor.post("/up", content=body)
            assert response.json()["sha256"] == hashlib.sha256(body).hexdigest()

        async def events() -> None:
            assert (await made.visitor.get("/sse")).text == "data: 1\n\ndata: 2\n\ndata: 3\n\n"

        async def talk() -> None:
            async with made.socket(open_timeout=PATIENCE) as socket:
                for number in range(20):
                    await socket.send(f"message {number}")
                    assert await socket.recv() == f"message {number}"

        clock = asyncio.get_running_loop()
        end = clock.time() + LOAD_SECONDS

        async def repeat(work: Callable[[], Awaitable[None]]) -> None:
            while clock.time() < end:
                await work()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(48):
                for work in (partial(download, 1024), partial(upload, 1024), events, talk):
                    tasks.create_task(repeat(work))
            for _ in range(4):
                tasks.create_task(repeat(partial(download, 2**20)))
                tasks.create_task(repeat(partial(upload, 2**20)))
        busy = [entry for entry in (await snapshot(state))["generations"] if entry["totals"]["streams"] > 100]
        assert len(busy) == 2, "every worker had its share"
        assert not [event for event in made.process.events() if event["type"] == "connection_ended"]
        edge = await made.totals()
        await made.process.stop()
        assert (await made.process.event("stopped"))["totals"] == edge


async def test_slow_visitor_of_a_huge_response(state: Path) -> None:
    """Row O2: the origin is held back, memory is not filled, another request is not slowed down, bytes are equal."""
    size = HUGE
    async with uvicorn_origin() as port, tunnel(port, state) as made:
        (worker,) = made.process.actors("worker")
        await made.visitor.get("/down/1000000")
        memory = Memory(worker)
        digest = hashlib.sha256()
        async with made.visitor.stream("GET", f"/down/{size}") as response:
            parts = response.aiter_raw()
            for _ in range(10):  # a megabyte a second
                taken = 0
                while taken < 1_000_000:
                    digest.update(part := await anext(parts))
                    taken += len(part)
                assert (await made.visitor.get("/down/1000")).status_code == 200
                await another_second(made)
                assert memory.growth < MEMORY_ALLOWED
            async for part in parts:
                digest.update(part)
        assert digest.hexdigest() == pattern_hash(size)


async def test_huge_upload_to_an_origin_that_reads_nothing(state: Path, quic_engine: str) -> None:
    """Row O2: the visitor is held back, memory is not filled, another request is served; then all of it arrives.

    picoquic holds nobody back before its spool is full: what the origin does not read waits on disk.
    """
    go_on = asyncio.Event()
    digest = hashlib.sha256()
    size = HUGE

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head.startswith(b"POST"):
            await go_on.wait()
            left = size
            while left:
                data = await reader.read(min(left, 2**20))
                digest.update(data)
                left -= len(data)
        writer.write(answer(b"ok"))

    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(size // len(BLOCK)):
            sent += len(BLOCK)
            yield BLOCK
        yield BLOCK[: size % len(BLOCK)]

    async with scripted(serve) as port, tunnel(port, state) as made:
        (worker,) = made.process.actors("worker")
        await made.visitor.get("/")
        memory = Memory(worker)
        async with asyncio.TaskGroup() as tasks:
            length = {"Content-Length": str(size)}
            upload = tasks.create_task(made.visitor.post("/", content=body(), headers=length))
            for _ in range(10):
                await another_second(made)
                assert memory.growth < MEMORY_ALLOWED
            assert sent < size / 5 or quic_engine == "picoquic"
            assert (await made.visitor.get("/")).text == "ok"
            go_on.set()
        assert upload.result().text == "ok"
    assert digest.hexdigest() == pattern_hash(size)


async def another_second(made: Tunnel) -> None:
    """Wait for the next `stats` event, which comes once a second."""
    await made.process.until(partial(_longer_than, made.process.stdout, len(made.process.stdout)))


def _longer_than(lines: list[str], count: int) -> bool:
    return len(lines) > count


async def test_one_stalled_stream_does_not_slow_the_others(state: Path) -> None:
    """Twenty visitors who read nothing, and forty who do."""
    async with uvicorn_origin() as port, tunnel(port, state) as made:
        made.visitor._transport._pool._max_connections = 1000  # type: ignore[attr-defined]
        stalled = [made.visitor.stream("GET", "/down/50000000") for _ in range(20)]
        for response in stalled:
            await response.__aenter__()
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(made.visitor.get("/down/100000")) for _ in range(40)]
        assert {hashlib.sha256(task.result().content).hexdigest() for task in answers} == {pattern_hash(100_000)}
        for response in stalled:
            await response.__aexit__(None, None, None)
