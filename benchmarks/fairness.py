"""Whether two tunnels share a line: one large response each, at the same time, through one queue."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from benchmarks import clients
from benchmarks.clients import running
from benchmarks.tables import Link, Row, lined

LINE: Final = Link(20, 40, 0)

QUEUES: Final = (0.05, 0.16)
"""Seconds that the queue holds: a home router's, a little more than the line itself (40 ms), and four times that. Who
fills a queue is ahead with a long one, who looks at rate and delay with a short one."""

SECONDS: Final = 60.0

PAIRS: Final = (
    (clients.PICOQUIC, clients.AIOQUIC_CUBIC),
    (clients.PICOQUIC, clients.PICOQUIC),
    (clients.AIOQUIC, clients.AIOQUIC_CUBIC),
    (clients.AIOQUIC, clients.AIOQUIC),
)
"""Ours beside a controller as most have it, and beside itself."""


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 if all have the same, 1/n if one has all; 1 too if nobody has anything."""
    squares = len(shares) * sum(share * share for share in shares)
    return sum(shares) ** 2 / squares if squares else 1.0


def rows(names: Sequence[str], queue: float, shares: Sequence[float], busy: float) -> Iterator[Row]:
    """What is told of a pair; `shares` of the line."""
    first, second = names
    what = f"{first} beside {second}, queue of {queue * 1e3:g} ms"
    for number, share in enumerate(shares):
        which = names[number] if first != second else ("the one", "the other")[number]
        yield Row("fairness", f"{what}: {which}", "share", share * 100, "% of the line", busy)
    yield Row("fairness", f"{what}: Jain's index", "share", jain(shares), "", busy)


async def fairness(python: str, seed: int) -> AsyncIterator[Row]:
    """All pairs, with both queues."""
    for queue in QUEUES:
        for pair in PAIRS:
            first, second = (client.run_by(python) for client in pair)
            async with (
                lined(LINE, seed, queue) as line,
                running(first, line.origin, over=line) as one,
                running(second, line.origin, over=line) as other,
            ):
                both = asyncio.gather(*(each.edge.ask("endless", seconds=SECONDS) for each in (one, other)))
                answers, busy = await line.watched(both)
            shares = [answer["count"] * 8 / SECONDS / (LINE.megabits * 1e6) for answer in answers]
            for row in rows((first.name, second.name), queue, shares, busy):
                yield row
