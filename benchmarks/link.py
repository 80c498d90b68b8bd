"""A line between two networks, a process of its own: `benchmarks.link MBITS RTT LOSS up|both SEED QUEUE`.

Megabits a second, seconds, a share, which way it is lost (up: towards the edge), a number, seconds. The edges' end is
in the network that it is started in, the clients' in a new one: a TUN device in each, and between them whatever
protocol there is, packet by packet, by the rules that bad links in tests have for datagrams. When the line is up it
prints where the clients' network is. It runs until its stdin is closed. The network and both devices go with it.
"""

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import sys
from collections import deque
from typing import Final, Literal

from benchmarks import namespaces
from tests.kit.udp_proxy import Direction, Rule, chain, delay, loss, passes, rate_limit

NEAR: Final = "10.198.0.1"
FAR: Final = "10.198.0.2"
"""The clients' end and the edges': private addresses, of which there is nothing else in those networks."""

MTU: Final = 1500
"""Bytes of the largest packet, as on most lines. The kernel cuts what is larger before it comes to the device."""

QUEUE_SECONDS: Final = 0.05
"""What the queue before the line holds, unless a table says otherwise: a home router's. It drops what comes when it is
full."""

LEAST_QUEUE: Final = 8
"""Packets that it holds even if the line is slow."""

DEVICE_QUEUE: Final = 10_000
"""Packets that wait for this process in each device: what is lost is to be lost by a rule, not by our being late."""

MAX_BATCH: Final = 64
"""Packets that are read in a row before the other direction gets its turn."""

PRIORITY: Final = -15
"""As `nice` says it. A line does not wait for a processor, of which clients and edges want all there is."""

Loses = Literal["up", "both"]

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_NAME: Final = "line"
_IPV4: Final = 4


class Way:
    """One direction: what is sent through one device comes out of the other, when and if the rule says so.

    In the order in which it came: no rule here has packets overtake each other, and no timer that is late may.
    """

    def __init__(self, direction: Direction, rule: Rule, source: int, target: int) -> None:
        self._direction, self._rule, self._source, self._target = direction, rule, source, target
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._count = 0
        self._is_timed = False
        self._loop.add_reader(source, self._readable)

    def _readable(self) -> None:
        for _ in range(MAX_BATCH):
            try:
                packet = os.read(self._source, MTU)
            except BlockingIOError:
                break
            if packet[0] >> 4 != _IPV4:
                continue  # IPv6 looks for neighbours on every device: it has none here, and takes no part of the line
            now = self._loop.time()
            for seconds, copy in self._rule(self._direction, self._count, packet):
                self._waiting.append((now + seconds, copy))
            self._count += 1
        self._leave()

    def _timed(self) -> None:
        self._is_timed = False
        self._leave()

    def _leave(self) -> None:
        waiting, now = self._waiting, self._loop.time()
        while waiting and waiting[0][0] <= now:
            os.write(self._target, waiting.popleft()[1])
        if waiting and not self._is_timed:
            self._is_timed = True
            self._loop.call_at(waiting[0][0], self._timed)


def queue_of(megabits: float, seconds: float) -> int:
    """The packets that a queue of so many seconds holds."""
    return max(int(megabits * 1e6 / 8 * seconds / MTU), LEAST_QUEUE)


def _lossy(share: float, loses: str, seed: int) -> Rule:
    rule = loss(share, seed)
    return rule if loses == "both" else lambda way, *rest: (rule if way is Direction.UP else passes)(way, *rest)


def _device(address: str) -> int:
    """A TUN device in the network that we are in, and its loopback; the descriptor that is its cable."""
    made = os.open(namespaces.TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(made, _TUNSETIFF, struct.pack("16sH22x", _NAME.encode(), _IFF_TUN | _IFF_NO_PI))
    for words in (
        f"address add {address}/24 dev {_NAME}",
        f"link set {_NAME} mtu {MTU} txqueuelen {DEVICE_QUEUE} up",
        "link set lo up",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    return made


async def main(megabits: float, round_trip: float, share: float, loses: str, seed: int, queue_seconds: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, and closes our stdin then
    os.nice(PRIORITY)
    far = _device(FAR)
    namespaces.unshare()
    near = _device(NEAR)
    queue = queue_of(megabits, queue_seconds)
    rule = chain(rate_limit(megabits * 1e6, queue), delay(round_trip / 2), _lossy(share, loses, seed))
    Way(Direction.UP, rule, near, far)
    Way(Direction.DOWN, rule, far, near)
    print(f"/proc/{os.getpid()}/ns/net", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    _megabits, _round_trip, _share, _loses, _seed, _queue = sys.argv[1:]
    asyncio.run(main(float(_megabits), float(_round_trip), float(_share), _loses, int(_seed), float(_queue)))
