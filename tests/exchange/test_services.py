"""Where bastions and SOCKS take a visitor, and where not."""

import asyncio
import socket as sockets

import pytest
from wsproto.events import BytesMessage

from actors.bus.routes import Bastion, IpRule, Socks, Tcp
from actors.exchange import reach
from actors.exchange.request import Kind, Request
from actors.exchange.socks import reply
from tests.exchange.test_socks import GREETING, IPV4
from tests.exchange.test_websocket import KEY, Client, carrying, echo, opened
from tests.kit.origins import scripted
from tests.kit.processes import PATIENCE

LOOPBACK = Socks((IpRule("127.0.0.0/8", allow=True),))


def to(*destinations: str) -> Request:
    fields = tuple((b"Cf-Access-Jump-Destination", each.encode("latin-1")) for each in destinations)
    return Request(Kind.WEBSOCKET, b"GET", b"/", b"a.example", (KEY, *fields))


@pytest.mark.parametrize("text", ["127.0.0.1:{}", "ssh://127.0.0.1:{}", "tcp://127.0.0.1:{}/path?x", "localhost:{}/x"])
async def test_bastion_goes_where_the_client_says(text: str) -> None:
    async with scripted(echo) as port, carrying(Bastion()) as made:
        client = await opened(made, to(text.format(port)))
        client.say(BytesMessage(b"hello"))
        await client.until(lambda: client.data == b"hello")


@pytest.mark.parametrize(
    "destinations",
    [
        *((), ("",), ("127.0.0.1",), ("127.0.0.1:0",), ("127.0.0.1:x",), (":22",), ("::1:22",), ("ssh://",)),
        *(("a:1", "b:2"), ("\xff:99999",), ("[:22",), ("http://[:22",)),
    ],
    ids=str,
)
async def test_bastion_without_a_place_to_go_to(destinations: tuple[str, ...]) -> None:
    async with carrying(Bastion()) as made:
        client = await opened(made, to(*destinations))
        assert client.status == 400


async def test_what_a_visitor_names_is_nobody_s_failure(unused_tcp_port: int) -> None:
    async with carrying(Bastion()) as made:
        for place in (f"127.0.0.1:{unused_tcp_port}", "x" * 70 + ".example:22", "a..b:22"):
            assert (await opened(made, to(place))).status == 502
        assert made.router.failures == 0


async def test_service_without_a_port() -> None:
    async with carrying(Tcp("127.0.0.1", 0, "ftp://127.0.0.1")) as made:
        client = await opened(made)
        assert client.status == 502
        assert "ftp://127.0.0.1" in client.exchange.error


def connect_to(port: int, host: bytes = b"\1\x7f\0\0\1") -> bytes:
    return b"\5\1\0" + host + port.to_bytes(2, "big")


def by_name(name: bytes) -> bytes:
    return b"\3" + bytes((len(name),)) + name


@pytest.mark.parametrize("host", [b"\1\x7f\0\0\1", by_name(b"localhost"), b"\4" + b"\0" * 10 + b"\xff\xff\x7f\0\0\1"])
async def test_socks(host: bytes) -> None:
    async with scripted(echo) as port, carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(GREETING))
        assert client.data == b"\5\0"
        client.say(BytesMessage(connect_to(port, host) + b"hel"))
        client.say(BytesMessage(b"lo"))
        whole = b"\5\0" + reply(0) + b"hello"
        await client.until(lambda: len(client.data) == len(whole))
        assert client.data == whole


async def test_socks_over_a_raw_tunnel() -> None:
    async with scripted(echo) as port, carrying(LOOPBACK) as made:
        client = Client()
        heard = bytearray()
        client.write = lambda data, **_: heard.extend(data)  # type: ignore[method-assign]
        client.exchange = made.exchanges.open(client, Request(Kind.TCP, b"", b"", b"a.example", ()))
        client.exchange.start(GREETING + connect_to(port) + b"hello")
        async with asyncio.timeout(PATIENCE):
            while heard != b"\5\0" + reply(0) + b"hello":
                await asyncio.sleep(0)


