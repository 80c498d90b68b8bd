"""DNS: a real resolver library against a real DNS server of our own, on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.nameserver
import dns.rcode
import dns.rrset
import pytest

from actors.errors import DiscoveryError
from actors.supervisor import discovery
from actors.supervisor.discovery import discover, resolve_given

RECORDS = {
    ("_edge._tcp.example.", "SRV"): ["1 1 7844 region1.example.", "2 1 7844 region2.example."],
    ("region1.example.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("region1.example.", "AAAA"): ["2001:db8::1"],
    ("region2.example.", "A"): ["192.0.2.3"],
}


class _Server(asyncio.DatagramProtocol):
    def __init__(self, records: dict[tuple[str, str], list[str]]) -> None:
        self._records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query)
        found = self._records.get((question.name.to_text(), kind))
        if found is None:
            reply.set_rcode(dns.rcode.SERVFAIL if not self._records else dns.rcode.NOERROR)
        else:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        self._transport.sendto(reply.to_wire(), addr)


@contextlib.asynccontextmanager
async def dns_server(monkeypatch: pytest.MonkeyPatch, records: dict[tuple[str, str], list[str]]) -> AsyncIterator[None]:
    """Make our server the system's resolver, and leave DNS over TLS with nobody to ask."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Server(records), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]

    class Resolver(dns.asyncresolver.Resolver):
        def __init__(self, configure: bool = True) -> None:
            super().__init__(configure=False)
            if configure:
                self.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", port)]

    monkeypatch.setattr(dns.asyncresolver, "Resolver", Resolver)
    monkeypatch.setattr(discovery, "DNS_OVER_TLS", ("127.0.0.1", port, "cloudflare-dns.com"))
    monkeypatch.setattr(discovery, "DNS_OVER_TLS_TIMEOUT", 1.0)
    monkeypatch.setattr(discovery, "LOOKUP_TIMEOUT", 1.0)
    try:
        yield
    finally:
        transport.close()


async def test_both_families_and_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    async with dns_server(monkeypatch, RECORDS):
        found = await discover("auto", service="_edge._tcp.example")
    assert {(edge.host, edge.region) for edge in found} == {
        ("192.0.2.1", "region1.example"),
        ("192.0.2.2", "region1.example"),
        ("2001:db8::1", "region1.example"),
        ("192.0.2.3", "region2.example"),
    }
    assert {edge.port for edge in found} == {7844}


@pytest.mark.parametrize(("version", "count"), [("4", 3), ("6", 1)])
async def test_one_family(monkeypatch: pytest.MonkeyPatch, version: discovery.IpVersion, count: int) -> None:
    async with dns_server(monkeypatch, RECORDS):
        assert len(await discover(version, service="_edge._tcp.example")) == count


async def test_failure_names_both_ways_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with dns_server(monkeypatch, {}):
        with pytest.raises(DiscoveryError, match=r"by the system.*over TLS.*--edge"):
            await discover("auto", service="_edge._tcp.example")


async def test_name_that_cannot_be_resolved() -> None:
    with pytest.raises(DiscoveryError, match="nowhere.invalid"):
        await resolve_given([("nowhere.invalid", 1)], "auto")
