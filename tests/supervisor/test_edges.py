"""Which address is dialed next."""

from actors.bus.messages import EdgeAddress
from actors.supervisor.dice import Dice
from actors.supervisor.edges import IPV6_PENALTY, EdgeAddresses


def address(host: str, region: str) -> EdgeAddress:
    return EdgeAddress(host=host, port=7844, region=region)


V4 = [address(f"192.0.2.{number}", f"r{number % 2}") for number in range(1, 7)]
V6 = [address(f"2001:db8::{number}", f"r{number % 2}") for number in range(1, 7)]


def edges(addresses: list[EdgeAddress] = V4) -> EdgeAddresses:
    return EdgeAddresses.of(addresses, Dice(3))


def test_slots_are_spread_over_regions_and_addresses() -> None:
    pool = edges()
    chosen = [pool.for_slot(slot, 0.0) for slot in range(4)]
    assert len(set(chosen)) == 4
    assert [one.region for one in chosen] == [chosen[0].region, chosen[1].region] * 2
    assert chosen[0].region != chosen[1].region


def test_slot_keeps_its_address_until_it_moves_on() -> None:
    pool = edges()
    own = pool.for_slot(0, 0.0)
    assert pool.for_slot(0, 100.0) == own
    assert pool.move_on(0, 100.0, unreachable=True)
    assert pool.for_slot(0, 100.0) != own


def test_one_address_is_used_again() -> None:
    pool = edges(V4[:1])
    assert pool.for_slot(0, 0.0) == V4[0]
    assert not pool.move_on(0, 0.0, unreachable=True)
    assert pool.for_slot(0, 0.0) == V4[0]
    assert pool.for_slot(1, 0.0) == V4[0]


def test_every_address_gets_its_turn() -> None:
    pool = edges()
    seen = {pool.for_slot(0, 0.0)}
    for _ in range(10):
        pool.move_on(0, 0.0, unreachable=True)
        seen.add(pool.for_slot(0, 0.0))
    own_region = {one for one in V4 if one.region == next(iter(seen)).region}
    assert own_region <= seen or len(seen) >= 3


def test_families_take_turns_and_a_dead_ipv6_is_shunned_for_a_while() -> None:
    pool = edges(V4 + V6)
    families = set()
    for _ in range(2):
        families.add(":" in pool.for_slot(0, 0.0).host)
        pool.move_on(0, 0.0, unreachable=False)
    assert families == {True, False}
    while ":" not in pool.for_slot(0, 0.0).host:
        pool.move_on(0, 0.0, unreachable=False)
    pool.move_on(0, 0.0, unreachable=True)
    for _ in range(6):
        assert ":" not in pool.for_slot(0, 1.0).host
        pool.move_on(0, 1.0, unreachable=True)
    pool.move_on(0, IPV6_PENALTY + 2, unreachable=True)
    later = {pool.for_slot(0, IPV6_PENALTY + 2).host}
    for _ in range(6):
        pool.move_on(0, IPV6_PENALTY + 2, unreachable=False)
        later.add(pool.for_slot(0, IPV6_PENALTY + 2).host)
    assert any(":" in host for host in later)
