"""The clients that are compared, each with an edge of its own, and what their processes cost."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import psutil

from benchmarks import foreign, namespaces
from benchmarks.foreign import ForeignEdge
from benchmarks.link import FAR

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[1]

PATIENCE: Final = 60.0
"""Seconds that any step may take."""

FAST: Final = (
    "{python} -P -m actors.supervisor --port {port} --service-url {api} --edge {edge} --edge-ca {ca} "
    "--state-dir {folder} --connections {connections} --max-streams 4000 --log-level error"
)


PLAIN: Final = f"env PYTHONPATH={ROOT}/tests/data/without_fast:{ROOT} {FAST}"
"""As it is where the extra [fast] was not installed: without uvloop."""


class Client(NamedTuple):
    """A client, and the command line that starts it."""

    name: str
    template: str
    """With {python}, {origin}, {port}, {api}, {edge}, {ca}, {folder} (empty, its own) and {connections}."""

    def run_by(self, python: str) -> "Client":
        """The same, with another Python."""
        return self._replace(template=self.template.replace("{python}", shlex.quote(python)))


AIOQUIC: Final = Client("aioquic", f"{PLAIN} --no-spare --protocol quic --quic-engine aioquic")
AIOQUIC_CUBIC: Final = Client(
    "CUBIC", f"{PLAIN} --no-spare --protocol quic --quic-engine aioquic --congestion-control cubic"
)
PICOQUIC: Final = Client("picoquic", f"{FAST} --no-spare --protocol quic --quic-engine picoquic")
INSPECTED_PICOQUIC: Final = Client("picoquic, inspected", f"{PICOQUIC.template} --inspect")
HTTP2: Final = Client("HTTP/2", f"{FAST} --no-spare --protocol http2")
SPARE: Final = Client("aioquic, with a spare", f"{PLAIN} --quic-engine aioquic")
SPARE_PICOQUIC: Final = Client("picoquic, with a spare", f"{FAST} --quic-engine picoquic")


class Child:
    """A process that prints lines, and ends when its stdin is closed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return sum(psutil.Process(self._process.pid).cpu_times()[:2])

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended early; what it said is above")
        return line.decode().rstrip("\n")


@contextlib.asynccontextmanager
async def child(module: str, *arguments: object) -> AsyncIterator[Child]:
    """A module of the benchmarks as a process; it ends when its stdin is closed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=_environment(),
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await _ended(process)


class Line(NamedTuple):
    """A link that is up: edges are in the network that we are in, clients in another one."""

    network: str
    """That one: /proc/PID/ns/net."""
    origin: int
    """The port there, of an origin like the one that was started for other tables."""
    process: Child

    def near(self, words: Sequence[str] = ()) -> list[str]:
        """A command line that runs where clients are."""
        return ["nsenter", f"--net={self.network}", "--", *words]

    async def watched(self, what: Awaitable[T]) -> tuple[T, float]:
        """What comes out of it, and the share of a core that the link took meanwhile."""
        cpu, wall = self.process.cpu(), time.perf_counter()
        came = await what
        return came, (self.process.cpu() - cpu) / (time.perf_counter() - wall)


@contextlib.asynccontextmanager
async def line(*arguments: object) -> AsyncIterator[Line]:
    """Such a link (the arguments of `benchmarks.link`). In the block we are at the edges' end, in a network of our own.

    Raises:
        OSError: networks cannot be made (`namespaces.missing`).
    """
    with namespaces.away():
        namespaces.unshare()
        async with child("benchmarks.link", *arguments) as process:
            network = await process.line()
            through = Line(network, 0, process).near()
            async with foreign.running("origin", through=through) as origin:
                yield Line(network, foreign.port_of(origin), process)


class Running:
    """A client that is registered."""

    def __init__(self, client: Client, edge: ForeignEdge, process: psutil.Process, seconds: float) -> None:
        self.client = client
        self.edge = edge
        self.seconds_to_register = seconds
        self._process = process

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        return [self._process, *self._process.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def memory(self) -> int:
        """Bytes, pages that are shared counted in parts (PSS)."""
        return sum(_pss(process.pid) for process in self.processes())


@contextlib.asynccontextmanager
async def running(
    client: Client,
    port: int,
    *,
    connections: int = 1,
    api_delay: float = 0.0,
    over: Line | None = None,
) -> AsyncIterator[Running]:
    """Start an edge, and `client` for the origin on `port`. `over`: the link between both; the origin is at its end."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-client-"))
        edge = await stack.enter_async_context(foreign.edge(api_delay, "127.0.0.1" if over is None else FAR))
        endpoints = edge.endpoints
        command = client.template.format(
            python=shlex.quote(sys.executable),
            origin=f"http://127.0.0.1:{port}",
            port=port,
            api=endpoints["api"],
            edge=endpoints["edge"],
            ca=shlex.quote(endpoints["ca"]),
            folder=shlex.quote(folder),
            connections=connections,
        )
        words = shlex.split(command)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(words if over is None else over.near(words)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env=_environment() | {"NEXO_HOME": folder},
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                ends = tasks.create_task(_ends_early(process, client))
                answer = await edge.ask("registered", connections=connections, after=began)
                ends.cancel()
            yield Running(client, edge, psutil.Process(process.pid), answer["at"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await _ended(process)


async def _ends_early(process: asyncio.subprocess.Process, client: Client) -> None:
    status = await process.wait()
    raise RuntimeError(f"{client.name} ended before it was registered, with {status}: {client.template}")


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
