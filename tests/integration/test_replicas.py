"""A token on several machines: replicas, which know nothing of each other, before both edges."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import foreign_edge
from tests.kit.load import Load, load
from tests.kit.named import HOSTNAME, NamedTunnel, named_tunnel
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, Process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT),  # a first build takes its time
    pytest.mark.usefixtures("each_edge"),
    pytest.mark.parametrize("protocol", ["quic", "http2"]),
]

CONNECTIONS = 2
"""Of each replica."""

AT_LEAST = 5000
"""Requests of which a rolling restart must fail none."""


class Replicas:
    """Two of them, each with an origin of its own that says which it is."""

    def __init__(self, own: NamedTunnel, folder: Path, ports: list[int], protocol: str) -> None:
        self.own = own
        self.processes: list[Process] = []
        self._folder = folder
        self._ports = ports
        self._protocol = protocol
        self._stack = contextlib.AsyncExitStack()

    async def start(self, number: int) -> Process:
        """Start one, and wait until its connections are registered."""
        arguments = ("--port", self._ports[number])
        replica = self.own.replica(
            self._folder / f"state-{number}", *arguments, connections=CONNECTIONS, protocol=self._protocol
        )
        process = await self._stack.enter_async_context(replica)
        self.processes[number : number + 1] = [process]
        return process

    async def __aenter__(self) -> "Replicas":
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)


@contextlib.asynccontextmanager
async def saying(name: str) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(answer(name.encode()))

    async with scripted(serve) as port:
        yield port


@pytest.fixture
async def replicas(tmp_path: Path, protocol: str) -> AsyncIterator[Replicas]:
    async with (
        saying("one") as one,
        saying("two") as two,
        named_tunnel(tmp_path, hostnames=[HOSTNAME]) as own,
        Replicas(own, tmp_path, [one, two], protocol) as made,
    ):
        await made.start(0)
        yield made


@contextlib.asynccontextmanager
async def under_load(replicas: Replicas) -> AsyncIterator[Load]:
    async with load(replicas.own.front, HOSTNAME) as counted:
        await counted.more(100)
        yield counted


async def spread(counted: Load) -> None:
    """Of the requests from now on each replica gets its share."""
    counted.answers.clear()
    async with asyncio.timeout(PATIENCE):
        await counted.more(400)
    assert min(counted.answers[name] for name in ("one", "two")) > 100, counted.answers


async def test_requests_are_spread(replicas: Replicas) -> None:
    """A replica that comes gets its share, with the indices of the first; one that goes leaves all to the other."""
    async with under_load(replicas) as counted:
        assert set(counted.answers) == {"one"}
        second = await replicas.start(1)
        await spread(counted)
        held = {(each["client_id"], each["index"]) for each in await replicas.own.connections()}
        assert (len({client for client, _ in held}), len(held)) == (2, 2 * CONNECTIONS)
        assert await second.stop() == 0
        counted.answers.clear()
        await counted.more(200)
        assert set(counted.answers) <= {"one", "two"}
        counted.answers.clear()
        await counted.more(100)
        assert set(counted.answers) == {"one"}
    assert not counted.failures


async def test_killed_replica_costs_what_was_in_flight_there(replicas: Replicas) -> None:
    first = replicas.processes[0]
    lost = {each["id"] for each in await replicas.own.connections()}
    await replicas.start(1)
    async with under_load(replicas) as counted:
        await spread(counted)
        for each in [first.process, *first.descendants()]:  # a machine without power ends them all at once
            with contextlib.suppress(ProcessLookupError):
                each.send_signal(signal.SIGKILL)
        await first.wait()
        async with asyncio.timeout(PATIENCE):
            while lost & {each["id"] for each in await replicas.own.connections()}:
                await counted.more(10)
        failed = list(counted.failures)
        await counted.more(500)
        assert counted.failures == failed, "the edge had noticed, and yet something failed"
        assert all(any(identifier in failure for identifier in lost) for failure in failed), failed
        await replicas.start(0)
        await spread(counted)
    assert counted.failures == failed


async def test_rolling_restart_costs_nothing(replicas: Replicas) -> None:
    """Each is told to stop, ends, and is started again, one after the other, while visitors go on."""
    await replicas.start(1)
    async with under_load(replicas) as counted:
        served = 0
        while served + counted.whole < AT_LEAST:
            for number, process in enumerate(replicas.processes):
                assert await process.stop() == 0
                await counted.more(200)
                await replicas.start(number)
                served += counted.whole
                await spread(counted)
    assert not counted.failures
    assert served + counted.whole >= AT_LEAST
