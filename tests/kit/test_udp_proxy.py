"""Each rule of the bad link, with plain sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tests.kit import udp_proxy
from tests.kit.processes import PATIENCE
from tests.kit.udp_proxy import Address, Blackhole, Direction, Rule, UdpProxy

MANY = 5000
"""Datagrams of which a share is judged."""


class Peer:
    """A plain UDP socket."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.address: Address = self.socket.getsockname()

    def send(self, data: bytes, to: Address) -> None:
        self.socket.sendto(data, to)

    async def receive(self) -> tuple[bytes, Address]:
        async with asyncio.timeout(PATIENCE):
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.socket, 65535)
        return data, source


@contextlib.asynccontextmanager
async def link(rule: Rule = udp_proxy.passes) -> AsyncIterator[tuple[Peer, UdpProxy, Peer]]:
    """A client, the proxy and a server."""
    client, server = Peer(), Peer()
    with client.socket, server.socket:
        async with UdpProxy(rule, server.address) as proxy:
            yield client, proxy, server


def fates(rule: Rule, count: int = MANY, data: bytes = b"x" * 100) -> list[udp_proxy.Fates]:
    """What a rule does to so many datagrams."""
    return [rule(Direction.UP, index, data) for index in range(count)]


def lost(rule: Rule) -> list[bool]:
    return [not fate for fate in fates(rule)]


async def test_both_ways_and_each_client_for_itself() -> None:
    async with link() as (client, proxy, server):
        other = Peer()
        with other.socket:
            client.send(b"one", proxy.address)
            data, first = await server.receive()
            assert data == b"one"
            other.send(b"two", proxy.address)
            data, second = await server.receive()
            assert data == b"two"
            assert first != second
            server.send(b"to one", first)
            assert await client.receive() == (b"to one", proxy.address)
        up, down = proxy.counters[Direction.UP], proxy.counters[Direction.DOWN]
        assert (up.received, up.sent, up.sent_bytes, up.dropped) == (2, 2, 6, 0)
        assert (down.received, down.sent, down.sent_bytes, down.dropped) == (1, 1, 6, 0)


async def test_drop_duplicate_delay_and_corrupt() -> None:
    """The shape of a rule, through real sockets: the late one is overtaken by all that come after it."""
    table: list[udp_proxy.Fates] = [[], [(0.0, b"twice"), (0.0, b"twice")], [(0.05, b"late")], [(0.0, b"other")]]
    async with link(lambda direction, index, data: table[index]) as (client, proxy, server):
        for _ in table:
            client.send(b"data", proxy.address)
        assert [(await server.receive())[0] for _ in range(4)] == [b"twice", b"twice", b"other", b"late"]
        up = proxy.counters[Direction.UP]
        assert (up.received, up.dropped, up.sent) == (4, 1, 4)


async def test_blackhole_is_a_switch() -> None:
    hole = Blackhole()
    async with link(hole) as (client, proxy, server):
        hole.is_on = True
        client.send(b"lost", proxy.address)
        await proxy.until(lambda: proxy.counters[Direction.UP].dropped == 1)
        hole.is_on = False
        client.send(b"there", proxy.address)
        assert (await server.receive())[0] == b"there"


async def test_another_upstream_port() -> None:
    async with link() as (client, proxy, server):
        client.send(b"1", proxy.address)
        _, before = await server.receive()
        proxy.switch_upstream_socket()
        client.send(b"2", proxy.address)
        _, after = await server.receive()
        assert before != after
        assert proxy.upstream_ports() == [after[1]]
        server.send(b"to nobody", before)
        server.send(b"back", after)
        assert (await client.receive())[0] == b"back"


async def test_another_upstream() -> None:
    async with link() as (client, proxy, server):
        client.send(b"1", proxy.address)
        _, back = await server.receive()
        other = Peer()
        with other.socket:
            proxy.upstream = other.address
            client.send(b"2", proxy.address)
            assert await other.receive() == (b"2", back)
            server.send(b"from the old one", back)
            other.send(b"from the new one", back)
            assert (await client.receive())[0] == b"from the new one"


