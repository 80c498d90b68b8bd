"""The supervisor process of a program: how it is started, what it writes, its end.

Not by asyncio's own subprocesses: if their start is cancelled before the pipes are connected, as at the end of an event
loop, they wait for an end that they never see. Here nothing is awaited between the start and a process that is held.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from actors.supervisor.flags import ENVIRONMENT_PREFIX
from actors.supervisor.sources import GO_VARIABLES

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line of its events or its log: far more than any has."""

POLL_INTERVAL: Final = 0.02
"""Seconds between looks at whether it has ended. Its end is looked at only once it has closed its output."""


class _Output(asyncio.StreamReaderProtocol):
    """Holds its reader, as asyncio's own does not: what waits for it must not be gone before the event loop is.

    At the end of a program whose tunnel is in a thread, Python drops one thing after the other.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.reader = reader


class SupervisorProcess:
    """A supervisor that runs, with its output as streams once `connect` has returned."""

    def __init__(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        log: int | None = subprocess.PIPE,
        keep: Sequence[int] = (),
    ) -> None:
        """Start it with these flags. `log`: where its stderr goes. `keep`: descriptors that it inherits.

        Raises:
            OSError: there is no process to be had.
        """
        self._process = subprocess.Popen(
            command(*arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            pass_fds=keep,
            env=_environment(),
        )
        self.pid = self._process.pid
        self._transports: list[asyncio.ReadTransport] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamReader | None]:
        """Its stdout; and its stderr, if that is a pipe."""
        assert self._process.stdout is not None
        stderr = self._process.stderr
        return await self._reader(self._process.stdout), None if stderr is None else await self._reader(stderr)

    async def _reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=MAX_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: _Output(reader), pipe)
        self._transports.append(transport)
        return reader

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    async def wait(self) -> int:
        """Wait for its end; return the exit status."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 - no event loop of every kind tells of it
            await asyncio.sleep(POLL_INTERVAL)
        self.close()
        return status

    def reap(self) -> int:
        """Kill it, and return its exit status: for when nothing can be awaited any more."""
        self.kill()
        status = self._process.wait()
        self.close()
        return status

    def close(self) -> None:
        """Read no more of it."""
        for transport in self._transports:
            transport.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def command(*arguments: str) -> list[str]:
    """What starts a supervisor that a program listens to."""
    return [sys.executable, "-P", "-m", "actors.supervisor", "--json", *arguments]


def _environment() -> dict[str, str]:
    """Without the command line's variables, and with the way by which this program found `actors`."""
    others = {name: value for name, value in os.environ.items() if name not in GO_VARIABLES}
    kept = {name: value for name, value in others.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    places = [str(Path(__file__).parents[2]), kept.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
