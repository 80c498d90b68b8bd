"""What is measured. Each measurement yields rows of one client; `__main__` takes the clients in turn each round."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from benchmarks import clients, foreign
from benchmarks.clients import Client, Line, Running, running
from benchmarks.link import QUEUE_SECONDS, Loses

BUSY: Final = 0.8
"""Share of a core above which the link is the brake, and the row void. It has one core; the edge may use several."""

LINKED: Final = ("links", "mixed", "fairness")
"""Tables whose clients reach their edge over a link: the share of a core is the link's."""

SECONDS: Final = 2.0
"""How long requests go on for one figure."""

IDLE_SECONDS: Final = 3.0
"""How long nothing happens for the figure of an idle client."""

AT_ONCE: Final = (1, 32, 200)

BULK: Final = {1: 100_000_000, 8: 12_500_000}
"""Bytes a stream, by the number of streams."""

LARGE: Final = 10_000_000
"""Bytes of the response on a link."""


class Row(NamedTuple):
    """One figure of one client in one round."""

    table: str
    what: str
    client: str
    value: float
    unit: str
    edge_share: float = 0.0
    """Of a core, by the process that stands for the edge, or by the link to it."""


class Link(NamedTuple):
    """A way to the edge."""

    megabits: float
    round_trip_ms: float
    loss_percent: float
    loses: Loses = "both"
    """Which way."""

    def __str__(self) -> str:
        way = "" if self.loses == "both" else f" on the way {self.loses}"
        return f"{self.megabits:g} Mbit/s, {self.round_trip_ms:g} ms, {self.loss_percent:g} %{way}"


LINKS: Final = (
    *(Link(20, 40, share) for share in (0, 0.1, 1, 3)),
    *(Link(100, 10, share) for share in (0, 0.1, 0.5)),
    Link(100, 40, 0.1),
)


async def loopback(client: Client, port: int) -> AsyncIterator[Row]:
    """Requests a second, their times, processor time; bytes a second both ways."""
    async with running(client, port) as one:
        await one.edge.ask("requests", at_once=32, seconds=0.5)  # connections to the origin, caches
        for at_once in AT_ONCE:
            async for row in _requests(one, "loopback", f"{at_once} at once", at_once):
                yield row
        for kind in ("download", "upload"):
            for streams, size in BULK.items():
                what = f"{kind}, {streams} {'stream' if streams == 1 else 'streams'}"
                cpu = one.cpu()
                try:
                    answer = await one.edge.ask(kind, streams=streams, size=size)
                except foreign.Failed:
                    yield Row("loopback", what, client.name, 0.0, "MB/s")
                    continue
                cpu = one.cpu() - cpu
                share = answer["edge_share"]
                rate = answer["count"] / answer["seconds"] / 1e6
                yield Row("loopback", what, client.name, rate, "MB/s", share)
                yield Row("loopback", f"{what}: CPU", client.name, cpu / answer["count"] * 1e9, "s/GB", share)


async def _requests(one: Running, table: str, what: str, at_once: int) -> AsyncIterator[Row]:
    cpu = one.cpu()
    name = one.client.name
    try:
        answer = await one.edge.ask("requests", at_once=at_once, seconds=SECONDS)
    except foreign.Failed:  # a client that others wrote may, with many at once
        yield Row(table, f"{what}: requests", name, 0.0, "/s")
        return
    cpu = one.cpu() - cpu
    share = answer["edge_share"]
    yield Row(table, f"{what}: requests", name, answer["count"] / answer["seconds"], "/s", share)
    yield Row(table, f"{what}: p50", name, answer["p50"] * 1e3, "ms", share)
    yield Row(table, f"{what}: p99", name, answer["p99"] * 1e3, "ms", share)
    yield Row(table, f"{what}: CPU a request", name, cpu / answer["count"] * 1e6, "µs", share)


async def direct(port: int) -> AsyncIterator[Row]:
    """The same requests to the origin itself."""
    for at_once in AT_ONCE:
        answer = await foreign.load(f"http://127.0.0.1:{port}/small", at_once=at_once, seconds=SECONDS)
        what = f"{at_once} at once"
        yield Row("loopback", f"{what}: requests", "direct", answer["count"] / answer["seconds"], "/s")
        yield Row("loopback", f"{what}: p50", "direct", answer["p50"] * 1e3, "ms")
        yield Row("loopback", f"{what}: p99", "direct", answer["p99"] * 1e3, "ms")


