"""Whether anything listens where requests are to go: "tunnel up, nothing listens on 8080" is to be no mystery."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from actors import events
from actors.messages import Origin

PROBE_TIMEOUT: Final = 1.0
"""Seconds for a connection to the origin, which is on this machine or next to it."""

PROBE_INTERVAL: Final = 2.0
"""Seconds between two looks at an origin that does not answer."""


class OriginWatch:
    """Looks once at the start, and then when requests fail, until something answers again."""

    def __init__(self, origin: Origin, announce: Callable[[events.Event], None]) -> None:
        self._origin = origin
        self._announce = announce
        self._doubt = asyncio.Event()
        self._doubt.set()
        self._failures: dict[tuple[int, int], int] = {}
        self.reachable = True

    def failures(self, slot: int, generation: int, count: int) -> None:
        """A worker could not reach the origin so many times by now."""
        if count > self._failures.get((slot, generation), 0):
            self._failures = {key: value for key, value in self._failures.items() if key[0] != slot}
            self._failures[slot, generation] = count
            self._doubt.set()

    async def run(self) -> None:
        """Look when there is doubt, for as long as the tunnel lives."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            while not await self._answers():
                if self.reachable:
                    self.reachable = False
                    message = f"nothing answers on {self._origin}; requests get 502 until something does"
                    self._announce(events.OriginUnreachable(origin=str(self._origin), message=message))
                await asyncio.sleep(PROBE_INTERVAL)
            if not self.reachable:
                self.reachable = True
                self._announce(events.OriginReachable(origin=str(self._origin)))

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
