"""Whether the public name is there, seen from outside: in its zone's DNS, and by HTTP.

The record appears when the first connection registers, seconds after the API gave the name. The system's resolver must
not be asked for it before: it would remember for half an hour that there is none. So the zone's own servers are.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

LOOKUP_INTERVAL: Final = 0.25
"""Seconds between two questions."""

LOOKUP_DEADLINE: Final = 10.0
"""Seconds after which the URL is given all the same."""

LOOKUP_TIMEOUT: Final = 1.0
"""Seconds for one answer of a name server."""

PROBE_INTERVAL: Final = 60.0
"""Seconds between two probes of the public URL; each is a request that the origin sees."""

PROBE_RETRY: Final = 5.0
"""Seconds to the first probe, and to the next one after one that failed."""

PROBE_TIMEOUT: Final = 15.0
"""Seconds for a probe."""

NO_TUNNEL_STATUS: Final = 530
"""The edge's answer for a name behind which it knows no connection."""

Server = tuple[str, int]


async def name_servers(hostname: str) -> list[Server]:
    """The addresses of the servers of the zone that `hostname` is in: of its parent domain.

    Raises:
        OSError: they cannot be found.
    """
    import dns.asyncresolver
    import dns.exception

    zone = hostname.partition(".")[2]
    try:
        resolver = dns.asyncresolver.Resolver()
        records = await resolver.resolve(zone, "NS")
        addresses = [await resolver.resolve(record.target, "A") for record in list(records)[:2]]
    except dns.exception.DNSException as error:
        raise OSError(f"cannot find the name servers of {zone}: {error}") from error
    return [(record.address, 53) for answer in addresses for record in answer]


async def until_visible(hostname: str, servers: Sequence[Server]) -> None:
    """Ask a zone's own servers, one after the other, until one knows an address."""
    while True:
        for server in servers:
            if await _knows(server, hostname):
                return
        await asyncio.sleep(LOOKUP_INTERVAL)


async def _knows(server: Server, hostname: str) -> bool:
    import dns.asyncquery
    import dns.exception
    import dns.message
    import dns.rdatatype

    address, port = server
    for kind in ("A", "AAAA"):
        question = dns.message.make_query(hostname, kind, flags=0)  # no recursion: this one knows, or nobody does
        try:
            answer = await dns.asyncquery.udp(question, address, port=port, timeout=LOOKUP_TIMEOUT)
        except (dns.exception.DNSException, OSError):
            return False
        if any(entry.rdtype == dns.rdatatype.from_text(kind) for entry in answer.answer):
            return True
    return False


async def probe(url: str, edge_ca: str | None = None) -> str | None:
    """Fetch the public URL; return None if it leads to the tunnel, else what is wrong.

    `edge_ca`: a PEM file with the authority that signs for a local edge, which may speak TLS to visitors too.
    """
    import httpx  # here, since few ask for it

    target, headers = httpx.URL(url), {}
    is_local = target.host.endswith(".localhost")
    if is_local:  # the local edge's; not every resolver knows RFC 6761 section 6.3, and no proxy reaches it
        target, headers = target.copy_with(host="127.0.0.1"), {"Host": target.netloc.decode()}
    verify = ssl.create_default_context(cafile=edge_ca) if is_local and edge_ca is not None else True
    try:
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT, trust_env=not is_local, verify=verify) as client:
            response = await client.head(target, headers=headers)
    except httpx.ReadTimeout:
        return None  # the way is there; it is the origin that takes its time
    except httpx.HTTPError as error:
        return f"{httpx.URL(url).host} cannot be reached: {str(error) or type(error).__name__}"
    if response.status_code == NO_TUNNEL_STATUS:
        return f"the service answers {NO_TUNNEL_STATUS}: it knows no tunnel of this name"
    return None