async def links(client: Client, seed: int) -> AsyncIterator[Row]:
    """One large response, and one large request, over each link: MB a second of its body."""
    for link in LINKS:
        for kind, what in (("download", str(link)), ("upload", f"{link}, upload")):
            async with _over(client, link, seed) as (one, line):
                try:
                    answer, busy = await line.watched(one.edge.ask(kind, streams=1, size=LARGE))
                except foreign.Failed:
                    yield Row("links", what, client.name, 0.0, "MB/s")
                    continue
            yield Row("links", what, client.name, LARGE / answer["seconds"] / 1e6, "MB/s", busy)


async def mixed(client: Client, seed: int) -> AsyncIterator[Row]:
    """200 small requests at once in the middle of such a response: their p99.

    Losses on the way up only: what a lost request costs is the edge's affair, whose window is small at that moment.
    """
    for link in (Link(20, 40, 0), Link(20, 40, 1, "up")):
        async with _over(client, link, seed) as (one, line):
            answer, busy = await line.watched(one.edge.ask("mixed", size=LARGE, at_once=200))
        what = f"200 small requests during a download, {link}"
        yield Row("mixed", f"{what}: p50", client.name, answer["p50"] * 1e3, "ms", busy)
        yield Row("mixed", f"{what}: p99", client.name, answer["p99"] * 1e3, "ms", busy)


@contextlib.asynccontextmanager
async def lined(link: Link, seed: int, queue: float = QUEUE_SECONDS) -> AsyncIterator[Line]:
    """Such a link, with a queue of so many seconds."""
    async with clients.line(*words(link, seed, queue)) as line:
        yield line


def words(link: Link, seed: int, queue: float) -> tuple[object, ...]:
    """The arguments of `benchmarks.link`."""
    return link.megabits, link.round_trip_ms / 1e3, link.loss_percent / 100, link.loses, seed, queue


@contextlib.asynccontextmanager
async def _over(client: Client, link: Link, seed: int) -> AsyncIterator[tuple[Running, Line]]:
    async with lined(link, seed) as line, running(client, line.origin, over=line) as one:
        yield one, line


async def start(client: Client, port: int) -> AsyncIterator[Row]:
    """From the command to the registration; and what the processes hold then."""
    for delay in (0.5, 0.0):
        what = "API of 500 ms" if delay else "instant API"
        async with running(client, port, api_delay=delay) as one:
            yield Row("start", f"start → registered, {what}", client.name, one.seconds_to_register, "s")
            await one.edge.ask("requests", at_once=1, seconds=SECONDS)  # all is up, the spare too
            memory = one.memory()
    yield Row("start", "memory (PSS)", client.name, memory / 1e6, "MB")


async def scaling(client: Client, port: int) -> AsyncIterator[Row]:
    """What a request costs beside streams that are open, and on several connections."""
    async with running(client, port) as one:
        await one.edge.ask("requests", at_once=32, seconds=0.5)
        held = 0
        for streams in (1, 10, 100, 1000):
            await one.edge.ask("hold", count=streams - held, sockets=False)
            held = streams
            await one.edge.ask("requests", at_once=32, seconds=0.5)
            async for row in _requests(one, "scaling", f"{streams:4d} streams open", 32):
                yield row
        await one.edge.ask("release")
    for connections in (1, 2, 4):
        async with running(client, port, connections=connections) as one:
            await one.edge.ask("requests", at_once=32, seconds=0.5)
            async for row in _requests(one, "scaling", f"{connections} connections", 200):
                yield row


async def inspect(client: Client, port: int) -> AsyncIterator[Row]:
    """What it costs that somebody may look at all requests."""
    async with running(client, port) as one:
        await one.edge.ask("requests", at_once=32, seconds=0.5)
        for at_once in (32, 200):
            async for row in _requests(one, "inspect", f"{at_once} at once", at_once):
                yield row
        yield Row("inspect", "memory (PSS)", client.name, one.memory() / 1e6, "MB")


async def sockets(client: Client, port: int) -> AsyncIterator[Row]:
    """WebSockets that are open and say nothing: memory, idle processor time, and an echo on one of them."""
    async with running(client, port) as one:
        await one.edge.ask("requests", at_once=1, seconds=0.5)
        before, held = one.memory(), 0
        for count in (500, 2000):
            await one.edge.ask("hold", count=count - held, sockets=True)
            held = count
            what = f"{count} WebSockets"
            yield Row("sockets", f"{what}: memory each", client.name, (one.memory() - before) / count / 1e3, "kB")
            cpu = one.cpu()
            await asyncio.sleep(IDLE_SECONDS)
            cpu = one.cpu() - cpu
            yield Row("sockets", f"{what}: idle", client.name, cpu / IDLE_SECONDS * 100, "% of a core")
            answer = await one.edge.ask("echo", rounds=2000)
            yield Row("sockets", f"{what}: echo, p50", client.name, answer["p50"] * 1e3, "ms", answer["edge_share"])
        await one.edge.ask("release")
