"""Many rules, and rules that are pushed all the time, while visitors go on. Figures are printed, never asserted."""

import asyncio
import contextlib
import json
import statistics
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.kit import foreign_edge
from tests.kit.load import load, read_answer
from tests.kit.named import HOSTNAME, NamedTunnel, named_tunnel
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import Process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT),  # a first build takes its time
    pytest.mark.parametrize("protocol", ["quic", "http2"]),
]

PUSHES = 100
"""A second."""

REQUESTS = 500
"""A second."""

MEMORY_ALLOWED = 12 * 2**20
"""Bytes that a process may hold more at the end than after a third of the pushes: the allocator's whims."""

AT_ONCE = 8
"""Pushes that wait for their answers: on a machine that cannot keep up they become fewer, and do not pile up."""

RULES = 2000

ASKED = 200
"""Requests of which the middle one is printed."""


@pytest.fixture(autouse=True)
def written_in_go(monkeypatch: pytest.MonkeyPatch, foreign_program: Path) -> None:
    """The local edge would be the brake."""
    monkeypatch.setenv(foreign_edge.VARIABLE, str(foreign_program))


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[NamedTunnel]:
    async with named_tunnel(tmp_path, hostnames=["*.example.com"], remotely_managed=True) as made:
        yield made


@contextlib.asynccontextmanager
async def origin() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(answer(b"origin"))

    async with scripted(serve) as port:
        yield port


def memory(process: Process) -> dict[str, int]:
    """Bytes that supervisor and workers hold."""
    held = [psutil.Process(process.process.pid), *process.actors("worker")]
    return {each.name(): each.memory_info().rss for each in held}


def numbered(version: int, port: int) -> dict[str, Any]:
    """Rules that tell their version: as a status of `version.example.com`. Some of them come and go."""
    passing = [
        {"hostname": f"{version}-{number}.example.com", "path": f"^/{number}/", "service": "http_status:404"}
        for number in range(version % 10)
    ]
    return {
        "ingress": [
            *passing,
            {"hostname": HOSTNAME, "service": f"http://127.0.0.1:{port}"},
            {"hostname": "version.example.com", "service": f"http_status:{status_of(version)}"},
            {"service": "http_status:503"},
        ]
    }


class Pusher:
    """One connection to the edge's admin endpoints. A client of a library costs more than all that is measured."""

    def __init__(self, own: NamedTunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line = f"POST /tunnels/{own.id}/push HTTP/1.1\r\nHost: edge\r\n".encode()
        self._reader = reader
        self._writer = writer

    async def push(self, version: int, config: Any, **options: Any) -> list[dict[str, Any]]:
        """As `NamedTunnel.push`."""
        body = json.dumps({"version": version, "config": config, **options}).encode()
        self._writer.write(b"%bContent-Length: %d\r\n\r\n%b" % (self._line, len(body), body))
        status, text = await read_answer(self._reader)
        assert status == 200, text
        return list(json.loads(text))

    def close(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def pushers(own: NamedTunnel) -> AsyncIterator[asyncio.Queue[Pusher]]:
    """Those that wait for nothing."""
    at = urllib.parse.urlsplit(own.edge["admin"])
    free: asyncio.Queue[Pusher] = asyncio.Queue()
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE):
            pusher = Pusher(own, *await asyncio.open_connection(at.hostname, at.port))
            stack.callback(pusher.close)
            free.put_nowait(pusher)
        yield free


def status_of(version: int) -> int:
    return 200 + version % 300


async def test_pushes_all_the_time_harm_no_request(own: NamedTunnel, state: Path, protocol: str, soak: float) -> None:
    """100 a second under 500 requests a second: none fails, memory is flat, the last is in force everywhere."""
    async with origin() as port, own.replica(state, protocol=protocol) as process:
        last = round(soak * PUSHES)
        connections = [each["id"] for each in await own.connections()]
        await own.push(1, numbered(1, port))
        clock = asyncio.get_running_loop()
        begun, held = clock.time(), {}

        async def push(version: int, pusher: Pusher) -> None:
            only = connections[version % len(connections)]
            (told,) = await pusher.push(version, numbered(version, port), connection=only)
            free.put_nowait(pusher)
            assert told["err"] == ""
            assert told["latestAppliedVersion"] >= version

        async with (
            pushers(own) as free,
            load(own.front, HOSTNAME, at_once=20, rate=REQUESTS) as counted,
            asyncio.TaskGroup() as pushes,
        ):
            for version in range(2, last + 1):
                pushes.create_task(push(version, await free.get()))
                await asyncio.sleep(max(0.0, begun + version / PUSHES - clock.time()))  # the rate is the matter here
                if version == last // 3:
                    held = memory(process)
        seconds = clock.time() - begun
        assert counted.failures == []
        assert set(counted.answers) == {"origin"}
        told = {(await own.get(host="version.example.com")).status_code for _ in range(4 * len(connections))}
        assert told == {status_of(last)}
        assert {each["latestAppliedVersion"] for each in await own.push(0, {})} == {last}
        now = memory(process)
        assert now.keys() == held.keys(), "a worker was replaced"
        growth = {name: now[name] - held[name] for name in now}
        assert max(growth.values()) < MEMORY_ALLOWED, growth
    print(f"{protocol}: {last / seconds:.0f} pushes/s, {counted.whole / seconds:.0f} requests/s, {growth}")


async def test_many_rules(own: NamedTunnel, state: Path, protocol: str) -> None:
    """A configuration larger than other messages may be: applied, kept to, and how long a request takes by it."""
    many = [
        {"hostname": f"{number}.example.com", "path": "^/x/", "service": f"http_status:{status_of(number)}"}
        if number % 2
        else {"hostname": f"*.{number}.example.com", "service": f"http_status:{status_of(number)}"}
        for number in range(1, RULES)
    ]
    async with own.replica(state, protocol=protocol) as process:
        rest = {"service": "http_status:299"}
        for version, rules in ((1, [rest]), (2, [*many, rest])):
            for told in await own.push(version, {"ingress": rules}):
                assert (told["latestAppliedVersion"], told["err"]) == (version, "")
            applied = await process.event("configuration_applied", version=version)
            assert applied["rules"] == len(rules)
            print(f"{protocol}, {len(rules)} rules: {await median(own) * 1e3:.2f} ms at the last of them")
        for number in (1, 2, RULES // 2, RULES // 2 + 1, RULES - 2, RULES - 1):
            host = f"{number}.example.com" if number % 2 else f"a.b.{number}.example.com"
            assert (await own.get("/x/", host=host)).status_code == status_of(number)
            if number % 2:
                assert (await own.get("/y/", host=host)).status_code == 299


async def median(own: NamedTunnel) -> float:
    """Seconds of a request that meets the last rule."""
    clock, taken = asyncio.get_running_loop(), []
    for _ in range(ASKED):
        begun = clock.time()
        assert (await own.get(host="none.example.com")).status_code == 299
        taken.append(clock.time() - begun)
    return statistics.median(taken)
