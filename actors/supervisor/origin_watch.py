"""Whether anything listens where requests are to go: "tunnel up, nothing listens on 8080" is to be no mystery."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from actors.bus import events
from actors.bus.routes import Origin
from actors.processes.log import Logger

PROBE_TIMEOUT: Final = 1.0
"""Seconds for a connection to the origin, which is on this machine or next to it."""

PROBE_INTERVAL: Final = 2.0
"""Seconds between two looks at an origin that does not answer."""

KEPT_GENERATIONS: Final = 4
"""Workers of a slot whose failures are remembered: a few can live at once."""

START_PATIENCE: Final = 5.0
"""Seconds from the start in which an origin that is not there yet is no news to a person: programs that start a tunnel
and then their server need one or two, those that load a model first some more. A visitor's failed request is news."""


class OriginWatch:
    """Looks once at the start, and then when requests fail, until something answers again.

    Programs are told at once what is; people (by the log) as soon as it is worth a word, and that it is over.
    """

    def __init__(self, origin: Origin, announce: Callable[[events.Event], None], log: Logger) -> None:
        self._origin = origin
        self._announce = announce
        self._log = log
        self._warned = False
        self._patience: asyncio.TimerHandle | None = None
        """Runs from the start until a warning is due."""
        self._doubt = asyncio.Event()
        self._doubt.set()
        self._failures: dict[tuple[int, int], int] = {}
        self.reachable = True

    def failures(self, slot: int, generation: int, count: int) -> None:
        """A worker could not reach the origin so many times by now."""
        if count > self._failures.get((slot, generation), 0):
            old = generation - KEPT_GENERATIONS
            self._failures = {key: value for key, value in self._failures.items() if key[0] != slot or key[1] > old}
            self._failures[slot, generation] = count
            self._doubt.set()
            self._patience_is_over()

    async def run(self) -> None:
        """Look when there is doubt, for as long as the tunnel lives."""
        self._patience = asyncio.get_running_loop().call_later(START_PATIENCE, self._patience_is_over)
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            while not await self._answers():
                self._is_unreachable()
                await asyncio.sleep(PROBE_INTERVAL)
            self._is_reachable()

    @property
    def _message(self) -> str:
        return f"nothing answers on {self._origin}; requests get 502 until something does"

    def _is_unreachable(self) -> None:
        if self.reachable:
            self.reachable = False
            self._announce(events.OriginUnreachable(origin=str(self._origin), message=self._message))
            self._warn()

    def _is_reachable(self) -> None:
        if not self.reachable:
            self.reachable = True
            self._announce(events.OriginReachable(origin=str(self._origin)))
            # A warning is taken back as loud as it was given.
            (self._log.warning if self._warned else self._log.info)(f"something answers on {self._origin} now")
            self._warned = False

    def _patience_is_over(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self._warn()

    def _warn(self) -> None:
        if not self.reachable and self._patience is None and not self._warned:
            self._warned = True
            self._log.warning(self._message)

    async def _answers(self) -> bool:
        origin = self._origin
        if origin.scheme == "unix":
            return await _connects(asyncio.open_unix_connection(origin.path))
        for host in origin.hosts:
            if await _connects(asyncio.open_connection(host, origin.port)):
                return True
        return False


async def _connects(opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            _, writer = await opening
    except (OSError, UnicodeError):
        return False
    writer.close()
    return True