async def test_closed_front_is_refused_by_the_kernel_and_opens_again_on_its_port() -> None:
    async with link() as (client, proxy, server):
        address = proxy.address
        client.socket.connect(address)  # only a connected socket is told of ICMP
        proxy.close_front()
        client.socket.send(b"refused")
        with pytest.raises(ConnectionRefusedError):
            await client.receive()
        proxy.open_front()
        client.socket.send(b"taken")
        assert (await server.receive())[0] == b"taken"
        assert proxy.address == address


async def test_relayed_waits_for_bytes() -> None:
    async with link() as (client, proxy, _), asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(proxy.relayed(Direction.UP, 8))
        await asyncio.sleep(0)
        client.send(b"1234", proxy.address)
        await proxy.until(lambda: proxy.counters[Direction.UP].sent == 1)
        assert not waits.done()
        client.send(b"5678", proxy.address)


def test_shares() -> None:
    assert 0.015 < sum(lost(udp_proxy.loss(0.02))) / MANY < 0.025
    assert 0.08 < sum(len(fate) == 2 for fate in fates(udp_proxy.duplication(0.1))) / MANY < 0.12
    assert 0.22 < sum(fate == [(0.02, b"x" * 100)] for fate in fates(udp_proxy.reorder(0.25))) / MANY < 0.28
    assert {fate[0][0] for fate in fates(udp_proxy.delay(0.25))} == {0.25}
    late = [fate[0][0] for fate in fates(udp_proxy.jitter(0.5))]
    assert 0.0 <= min(late) < 0.01
    assert 0.49 < max(late) <= 0.5


def test_corruption_flips_one_bit() -> None:
    hurt = [fate[0][1] for fate in fates(udp_proxy.corruption(0.02)) if fate[0][1] != b"x" * 100]
    assert 0.015 < len(hurt) / MANY < 0.025
    for data in hurt:
        assert len(data) == 100
        assert (int.from_bytes(data, "big") ^ int.from_bytes(b"x" * 100, "big")).bit_count() == 1


def test_bursts_are_at_most_three() -> None:
    told = "".join("-" if gone else "+" for gone in lost(udp_proxy.burst_loss(0.3)))
    bursts = [burst for burst in told.split("+") if burst]
    assert {len(burst) for burst in bursts} == {1, 2, 3}
    assert 0.27 < told.count("-") / MANY < 0.33


def test_chance_is_the_seed_s_and_the_direction_s_alone() -> None:
    one, same, other = udp_proxy.loss(0.5, seed=1), udp_proxy.loss(0.5, seed=1), udp_proxy.loss(0.5, seed=2)
    for index in range(100):
        one(Direction.DOWN, index, b"x")  # the other way has no influence
    assert lost(one) == lost(same) != lost(other)


def test_mtu_counts_headers() -> None:
    rule = udp_proxy.mtu(1280)
    assert rule(Direction.UP, 0, b"x" * 1252)
    assert not rule(Direction.UP, 0, b"x" * 1253)


async def test_rate_limit_queues_and_drops_the_tail() -> None:
    """800 bits a second: 100 bytes take a second each, so none leaves while the test runs."""
    told = fates(udp_proxy.rate_limit(800, queue=3), count=5)
    delays = [round(fate[0][0]) if fate else None for fate in told]
    assert delays == [1, 2, 3, None, None]


def test_chain_adds_up() -> None:
    rule = udp_proxy.chain(udp_proxy.delay(1.0), udp_proxy.duplication(1.0), udp_proxy.delay(0.5))
    assert rule(Direction.UP, 0, b"x") == [(1.5, b"x"), (1.5, b"x")]
    assert udp_proxy.chain(udp_proxy.loss(1.0), udp_proxy.duplication(1.0))(Direction.UP, 0, b"x") == []
