"""Real processes, ended by the test that started them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.kit.foreign_edge import edge_command

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds that any wait in a test may take: generous, since nothing is asserted about time."""


class Process:
    """A process whose output is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.stdout)),  # noqa: TID251 - awaited in `wait`
            asyncio.create_task(self._read(process.stderr, self.stderr)),  # noqa: TID251
        ]

    async def _read(self, stream: asyncio.StreamReader | None, lines: list[str]) -> None:
        if stream is None:
            return
        async for line in stream:
            lines.append(line.decode(errors="replace").rstrip("\n"))
            self._changed.set()
        self._changed.set()

    async def until(self, what: Callable[[], Any]) -> Any:
        """Wait until `what` is true of the output so far; return its value."""
        async with asyncio.timeout(PATIENCE):
            while not (value := what()):
                if all(reader.done() for reader in self._readers):
                    raise AssertionError(f"the process ended; its stderr: {os.linesep.join(self.stderr[-20:])}")
                self._changed.clear()
                await self._changed.wait()
            return value

    async def first_line(self) -> str:
        """The first line on stdout."""
        await self.until(lambda: self.stdout)
        return self.stdout[0]

    async def logged(self, text: str) -> dict[str, Any]:
        """Wait for a JSON log line that contains `text`."""
        line = await self.until(lambda: next((line for line in self.stderr if text in line), None))
        return dict(json.loads(line))

    async def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event on stdout (`--json`)."""

        def found() -> dict[str, Any] | None:
            for event in self.events():
                if event["type"] == kind and all(event[name] == value for name, value in fields.items()):
                    return event
            return None

        return dict(await self.until(found))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self) -> int:
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
            await asyncio.gather(*self._readers)
        return status

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.send(number)
        return await self.wait()

    def descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def actors(self, actor: str) -> list[psutil.Process]:
        """The children of that kind, by the name that they give themselves: `worker-0.1`, `metrics-0.2`, …"""
        found = []
        for child in self.descendants():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name().startswith(f"{actor}-"):
                    found.append(child)
        return found


@contextlib.asynccontextmanager
async def running(
    command: Iterable[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Process]:
    """Run a command for the length of the block."""
    process = Process(
        await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            limit=2**20,
        )
    )
    try:
        yield process
    finally:
        if process.process.returncode is None:
            children = process.descendants()
            try:
                await process.stop()
            except TimeoutError:
                for left in [psutil.Process(process.process.pid), *children]:
                    left.kill()
                raise
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.wait(PATIENCE)
        else:
            await process.wait()


def python(module: str, *arguments: str | int | Path) -> list[str]:
    """A command line that runs a module of ours."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


@contextlib.asynccontextmanager
async def supervisor(
    *arguments: str | int | Path, state: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """A supervisor with a state folder of its own."""
    command = python("actors.supervisor", "--state-dir", state, *arguments)
    async with running(command, env={"NEXO_HOME": str(state / "unused"), **(env or {})}) as process:
        yield process


@contextlib.asynccontextmanager
async def local_edge(*arguments: str) -> AsyncIterator[dict[str, str]]:
    """A local edge of its own, or what `--edge` put in its place; yields its endpoints."""
    async with running(edge_command(*arguments)) as process:
        yield json.loads(await process.first_line())
