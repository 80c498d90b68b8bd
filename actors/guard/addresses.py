"""Where a visitor comes from, and the networks that may come. Pure.

The edge says it in Cf-Connecting-Ip, and in no other field: X-Forwarded-For begins with what the visitor says.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from actors.exchange.request import Request
from actors.guard import fields

FIELD: Final = b"cf-connecting-ip"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address by which visitors are told apart: the rest is each visitor's own to choose."""


def visitor(request: Request) -> Address | None:
    """The visitor's address; None: the edge does not say it, or not exactly once."""
    value = fields.only(request, FIELD)
    if value is None or b"%" in value:
        return None
    try:
        address = ipaddress.ip_address(value.decode("ascii"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def name(address: Address | None) -> bytes:
    """What one visitor is counted under; all whose address is unknown are one."""
    if address is None:
        return b""
    return address.packed if address.version == 4 else address.packed[: IPV6_PREFIX // 8]


class Networks:
    """Which visitors may come, by their addresses."""

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        """Both are lists of networks, as `10.0.0.0/8`; what is denied is so even if it is allowed as well. Without any
        that are allowed, all are."""
        self._allow = list(map(ipaddress.ip_network, allow))
        self._deny = list(map(ipaddress.ip_network, deny))

    def __bool__(self) -> bool:
        """Whether they say anything."""
        return bool(self._allow or self._deny)

    def admit(self, address: Address | None) -> bool:
        """Whether a visitor with this address may come; whoever has none may not."""
        if address is None or _is_in(address, self._deny):
            return False
        return not self._allow or _is_in(address, self._allow)


def _is_in(address: Address, networks: list[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
