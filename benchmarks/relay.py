"""A link between a client and its edge, a process of its own: `benchmarks.relay EDGE MBITS RTT LOSS up|both SEED`.

Megabits a second, seconds, a share, which way it is lost (up: towards the edge), a number. It prints its address, runs
until its stdin is closed, and then prints which share of a core it took.
"""

import asyncio
import sys
import time
from typing import Final, Literal

from actors.processes import event_loop
from tests.kit.udp_proxy import Direction, Rule, UdpProxy, address_of, chain, delay, joined, loss, passes, rate_limit

QUEUE_SECONDS: Final = 0.05
"""What the queue before the link holds: a home router's. It drops what comes when it is full."""

DATAGRAM: Final = 1452


Loses = Literal["up", "both"]


def _lossy(share: float, loses: str, seed: int) -> Rule:
    rule = loss(share, seed)
    return rule if loses == "both" else lambda way, *rest: (rule if way is Direction.UP else passes)(way, *rest)


async def main(edge: str, megabits: float, round_trip: float, share: float, loses: str, seed: int) -> None:
    queue = max(int(megabits * 1e6 / 8 * QUEUE_SECONDS / DATAGRAM), 8)
    rules = chain(rate_limit(megabits * 1e6, queue), delay(round_trip / 2), _lossy(share, loses, seed))
    async with UdpProxy(rules, address_of(edge)) as link:
        print(joined(link.address), flush=True)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print((time.process_time() - cpu) / (time.perf_counter() - wall), flush=True)


if __name__ == "__main__":
    _edge, _megabits, _round_trip, _share, _loses, _seed = sys.argv[1:]
    event_loop.run(main(_edge, float(_megabits), float(_round_trip), float(_share), _loses, int(_seed)))
