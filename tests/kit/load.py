"""A load that goes on while a test does something: small requests on connections that stay open, each one counted."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from tests.kit.origins import read_head

TEARS: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)
"""How a visitor sees that an answer broke off."""

BEHIND: Final = 1.0
"""Seconds of its rate that a load catches up with, after a pause of the machine; more would be a burst."""


@dataclass
class Load:
    """How the requests ended."""

    answers: Counter[str] = field(default_factory=Counter)
    """Those with status 200, by what the origin said."""
    failures: list[str] = field(default_factory=list)
    """What came instead: the edge's page, or how the answer broke off."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def whole(self) -> int:
        return self.answers.total()

    async def more(self, count: int) -> None:
        """Wait until so many more have ended well."""
        wanted = self.whole + count
        while self.whole < wanted:
            self._changed.clear()
            await self._changed.wait()

    def answered(self, status: int, body: str) -> None:
        if status == 200:
            self.answers[body] += 1
        else:
            self.failures.append(f"{status}: {body}")
        self._changed.set()

    def torn(self, error: Exception) -> None:
        self.failures.append(f"broken off: {error!r}")
        self._changed.set()


@contextlib.asynccontextmanager
async def load(front: tuple[str, int], host: str, *, at_once: int = 16, rate: float = 0.0) -> AsyncIterator[Load]:
    """Visitors of `host`, `at_once` of them, until the block is left.

    `rate`: requests a second of all together; 0: as many as they can. A request that has begun is finished before the
    block is left.
    """
    counted, over = Load(), asyncio.Event()

    async def pause(due: float) -> float:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await over.wait()
        return max(due + at_once / rate, asyncio.get_running_loop().time() - BEHIND)

    async def visit(number: int) -> None:
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        due = asyncio.get_running_loop().time() + (number / rate if rate else 0.0)
        while not over.is_set():
            with contextlib.suppress(*TEARS):
                reader, writer = await asyncio.open_connection(*front)
                try:
                    while not over.is_set():
                        if rate:
                            due = await pause(due)
                        writer.write(head)
                        counted.answered(*await read_answer(reader))
                except TEARS as error:
                    counted.torn(error)
                finally:
                    writer.transport.abort()

    async with asyncio.TaskGroup() as tasks:
        for number in range(at_once):
            tasks.create_task(visit(number))
        try:
            yield counted
        finally:
            over.set()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and body."""
    head = (await read_head(reader)).decode("latin-1")
    status, fields = int(head.split(" ", 2)[1]), head.lower().split("\r\n")
    (length,) = [int(line.partition(":")[2]) for line in fields if line.startswith("content-length:")]
    return status, (await reader.readexactly(length)).decode()
