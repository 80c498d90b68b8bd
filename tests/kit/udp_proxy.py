"""A bad link: a UDP proxy on loopback that decides what becomes of each datagram. It needs no root.

It runs in the test's own event loop, so that a test can break the link at an exact byte instead of at some time. What
chance decides depends on the seed, the direction and the number of the datagram alone.
"""

import asyncio
import contextlib
import enum
import random
import socket
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from tests.kit.processes import PATIENCE

Address = tuple[str, int]
Fates = Sequence[tuple[float, bytes]]
"""What becomes of a datagram: copies that arrive, each after so many seconds. None: it is lost."""

ANY_PORT: Final[Address] = ("127.0.0.1", 0)

NOBODY: Final[Address] = ("127.0.0.1", 9)
"""The discard port, where nobody sends from."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes of the kernel's buffers: what is lost is to be lost by a rule, not by the proxy's own slowness."""

MAX_BATCH: Final = 64
"""Datagrams a wake-up may read before the other direction gets its turn."""

IP_AND_UDP_HEADERS: Final = 20 + 8
"""Bytes of both headers with IPv4, which the links of tests are: picoquic's first datagrams are as large as that."""

REORDER_DELAY: Final = 0.02
"""Seconds by which a datagram comes late that others are to overtake."""

MAX_BURST: Final = 3
"""Datagrams in a row that burst loss takes at most."""

_MEAN_BURST: Final = (1 + MAX_BURST) / 2


class Direction(enum.Enum):
    """Which way a datagram goes."""

    UP = "up"
    """Client → upstream."""
    DOWN = "down"
    """Upstream → client."""


Rule = Callable[[Direction, int, bytes], Fates]
"""Called with the direction, the number of the datagram in that direction (from 0), and its bytes."""


# --- rules ---


def passes(direction: Direction, index: int, data: bytes) -> Fates:
    """A good link."""
    return [(0.0, data)]


def chain(*rules: Rule) -> Rule:
    """One link after the other: what leaves the first enters the second; delays add up.

    A rule sees each datagram when it enters the first: one that looks at the time (`rate_limit`) belongs at the front.
    """

    def rule(direction: Direction, index: int, data: bytes) -> Fates:
        fates: Fates = [(0.0, data)]
        for link in rules:
            fates = [(before + after, out) for before, copy in fates for after, out in link(direction, index, copy)]
        return fates

    return rule


class _Dice:
    """Chance for each direction on its own: what passes one way does not change what happens the other way."""

    def __init__(self, seed: int) -> None:
        self._of = {direction: random.Random(f"{seed} {direction.value}") for direction in Direction}

    def __getitem__(self, direction: Direction) -> random.Random:
        return self._of[direction]

    def falls(self, direction: Direction, share: float) -> bool:
        return self._of[direction].random() < share


def delay(seconds: float) -> Rule:
    """Each datagram takes so long: half of a round trip."""
    return lambda direction, index, data: [(seconds, data)]


def jitter(seconds: float, seed: int = 0) -> Rule:
    """Each takes up to so long, and so some overtake others."""
    dice = _Dice(seed)
    return lambda direction, index, data: [(dice[direction].uniform(0.0, seconds), data)]


def loss(share: float, seed: int = 0) -> Rule:
    """Some are lost, each on its own."""
    dice = _Dice(seed)
    return lambda direction, index, data: [] if dice.falls(direction, share) else [(0.0, data)]


def burst_loss(share: float, seed: int = 0) -> Rule:
    """Some are lost, one to three in a row, and then at least one passes."""
    dice = _Dice(seed)
    begins = share / (_MEAN_BURST * (1.0 - share))
    """How likely a burst begins with a datagram, so that `share` of all are lost: at least one passes between two."""
    left = dict.fromkeys(Direction, 0)
    spared = dict.fromkeys(Direction, False)

    def rule(direction: Direction, index: int, data: bytes) -> Fates:
        if not left[direction] and not spared[direction] and dice.falls(direction, begins):
            left[direction] = dice[direction].randint(1, MAX_BURST)
        if not left[direction]:
            spared[direction] = False
            return [(0.0, data)]
        left[direction] -= 1
        spared[direction] = not left[direction]
        return []

    return rule


def duplication(share: float, seed: int = 0) -> Rule:
    """Some come twice."""
    dice = _Dice(seed)
    return lambda direction, index, data: [(0.0, data)] * (2 if dice.falls(direction, share) else 1)


def reorder(share: float, seed: int = 0, seconds: float = REORDER_DELAY) -> Rule:
    """Some come late, and others overtake them."""
    dice = _Dice(seed)
    return lambda direction, index, data: [(seconds if dice.falls(direction, share) else 0.0, data)]


def corruption(share: float, seed: int = 0) -> Rule:
    """One bit of some is flipped, past what UDP's own checksum would catch: here it is right again."""
    dice = _Dice(seed)

    def rule(direction: Direction, index: int, data: bytes) -> Fates:
        if not data or not dice.falls(direction, share):
            return [(0.0, data)]
        place = dice[direction].randrange(len(data))
        flipped = data[place] ^ 1 << dice[direction].randrange(8)
        return [(0.0, data[:place] + bytes([flipped]) + data[place + 1 :])]

    return rule


