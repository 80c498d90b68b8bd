"""A program at a terminal, and what a person would see there."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import pyte

from tests.kit.processes import PATIENCE

ROWS = 80
"""Tall, so that nothing scrolls away."""


class Screen:
    """What was written to a terminal, and what it looks like."""

    def __init__(self, columns: int, ours: int) -> None:
        self.raw = b""
        self._ours = ours
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.process: asyncio.subprocess.Process

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def feed(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """Its rows, without the blanks at their ends."""
        return [line.rstrip() for line in self._screen.display]

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until `what` is true of it."""
        async with asyncio.timeout(PATIENCE):
            while not what():
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def at_terminal(
    command: Iterable[str | Path], *, columns: int, env: Mapping[str, str] | None = None
) -> AsyncIterator[Screen]:
    """Run a command in the foreground of a terminal of its own, for the length of the block; INT ends it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    screen = Screen(columns, ours)
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            screen.feed(os.read(ours, 65536))
        except OSError:
            loop.remove_reader(ours)  # the last writer is gone

    screen.process = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", "--wait"),
        *map(str, command),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})},
    )
    os.close(theirs)
    loop.add_reader(ours, readable)
    try:
        yield screen
        if screen.process.returncode is None:
            screen.type(b"\x03")  # Ctrl-C, for the foreground job
        async with asyncio.timeout(PATIENCE):
            await screen.process.wait()
    finally:
        if screen.process.returncode is None:
            screen.process.send_signal(signal.SIGKILL)
            await screen.process.wait()
        loop.remove_reader(ours)
        os.close(ours)
