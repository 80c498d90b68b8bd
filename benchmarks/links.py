"""Throughput of one large response over links as users have them, by congestion controller.

.venv/bin/python benchmarks/links.py [rounds]

The link is a UDP relay on loopback (tests/kit/udp_proxy.py): rate, delay, a drop-tail queue of 50 ms, random loss. The
rounds of all controllers are run in turn. Relay and visitor share a process; its share of a core stands beside.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kit.origins import uvicorn_origin
from tests.kit.tunnel import tunnel
from tests.kit.udp_proxy import UdpProxy, chain, delay, loss, rate_limit

SIZE: Final = 10_000_000
QUEUE_SECONDS: Final = 0.05
DATAGRAM: Final = 1232
CONTROLLERS: Final = ("bbr", "cubic", "reno")


class Link(NamedTuple):
    """A way to the edge."""

    megabits: float
    round_trip_ms: float
    loss_percent: float

    def __str__(self) -> str:
        return f"{self.megabits:g} Mbit/s, {self.round_trip_ms:g} ms, {self.loss_percent:g} %"

    @property
    def bytes_a_second(self) -> float:
        return self.megabits * 1e6 / 8


LINKS: Final = (
    *(Link(20, 40, share) for share in (0, 0.1, 1, 3)),
    *(Link(100, 10, share) for share in (0, 0.1, 0.5)),
    Link(10, 75, 2),
)


async def measure(link: Link, controller: str, port: int, seed: int) -> float:
    """Bytes a second of one response."""
    rules = [rate_limit(link.megabits * 1e6, max(int(link.bytes_a_second * QUEUE_SECONDS / DATAGRAM), 8))]
    rules += [delay(link.round_trip_ms / 2000), loss(link.loss_percent / 100, seed)]
    with tempfile.TemporaryDirectory() as folder:
        options = ("--congestion-control", controller, "--no-spare")
        async with tunnel(port, Path(folder) / "state", *options, link=UdpProxy(chain(*rules))) as made:
            await made.visitor.get("/down/1000")
            begun = time.perf_counter()
            received = 0
            async with made.visitor.stream("GET", f"/down/{SIZE}", timeout=None) as response:
                async for part in response.aiter_raw():
                    received += len(part)
            assert received == SIZE
            return SIZE / (time.perf_counter() - begun)


async def main(rounds: int) -> None:
    results: dict[tuple[Link, str], list[float]] = defaultdict(list)
    busy: dict[Link, list[float]] = defaultdict(list)
    async with uvicorn_origin() as port:
        for number in range(rounds):
            for link in LINKS:
                for controller in CONTROLLERS:
                    cpu, wall = time.process_time(), time.perf_counter()
                    results[link, controller].append(await measure(link, controller, port, number))
                    busy[link].append((time.process_time() - cpu) / (time.perf_counter() - wall))
    print(f"| link | {' | '.join(CONTROLLERS)} | share of the line, bbr | bbr : cubic | relay, share of a core |")
    print("|---" * (len(CONTROLLERS) + 4) + "|")
    for link in LINKS:
        medians = [statistics.median(results[link, controller]) for controller in CONTROLLERS]
        cells = [f"{median / 1e6:.2f}" for median in medians]
        share, ratio = medians[0] / link.bytes_a_second, medians[0] / medians[1]
        print(f"| {link} | {' | '.join(cells)} | {share:.2f} | {ratio:.1f} | {statistics.median(busy[link]):.2f} |")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