def rate_limit(bits_per_second: float, queue: int) -> Rule:
    """A link of so many bits a second each way; of those that wait for it, all beyond `queue` datagrams are lost."""
    leaving: dict[Direction, deque[float]] = {direction: deque() for direction in Direction}

    def rule(direction: Direction, index: int, data: bytes) -> Fates:
        now, waiting = asyncio.get_running_loop().time(), leaving[direction]
        while waiting and waiting[0] <= now:
            waiting.popleft()
        if len(waiting) >= queue:
            return []
        waiting.append((waiting[-1] if waiting else now) + len(data) * 8 / bits_per_second)
        return [(waiting[-1] - now, data)]

    return rule


def mtu(size: int) -> Rule:
    """A link whose packets have at most so many bytes, headers included, and that does not say so."""
    return lambda direction, index, data: [(0.0, data)] if len(data) + IP_AND_UDP_HEADERS <= size else []


class Blackhole:
    """A link that takes everything and hands on nothing while `is_on`: nobody is told."""

    def __init__(self) -> None:
        self.is_on = False

    def __call__(self, direction: Direction, index: int, data: bytes) -> Fates:
        return [] if self.is_on else [(0.0, data)]


# --- the proxy ---


def address_of(host_and_port: str) -> Address:
    """`HOST:PORT` as a socket takes it."""
    host, _, port = host_and_port.rpartition(":")
    return host, int(port)


def joined(address: Address) -> str:
    """The same backwards."""
    host, port = address
    return f"{host}:{port}"


class Counters:
    """What passed one way."""

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        """Received, and no copy of them sent."""
        self.sent = 0
        self.sent_bytes = 0


class UdpProxy:
    """Stands between clients and one server. `rule` and `upstream` may be changed at any time.

    Each client's address has a socket of its own towards the server, which so tells clients apart as it would without.
    """

    def __init__(self, rule: Rule = passes, upstream: Address = NOBODY) -> None:
        self.rule = rule
        self.upstream = upstream
        """Whom the clients reach. What others send to them does not pass."""
        self.counters = {direction: Counters() for direction in Direction}
        self.address = ANY_PORT
        """What clients send to, once it is entered."""
        self._seen = asyncio.Event()
        self._front: socket.socket | None = None
        self._place: socket.socket | None = None
        """Holds the port while the front is closed: a connected socket takes only what its peer sends."""
        self._backs: dict[Address, socket.socket] = {}

    async def __aenter__(self) -> Self:
        self._place = _bound(ANY_PORT)
        self.address = self._place.getsockname()
        self._place.connect(NOBODY)
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: nobody else has this port
        self.open_front()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_front()
        for back in self._backs.values():
            _close(back)
        self._backs.clear()
        if self._place is not None:
            self._place.close()

    # --- what a test does to it ---

    def close_front(self) -> None:
        """Nobody is there any more: the kernel answers clients with ICMP port unreachable."""
        if self._front is not None:
            _close(self._front)
            self._front = None

    def open_front(self) -> None:
        """Be there again, on the same port."""
        self._front = front = _bound(self.address)
        asyncio.get_running_loop().add_reader(front, self._front_readable, front)

    def switch_upstream_socket(self) -> None:
        """Reach the server from other ports, as after a NAT has forgotten its mapping; the old ones are closed."""
        for client, old in list(self._backs.items()):
            self._open_back(client)  # before the old one is closed: the kernel cannot give the same port
            _close(old)

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until `what` is true of the counters: it is asked after each datagram."""
        async with asyncio.timeout(PATIENCE):
            while not what():
                self._seen.clear()
                await self._seen.wait()

    async def relayed(self, direction: Direction, count: int) -> None:
        """Wait until so many more bytes have left in a direction."""
        counters = self.counters[direction]
        enough = counters.sent_bytes + count
        await self.until(lambda: counters.sent_bytes >= enough)

    def upstream_ports(self) -> list[int]:
        """From where the server is reached, one for each client."""
        return [back.getsockname()[1] for back in self._backs.values()]

    # --- datagrams ---

    def _front_readable(self, front: socket.socket) -> None:
        for _ in range(MAX_BATCH):
            try:
                data, client = front.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP message about what was sent to a client that is gone
            if client not in self._backs:
                self._open_back(client)
            self._relay(Direction.UP, client, data)

    def _back_readable(self, client: Address, back: socket.socket) -> None:
        for _ in range(MAX_BATCH):
            try:
                data, source = back.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue
            if source == self.upstream:
                self._relay(Direction.DOWN, client, data)

    def _open_back(self, client: Address) -> None:
        back = self._backs[client] = _bound(ANY_PORT)
        asyncio.get_running_loop().add_reader(back, self._back_readable, client, back)

    def _relay(self, direction: Direction, client: Address, data: bytes) -> None:
        counters = self.counters[direction]
        fates = self.rule(direction, counters.received, data)
        counters.received += 1
        counters.dropped += not fates
        for seconds, copy in fates:
            if seconds > 0.0:
                asyncio.get_running_loop().call_later(seconds, self._send, direction, client, copy)
            else:
                self._send(direction, client, copy)
        self._seen.set()

    def _send(self, direction: Direction, client: Address, data: bytes) -> None:
        is_up = direction is Direction.UP
        source, target = (self._backs.get(client), self.upstream) if is_up else (self._front, client)
        if source is None:
            return  # closed in the meantime
        with contextlib.suppress(OSError):  # a full buffer or a target that is gone: lost, as datagrams may be
            source.sendto(data, target)
            self.counters[direction].sent += 1
            self.counters[direction].sent_bytes += len(data)
        self._seen.set()


def _bound(address: Address) -> socket.socket:
    """A socket on any port, or on that which another of ours holds as well (SO_REUSEADDR)."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    if address != ANY_PORT:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
    made.bind(address)
    return made


def _close(open_socket: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(open_socket)
    open_socket.close()
