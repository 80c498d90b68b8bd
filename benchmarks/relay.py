"""A link between clients and their edges, a process of its own: `benchmarks.relay MBITS RTT LOSS up|both SEED QUEUE`.

Megabits a second, seconds, a share, which way it is lost (up: towards the edge), a number, seconds. For each line of
its stdin, an edge, it prints the address that leads there: all share the one line and its queue. It runs until its
stdin is closed, and then prints which share of a core it took.
"""

import asyncio
import contextlib
import sys
import time
from typing import Final, Literal

from actors.processes import event_loop
from tests.kit.udp_proxy import Direction, Rule, UdpProxy, address_of, chain, delay, joined, loss, passes, rate_limit

QUEUE_SECONDS: Final = 0.05
"""What the queue before the link holds, unless a table says otherwise: a home router's. It drops what comes when it is
full."""

DATAGRAM: Final = 1452


Loses = Literal["up", "both"]


def _lossy(share: float, loses: str, seed: int) -> Rule:
    rule = loss(share, seed)
    return rule if loses == "both" else lambda way, *rest: (rule if way is Direction.UP else passes)(way, *rest)


async def main(megabits: float, round_trip: float, share: float, loses: str, seed: int, queue_seconds: float) -> None:
    queue = max(int(megabits * 1e6 / 8 * queue_seconds / DATAGRAM), 8)
    rules = chain(rate_limit(megabits * 1e6, queue), delay(round_trip / 2), _lossy(share, loses, seed))
    cpu, wall = time.process_time(), time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        while edge := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            link = await stack.enter_async_context(UdpProxy(rules, address_of(edge.rstrip())))
            print(joined(link.address), flush=True)
        print((time.process_time() - cpu) / (time.perf_counter() - wall), flush=True)


if __name__ == "__main__":
    _megabits, _round_trip, _share, _loses, _seed, _queue = sys.argv[1:]
    event_loop.run(main(float(_megabits), float(_round_trip), float(_share), _loses, int(_seed), float(_queue)))
