"""The public name, seen from outside: a zone's server on loopback, and what a probe makes of an answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from actors.supervisor import visibility
from tests.kit.origins import answer, read_head, scripted


class Zone(asyncio.DatagramProtocol):
    """A zone's own name server, which knows the name from the n-th question on."""

    def __init__(self, known_after: int) -> None:
        self.questions: list[dns.message.Message] = []
        self._known_after = known_after

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        self.questions.append(question)
        response = dns.message.make_response(question)
        if len(self.questions) > self._known_after:
            response.answer.append(dns.rrset.from_text(question.question[0].name, 300, "IN", "A", "192.0.2.1"))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(response.to_wire(), address)


@contextlib.asynccontextmanager
async def zone(known_after: int) -> AsyncIterator[tuple[Zone, visibility.Server]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Zone(known_after), local_addr=("127.0.0.1", 0))
    try:
        yield server, transport.get_extra_info("sockname")
    finally:
        transport.close()


async def test_name_is_asked_for_until_it_is_there() -> None:
    async with zone(4) as (server, address):
        await visibility.until_visible("a.example", [address])
        assert len(server.questions) == 5
        assert not any(question.flags & dns.flags.RD for question in server.questions), "asked of the zone itself"


async def test_server_that_is_dead_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "LOOKUP_TIMEOUT", 0.2)
    async with zone(0) as (_, address):
        await visibility.until_visible("a.example", [("127.0.0.1", 9), address])


@pytest.mark.parametrize(
    ("response", "wrong"),
    [
        (answer(b""), None),
        (answer(b"", "404 Not Found"), None),
        (answer(b"", "502 Bad Gateway"), None),
        (answer(b"", "530 No Tunnel"), "530"),
        (b"", "cannot be reached"),
    ],
)
async def test_probe_tells_the_origin_s_answers_from_the_service_s(response: bytes, wrong: str | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response)

    async with scripted(serve) as port:
        said = await visibility.probe(f"http://127.0.0.1:{port}/")
    assert (said is None) if wrong is None else (wrong in str(said))
