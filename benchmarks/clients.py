"""The clients that are compared, each with an edge of its own, and what their processes cost."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks import foreign
from benchmarks.foreign import Failed, ForeignEdge

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


AIOQUIC: Final = Client("aioquic", f"{PLAIN} --no-spare --quic-engine aioquic")
AIOQUIC_CUBIC: Final = Client("CUBIC", f"{PLAIN} --no-spare --quic-engine aioquic --congestion-control cubic")
PICOQUIC: Final = Client("picoquic", f"{FAST} --no-spare --quic-engine picoquic")
HTTP2: Final = Client("HTTP/2", f"{FAST} --no-spare --protocol http2")
SPARE: Final = Client("aioquic, with a spare", f"{PLAIN} --quic-engine aioquic")
SPARE_PICOQUIC: Final = Client("picoquic, with a spare", f"{FAST} --quic-engine picoquic")


class Child:
    """A process that answers a line with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended early; what it said is above")
        return line.decode().rstrip("\n")

    async def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Ask for something; a failure is raised."""
        answer = dict(json.loads(await self.tell(json.dumps({"do": what, **details}))))
        if "failed" in answer:
            raise Failed(f"{what}: {answer['failed']}")
        return answer

    async def tell(self, line: str) -> str:
        """Print a line to it; the line that it answers with."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return await self.line()

    async def finish(self) -> str:
        """Close its stdin; what it prints last."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.line()


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
    way: Callable[[str], Awaitable[str]] | None = None,
) -> AsyncIterator[Running]:
    """Start an edge, and `client` for the origin on `port`. `way`: from the edge's address to the one to be dialled."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-client-"))
        edge = await stack.enter_async_context(foreign.edge(api_delay))
        endpoints = edge.endpoints
        address = endpoints["edge"]
        if way is not None:
            address = await way(address)
        command = client.template.format(
            python=shlex.quote(sys.executable),
            origin=f"http://127.0.0.1:{port}",
            port=port,
            api=endpoints["api"],
            edge=address,
            ca=shlex.quote(endpoints["ca"]),
            folder=shlex.quote(folder),
            connections=connections,
        )
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env=_environment() | {"NEXO_HOME": folder},
        )
        try:
            answer = await edge.ask("registered", connections=connections, after=began)
            yield Running(client, edge, psutil.Process(process.pid), answer["at"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await _ended(process)


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