async def test_end_of_a_visitor_who_says_all_at_once_reaches_the_service() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard: " + await reader.read())

    async with scripted(serve) as port, carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(GREETING + connect_to(port) + b"x"))
        client.exchange.eof_received()
        await client.until(lambda: client.has_ended)
        assert client.data == b"\5\0" + reply(0) + b"heard: x"


@pytest.mark.parametrize("rules", [(), (IpRule("127.0.0.0/8", (1,), allow=True),), (IpRule("127.0.0.0/8"),)])
async def test_socks_goes_nowhere_that_no_rule_allows(rules: tuple[IpRule, ...]) -> None:
    reached = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()

    async with scripted(serve) as port, carrying(Socks(rules)) as made:
        for host in (b"\1\x7f\0\0\1", by_name(b"localhost"), b"\4" + b"\0" * 10 + b"\xff\xff\x7f\0\0\1"):
            client = await opened(made)
            client.say(BytesMessage(GREETING + connect_to(port, host)))
            await client.until(lambda: client.has_ended)  # noqa: B023 - within the round
            assert client.data == b"\5\0" + reply(2)
        assert not reached.is_set()


async def test_name_is_looked_up_once_and_judged_by_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it could mean something allowed when it is judged, and something else when it is dialled."""
    looked_up: list[str] = []

    async def resolved(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["192.0.2.1", "127.0.0.1"] if len(looked_up) == 1 else ["192.0.2.1"]

    monkeypatch.setattr("actors.exchange.services.resolved", resolved)
    async with scripted(echo) as port, carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(GREETING + connect_to(port, by_name(b"two.example")) + b"x"))
        await client.until(lambda: client.data.endswith(b"x"))
        assert looked_up == ["two.example"]


async def test_what_socks_cannot_reach_is_said_in_its_own_words(unused_tcp_port: int) -> None:
    async with carrying(LOOPBACK) as made:
        for request, code in ((connect_to(unused_tcp_port), 5), (connect_to(1, by_name(b"a..b")), 4)):
            client = await opened(made)
            client.say(BytesMessage(GREETING + request))
            await client.until(lambda: client.has_ended)  # noqa: B023 - within the round
            assert client.data == b"\5\0" + reply(code)
            assert client.close_code == 1000


async def test_visitor_who_leaves_while_socks_dials_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, ended = asyncio.Event(), asyncio.Event()

    async def resolved(host: str, port: int) -> list[str]:
        waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return []

    monkeypatch.setattr("actors.exchange.services.resolved", resolved)
    async with carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(GREETING + IPV4))
        async with asyncio.timeout(PATIENCE):
            await waits.wait()
            client.exchange.reset_received()
            await ended.wait()
        assert not made.exchanges


async def test_what_comes_while_socks_dials_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def resolved(host: str, port: int) -> list[str]:
        await go_on.wait()
        return await reach.resolved(host, port)

    monkeypatch.setattr("actors.exchange.services.resolved", resolved)
    async with scripted(echo) as port, carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(GREETING + connect_to(port)))
        before = client.credit
        client.say(BytesMessage(bytes(100_000)))
        assert client.credit == before, "there is no more credit than what is held"
        go_on.set()
        await client.until(lambda: len(client.data) == 2 + 10 + 100_000)
        assert client.credit > before + 100_000


async def test_nonsense_to_socks_ends_it() -> None:
    async with carrying(LOOPBACK) as made:
        client = await opened(made)
        client.say(BytesMessage(b"GET / HTTP/1.1\r\n\r\n"))
        assert (client.has_ended, client.data, client.close_code) == (True, b"", 1000)


async def test_address_is_its_own_and_what_is_no_name_has_none() -> None:
    assert await reach.resolved("::1", 1) == ["::1"]
    with pytest.raises(sockets.gaierror):
        await reach.resolved("x" * 64 + ".example", 1)
