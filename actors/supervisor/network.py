"""This machine's way out, as the kernel's routing table and the resolver tell. No packet goes to the edge for it."""

import contextlib
import socket
from collections.abc import Iterable
from typing import Final

from actors.bus.messages import EdgeAddress
from actors.processes.means import EXHAUSTED

ROUTE_INTERVAL: Final = 1.0
"""Seconds between two looks at the routes: a system call for each IP version."""

RESOLVER_INTERVAL: Final = 5.0
"""Seconds between two questions to the resolver. It is asked only while no connection is up."""

RESOLVER_TIMEOUT: Final = 3.0
"""Seconds for its answer: less than a dial takes to fail, so that it is known in time not to count that."""


def sources(addresses: Iterable[EdgeAddress]) -> frozenset[str]:
    """This machine's own addresses from which the edge can be reached, at most one for each IP version.

    Connecting a UDP socket sends nothing: the kernel looks for a route and chooses the address to send from.

    Raises:
        OSError: it cannot be found out, for want of a descriptor.
    """
    found = set()
    one_of_each = {":" in address.host: address for address in addresses}
    for is_ipv6, address in one_of_each.items():
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        try:
            with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
                probe.connect((address.host, address.port))
                found.add(str(probe.getsockname()[0]))
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
    return frozenset(found)


async def resolver_answers(name: str) -> bool:
    """Whether the system's resolver says anything about `name`; that there is no such name is an answer too."""
    import dns.asyncresolver
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.asyncresolver.Resolver()
        resolver.lifetime = RESOLVER_TIMEOUT
        await resolver.resolve(name, "SRV")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return True
    except (dns.exception.DNSException, OSError):
        return False
    return True
