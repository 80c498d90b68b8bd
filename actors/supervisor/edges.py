"""Which address of the edge a slot dials next. Pure.

Connections are spread over the regions. A dial that fails moves to another address and to the other family; an IPv6
address that fails sends its region to IPv4 for a while. A connection that was registered and lost tries its own
address first.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.bus.messages import EdgeAddress
from actors.supervisor.dice import Dice

IPV6_PENALTY: Final = 600.0
"""Seconds without IPv6 for a region in which an IPv6 address failed."""


class EdgeAddresses(msgspec.Struct):
    """The edge's addresses and who uses which."""

    _regions: list[list[EdgeAddress]]
    _current: dict[int, EdgeAddress] = {}
    _no_ipv6_until: dict[str, float] = {}

    @classmethod
    def of(cls, addresses: Sequence[EdgeAddress], dice: Dice) -> "EdgeAddresses":
        """`addresses` is not empty; those of one region are tried in a random order, families in turn."""
        by_region: dict[str, list[EdgeAddress]] = {}
        for address in addresses:
            by_region.setdefault(address.region, []).append(address)
        return cls([_alternating(group, dice) for group in by_region.values()])

    def for_slot(self, slot: int, now: float) -> EdgeAddress:
        """The address that `slot` is to dial: its own, if it has one."""
        if slot not in self._current:
            self._current[slot] = self._pick(slot, None, now)
        return self._current[slot]

    def move_on(self, slot: int, now: float, *, unreachable: bool, elsewhere: bool = False) -> bool:
        """Give `slot` another address; return whether there was one.

        `unreachable`: its own did not answer. `elsewhere`: one of another region is better.
        """
        failed = self._current.get(slot)
        if failed is not None and unreachable and _is_ipv6(failed):
            self._no_ipv6_until[failed.region] = now + IPV6_PENALTY
        self._current[slot] = self._pick(slot, failed, now, elsewhere=elsewhere)
        return self._current[slot] != failed

    def _pick(self, slot: int, failed: EdgeAddress | None, now: float, *, elsewhere: bool = False) -> EdgeAddress:
        region = self._regions[slot % len(self._regions)]
        start = region.index(failed) + 1 if failed in region else 0
        ring = region[start:] + region[:start]
        # Other regions come after one's own, for the case that all of it is down.
        others = [address for group in self._regions if group is not region for address in group]
        taken = {address for number, address in self._current.items() if number != slot}
        candidates = [address for address in ring + others if address != failed] or ring

        def rank(address: EdgeAddress) -> tuple[bool, bool, bool]:
            shunned = _is_ipv6(address) and now < self._no_ipv6_until.get(address.region, 0.0)
            here = elsewhere and failed is not None and address.region == failed.region
            return shunned, here, address in taken

        return min(candidates, key=rank)


def _is_ipv6(address: EdgeAddress) -> bool:
    return ":" in address.host


def _alternating(addresses: Sequence[EdgeAddress], dice: Dice) -> list[EdgeAddress]:
    """IPv4 and IPv6 in turn, each in a random order: a family that is dead costs one dial."""
    families: tuple[list[EdgeAddress], list[EdgeAddress]] = ([], [])
    for address in addresses:
        families[_is_ipv6(address)].append(address)
    for family in families:
        dice.shuffle(family)
    first, second = families
    shared = min(len(first), len(second))
    mixed = [address for pair in zip(first, second, strict=False) for address in pair]
    return mixed + first[shared:] + second[shared:]
