"""The edge that others wrote (tests/foreign_edge: Go on quic-go), with visitors in a process of its own kind.

What `benchmarks.edge` answers is answered here too, by visitors that come through the front over HTTP: `foreign-edge
load` where there are many requests, sockets of this process where connections are only held.
"""

import asyncio
import contextlib
import functools
import json
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from tests.kit import foreign_edge

PATIENCE: Final = 60.0
"""Seconds that any step may take."""

HELD_AT_ONCE: Final = 100
"""Connections that are opened at once, so that no queue of the listening sockets is too short."""


ENDLESS: Final = 1 << 40
"""Bytes of a download that is broken off."""


class Failed(Exception):
    """The client did not do what the load asked of it."""


@functools.cache
def program() -> Path:
    """The foreign edge, built once for the run."""
    return foreign_edge.build(Path(tempfile.gettempdir()))


async def load(url: str, **options: float) -> dict[str, Any]:
    """Run `foreign-edge load`; its result, in which nothing failed."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    process = await asyncio.create_subprocess_exec(
        program(), "load", "--url", url, *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        raise Failed(f"{url} was not through after {PATIENCE:g} s") from None
    finally:
        await _ended(process)
    told = dict(json.loads(output))
    if told["failures"]:
        raise Failed(f"{told['failures']} requests failed, the first: {told['failure']}")
    return told


@contextlib.asynccontextmanager
async def running(*arguments: str, through: Sequence[str] = ()) -> AsyncIterator[dict[str, Any]]:
    """The program as an edge or an origin, by a command that runs commands; what it says about itself."""
    process = await asyncio.create_subprocess_exec(*through, program(), *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        yield dict(json.loads(line))
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has, by Ctrl-C as we
        process.terminate()
    await process.wait()


def port_of(origin: dict[str, Any]) -> int:
    """Where it serves, by what it says about itself."""
    return int(origin["http"].rpartition(":")[2])


class ForeignEdge:
    """One edge, and what visitors can do there."""

    def __init__(self, endpoints: dict[str, Any]) -> None:
        self.endpoints = endpoints
        self._process = psutil.Process(endpoints["pid"])
        self._admin = httpx.AsyncClient(base_url=endpoints["admin"])
        self._held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Do one of the methods below; the edge's share of a core comes with its answer."""
        cpu, wall = self._cpu(), time.perf_counter()
        answer: dict[str, Any] = await getattr(self, what)(**details)
        return answer | {"edge_share": (self._cpu() - cpu) / max(time.perf_counter() - wall, 1e-9)}

    def _cpu(self) -> float:
        return sum(self._process.cpu_times()[:2])

    async def registered(self, connections: int, after: float) -> dict[str, Any]:
        """Wait for so many registrations; when the last one came, in seconds since `after` (monotonic)."""
        began = time.time() - (time.monotonic() - after)
        stamps: list[float] = []
        while time.monotonic() - after < PATIENCE:
            log = (await self._admin.get("/log")).json()
            stamps = [entry["at"] for entry in log if entry["event"] == "registered"]
            if len(stamps) >= connections:
                return {"at": stamps[connections - 1] - began}
            await asyncio.sleep(0.05)
        raise Failed(f"{len(stamps)} of {connections} connections were registered within {PATIENCE:g} s")

    async def requests(self, at_once: int, seconds: float) -> dict[str, Any]:
        return await load(f"{self.endpoints['http']}/small", at_once=at_once, seconds=seconds)

    async def download(self, streams: int, size: int) -> dict[str, Any]:
        told = await load(f"{self.endpoints['http']}/down/{size}", at_once=streams, count=streams)
        return told | {"count": told["bytes_in"]}

    async def upload(self, streams: int, size: int) -> dict[str, Any]:
        told = await load(f"{self.endpoints['http']}/up", at_once=streams, count=streams, send=size)
        return told | {"count": told["bytes_out"]}

    async def mixed(self, size: int, at_once: int) -> dict[str, Any]:
        """So many small requests at once, in the middle of a download of `size` bytes."""
        before = await self._bytes_out()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.download(1, size))
            while await self._bytes_out() - before < size // 3:
                await asyncio.sleep(0.01)
            return await load(f"{self.endpoints['http']}/small", at_once=at_once, count=at_once)

    async def endless(self, seconds: float) -> dict[str, Any]:
        """As much of a download without end as comes in so many seconds."""
        (connection,) = await self._open(1, f"GET /down/{ENDLESS} HTTP/1.1\r\nHost: x\r\n\r\n")
        reader, writer = connection
        received = 0
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while data := await reader.read(65536):
                        received += len(data)
                    raise Failed(f"a download without end ended after {received} bytes")
        finally:
            writer.transport.abort()
        return {"count": received}

    async def _bytes_out(self) -> int:
        return int((await self._admin.get("/totals")).json()["bytes_out"])

    async def hold(self, count: int, sockets: bool) -> dict[str, Any]:
        """Open so many exchanges that stay open: WebSockets, or responses that do not end."""
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
        if not sockets:
            self._held += await self._open(count, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        else:
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            self._held += await self._open(count, f"GET /socket HTTP/1.1\r\nHost: x\r\n{upgrade}{key}\r\n")
        return {}

    async def _open(self, count: int, request: str) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        host, _, port = self.endpoints["http"].removeprefix("http://").rpartition(":")
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for begin in range(0, count, HELD_AT_ONCE):
            more = range(begin, min(begin + HELD_AT_ONCE, count))
            made = await asyncio.gather(*(asyncio.open_connection(host, int(port), limit=4096) for _ in more))
            for _, writer in made:
                writer.write(request.encode())
            heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in made))
            opened += made
            if bad := [head for head in heads if head[9:12] not in (b"200", b"101")]:
                raise Failed(f"{len(bad)} of {count} were not taken: {bad[0][:60]!r}")
        return opened

    async def echo(self, rounds: int) -> dict[str, Any]:
        """One short message there and back, on one socket after the other."""
        times = []
        for number in range(rounds):
            reader, writer = self._held[number % len(self._held)]
            began = time.perf_counter()
            writer.write(b"0123456789")
            await reader.readexactly(10)
            times.append(time.perf_counter() - began)
        return {"count": rounds, "p50": statistics.median(times)}

    async def release(self) -> dict[str, Any]:
        for _, writer in self._held:
            writer.transport.abort()
        self._held.clear()
        return {}

    async def close(self) -> None:
        await self.release()
        await self._admin.aclose()


@contextlib.asynccontextmanager
async def edge(api_delay: float, host: str) -> AsyncIterator[ForeignEdge]:
    """An edge whose API thinks for so many seconds. `host`: where clients reach both."""
    places = ("--api", f"{host}:0", "--quic", f"{host}:0")
    async with running("--api-delay", f"{api_delay}s", *places) as endpoints:
        made = ForeignEdge(endpoints)
        try:
            yield made
        finally:
            await made.close()
