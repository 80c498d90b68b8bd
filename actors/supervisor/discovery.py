"""The edge's addresses: SRV, then A and AAAA of its targets; DNS over TLS when the system's resolver fails."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Final, Literal

from actors.bus.messages import EdgeAddress
from actors.errors import DiscoveryError

EDGE_SERVICE: Final = "_v2-origintunneld._tcp.argotunnel.com"
EDGE_PORT: Final = 7844

EDGE_NAMES: Final = ("region1.v2.argotunnel.com", "region2.v2.argotunnel.com")
"""What the service's record leads to, for a proxy that can resolve names where nobody else can."""

DNS_OVER_TLS: Final = ("1.1.1.1", 853, "cloudflare-dns.com")
"""Address, port and certificate name of the resolver that is asked when the system's does not answer."""

LOOKUP_TIMEOUT: Final = 5.0
"""Seconds for a lookup at the system's resolver."""

DNS_OVER_TLS_TIMEOUT: Final = 15.0
"""Seconds for one over TLS, the client's own."""

IpVersion = Literal["auto", "4", "6"]


def edge_service(region: str = "") -> str:
    """The name whose SRV record leads to the edge, or to that of one region only (`--region`)."""
    return f"_{region}-{EDGE_SERVICE.removeprefix('_')}" if region else EDGE_SERVICE


async def discover(ip_version: IpVersion, *, service: str = EDGE_SERVICE) -> list[EdgeAddress]:
    """Look the edge's addresses up. Each target of the SRV record is a part of it, which may fail alone.

    Raises:
        DiscoveryError: neither resolver knows any.
    """
    failures = []
    for over_tls in (False, True):
        try:
            return await lookup(service, ip_version, over_tls=over_tls)
        except DiscoveryError as error:
            failures.append(f"{'over TLS' if over_tls else 'by the system'}: {error}")
    raise DiscoveryError(
        f"cannot find Cloudflare's edge ({service}): {'; '.join(failures)}. "
        "Is DNS working on this machine? With --edge HOST:PORT no lookup is needed."
    )


async def lookup(service: str, ip_version: IpVersion, *, over_tls: bool) -> list[EdgeAddress]:
    """Ask the system's resolver, or the other one over TLS.

    Raises:
        DiscoveryError: it does not answer, or knows no address.
    """
    import dns.asyncresolver
    import dns.exception
    import dns.nameserver

    try:
        resolver = dns.asyncresolver.Resolver(configure=not over_tls)
        resolver.lifetime = LOOKUP_TIMEOUT
        if over_tls:
            resolver.nameservers = [dns.nameserver.DoTNameserver(*DNS_OVER_TLS)]
            resolver.lifetime = DNS_OVER_TLS_TIMEOUT
        addresses = await _ask(resolver, service, ip_version)
    except (dns.exception.DNSException, OSError) as error:
        raise DiscoveryError(str(error) or type(error).__name__) from error
    if not addresses:
        raise DiscoveryError("no address of the wanted IP version" if ip_version != "auto" else "no address")
    return addresses


async def _ask(resolver: Any, service: str, ip_version: IpVersion) -> list[EdgeAddress]:
    import dns.exception

    records = await resolver.resolve(service, "SRV")
    targets = [(record.target.to_text(omit_final_dot=True), record.port) for record in records]
    kinds = {"auto": ("A", "AAAA"), "4": ("A",), "6": ("AAAA",)}[ip_version]

    async def addresses(name: str, port: int, kind: str) -> list[EdgeAddress]:
        try:
            answer = await resolver.resolve(name, kind)
        except dns.exception.DNSException:
            return []  # a region without this family, or one that is out: the others are enough
        return [EdgeAddress(host=record.address, port=port, region=name) for record in answer]

    lookups = [addresses(name, port, kind) for name, port in targets for kind in kinds]
    return [address for group in await asyncio.gather(*lookups) for address in group]


def by_name(region: str = "") -> list[EdgeAddress]:
    """The edge by its names, for a proxy to resolve."""
    names = [f"{region}-{name}" if region else name for name in EDGE_NAMES]
    return [EdgeAddress(host=name, port=EDGE_PORT, region=name) for name in names]


async def resolve(host: str, port: int) -> list[EdgeAddress]:
    """All addresses of a host; none if it cannot be resolved."""
    try:
        return await resolve_given(((host, port),), "auto")
    except DiscoveryError:
        return []


async def resolve_given(edges: Sequence[tuple[str, int]], ip_version: IpVersion) -> list[EdgeAddress]:
    """The addresses of `--edge HOST:PORT`, each HOST a region of its own.

    Raises:
        DiscoveryError: a name that cannot be resolved, or has no address of the wanted version.
    """
    found = []
    family = {"auto": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}[ip_version]
    for host, port in edges:
        try:
            ipaddress.ip_address(host)
            found.append(EdgeAddress(host=host, port=port, region=host))
            continue
        except ValueError:
            pass
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                loop = asyncio.get_running_loop()
                answers = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError) as error:
            raise DiscoveryError(f"--edge {host}:{port}: cannot resolve {host}: {str(error) or 'no answer'}") from error
        found += [EdgeAddress(host=str(answer[4][0]), port=port, region=host) for answer in answers]
    return found
