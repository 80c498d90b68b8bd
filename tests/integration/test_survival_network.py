"""Links that lose, spoil, delay and swallow, and edges that go (rows E1 to E3, N1 and N2 of docs/survival.md)."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from aioquic.quic.packet import QuicProtocolVersion, encode_quic_version_negotiation

from actors.quic_worker.ends import WorkerEnd
from actors.quic_worker.engines.path_mtu import BASE_BYTES, CANDIDATES, MAX_PROBES
from actors.supervisor.restart import BACKOFF, MIN_JITTER
from tests.kit import udp_proxy
from tests.kit.invariants import trial
from tests.kit.origins import BLOCK, pattern_hash, uvicorn_origin
from tests.kit.processes import PATIENCE, local_edge, supervisor
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.tunnel import Tunnel
from tests.kit.udp_proxy import Blackhole, Direction, Rule, UdpProxy, address_of, joined

pytestmark = pytest.mark.slow

LONG = 10_000_000
"""Bytes of a body in the middle of which something happens."""

MIDDLE = LONG // 4
"""Bytes that have passed when it does: far from both ends, whatever is on its way."""

LINK_RATE = 80e6
"""Bits a second: a long body takes a second at least, so that its middle cannot be missed."""

LINK_QUEUE = 100
"""Datagrams."""

SHORT = 1_000_000

UNKNOWN_VERSION = 0x1A2A3A4A
"""One of those that are reserved for nobody (RFC 9000 section 15)."""


async def download(made: Tunnel, size: int) -> None:
    """One body from the origin, checked to the last byte."""
    response = await made.visitor.get(f"/down/{size}", timeout=4 * PATIENCE)
    assert (response.status_code, len(response.content)) == (200, size)
    assert hashlib.sha256(response.content).hexdigest() == pattern_hash(size)


async def upload(made: Tunnel, size: int) -> None:
    """One body to the origin, which says what it got."""
    body = (BLOCK * (size // len(BLOCK) + 1))[:size]
    response = await made.visitor.post("/up", content=body, timeout=4 * PATIENCE)
    assert response.json() == {"size": size, "sha256": pattern_hash(size)}


async def registrations(made: Tunnel) -> int:
    """How many the edge has taken: more than connections means that one was lost."""
    return sum(entry["event"] == "registered" for entry in await made.log())


def slow_link(*more: Rule) -> UdpProxy:
    return UdpProxy(udp_proxy.chain(udp_proxy.rate_limit(LINK_RATE, LINK_QUEUE), *more))


@contextlib.asynccontextmanager
async def in_the_middle(made: Tunnel, link: UdpProxy) -> AsyncIterator[None]:
    """The block runs in the middle of a long download, which must come through whole, on the same connection."""
    async with asyncio.TaskGroup() as tasks:
        body = tasks.create_task(download(made, LONG))
        await link.relayed(Direction.UP, MIDDLE)
        assert not body.done()
        yield
        assert not body.done(), "it was over before the fault was"
    assert await registrations(made) == 1
    assert not [event for event in made.process.events() if event["type"] == "connection_ended"]


# --- the edge ---


async def live_through_an_outage(state: Path, seconds: float) -> None:
    """Nothing passes, either way, in the middle of bodies."""
    hole = Blackhole()
    link = slow_link(hole)
    async with uvicorn_origin() as port, trial(port, state, link=link) as made, in_the_middle(made, link):
        hole.is_on = True
        await asyncio.sleep(seconds)  # the fault itself
        hole.is_on = False


@pytest.mark.row("E1")
async def test_edge_that_is_silent_for_a_moment(state: Path) -> None:
    await live_through_an_outage(state, 2.0)


@pytest.mark.row("E2")
async def test_edge_that_is_silent_for_long(state: Path) -> None:
    """Nothing for too long, a try at once, then tries with longer and longer waits, until the way is back."""
    hole = Blackhole()
    link = UdpProxy(hole)
    async with trial(None, state, "--max-reconnect-attempts", 0, link=link) as made:

        def states() -> list[tuple[str, bool]]:
            events = [event for event in made.process.events() if event["type"] == "state"]
            return [(event["state"], event["serves"]) for event in events]

        hole.is_on = True
        lost = await made.process.event("connection_ended", seq=1)
        assert (lost["reason"], lost["was_registered"]) == (WorkerEnd.CONNECTION_LOST, True)
        await made.process.event("connection_ended", seq=3)
        hole.is_on = False
        await made.process.event("registered", seq=2)
        await made.process.until(lambda: states()[-1] == ("registered", True))
        ended = [event for event in made.process.events() if event["type"] == "connection_ended"]
        assert {event["reason"] for event in ended[1:]} == {WorkerEnd.DIAL_FAILED}
        waits = [event["retry_in"] for event in ended]
        assert waits[0] == 0.0, "the first try after a healthy life is made at once"
        for wait, longest in zip(waits[1:], BACKOFF, strict=False):
            assert MIN_JITTER * longest <= wait <= longest
        assert states()[-3:] == [("registered", True), ("down", False), ("registered", True)]
        assert (await made.visitor.get("/uptime")).status_code == 200


@contextlib.asynccontextmanager
async def another_edge(made: Tunnel, link: UdpProxy) -> AsyncIterator[dict[str, str]]:
    """The edge is gone with all that it knew, and another one, that clients trust, has its address."""
    async with local_edge() as other:
        Path(made.edge["ca"]).write_bytes(Path(other["ca"]).read_bytes())
        link.upstream = address_of(other["edge"])
        yield other


@pytest.mark.row("E3")
async def test_edge_that_has_forgotten_the_tunnel_ends_it(state: Path) -> None:
    """The tunnel was registered and is refused for good: nothing can mend it but another tunnel."""
    link = UdpProxy()
    async with trial(None, state, link=link) as made, another_edge(made, link):
        refused = await made.process.event("connection_refused")
        assert refused["cause"] == "no such tunnel"
        gone = await made.process.event("permanent_failure")
        assert gone["reason"] == "refused"
        assert "refused by the edge" in gone["message"]
        assert await made.process.wait() == 7
        assert made.process.events()[-1]["exit_code"] == 7


@pytest.mark.row("E3")
@pytest.mark.quic_only("the link to the edge carries UDP")
async def test_edge_that_has_forgotten_the_tunnel_is_asked_for_another(state: Path, tmp_path: Path) -> None:
    """With `--renew`. The API is the other edge's by then, too."""
    async with (
        local_edge() as first,
        local_edge() as second,
        TcpProxy(address_of(first["api"])[1]) as api,
        UdpProxy(upstream=address_of(first["edge"])) as link,
    ):
        trusted = tmp_path / "both.pem"
        trusted.write_bytes(Path(first["ca"]).read_bytes() + Path(second["ca"]).read_bytes())
        reach = ["--service-url", f"http://127.0.0.1:{api.port}", "--edge", joined(link.address), "--connections", "1"]
        command = ["--hello-world", "--json", "--renew", *reach]
        async with supervisor(*command, "--edge-ca", trusted, state=state) as process:
            before = await process.event("registered")
            api.upstream, link.upstream = address_of(second["api"])[1], address_of(second["edge"])
            process.actors("worker")[0].kill()  # the test above waits until it notices by itself
            changed = await process.event("url_changed")
            assert (changed["previous_url"], changed["cause"]) == (before["url"], "no such tunnel")
            again = await process.event("registered", url=changed["url"])
            assert again["tunnel_id"] != before["tunnel_id"]
            async with httpx.AsyncClient(base_url=second["http"], timeout=PATIENCE) as visitor:
                assert (await visitor.get("/uptime")).status_code == 200
            assert await process.stop() == 0


@pytest.mark.row("E3")
async def test_port_that_is_unreachable_for_a_moment_is_no_end(state: Path) -> None:
    """Anybody can forge ICMP: it must not kill a connection that lives."""
    link = slow_link()
    async with uvicorn_origin() as port, trial(port, state, link=link) as made, in_the_middle(made, link):
        link.close_front()
        await asyncio.sleep(0.5)  # the fault itself
        link.open_front()


def forged_negotiation(versions: list[int]) -> Rule:
    """In front of the edge's first datagram comes a Version Negotiation that anybody on the way could have made."""
    forged: list[bytes] = []

    def rule(direction: Direction, index: int, data: bytes) -> udp_proxy.Fates:
        if direction is Direction.UP and not forged:
            to, after = data[6 : 6 + data[5]], data[6 + data[5] :]
            back = after[1 : 1 + after[0]]
            packet = encode_quic_version_negotiation(source_cid=to, destination_cid=back, supported_versions=versions)
            forged.append(packet)
        elif direction is Direction.DOWN and forged and forged[0]:
            packet, forged[0] = forged[0], b""
            return [(0.0, packet), (0.0, data)]
        return [(0.0, data)]

    return rule


@pytest.mark.row("E3")
@pytest.mark.parametrize(
    ("versions", "failures"),
    [([UNKNOWN_VERSION, QuicProtocolVersion.VERSION_1], 0), ([UNKNOWN_VERSION], 1)],
    ids=["with-ours", "without-ours"],
)
async def test_forged_version_negotiation(state: Path, versions: list[int], failures: int, quic_engine: str) -> None:
    """One that names the version that was asked for is to be ignored (RFC 9000 section 6.2); else we dial again.

    picoquic waits for what else comes, and goes on with the true answer.
    """
    async with trial(None, state, link=UdpProxy(forged_negotiation(versions))) as made:
        assert (await made.visitor.get("/uptime")).status_code == 200
        assert await registrations(made) == 1
        ends = [event["reason"] for event in made.process.events() if event["type"] == "connection_ended"]
        assert ends == [WorkerEnd.DIAL_FAILED] * (failures if quic_engine == "aioquic" else 0)


# --- links ---


LINKS: dict[str, Callable[[], Rule]] = {
    "loss 2 %": lambda: udp_proxy.loss(0.02),
    "corruption 2 %": lambda: udp_proxy.corruption(0.02),
    "duplication 10 %": lambda: udp_proxy.duplication(0.1),
    "reordering 25 %": lambda: udp_proxy.reorder(0.25),
    "10 Mbit/s, queue of 25": lambda: udp_proxy.rate_limit(10e6, queue=25),
    "MTU 1280": lambda: udp_proxy.mtu(1280),
}


@pytest.mark.row("N1")
@pytest.mark.parametrize("name", LINKS)
async def test_bad_link(state: Path, name: str) -> None:
    link = UdpProxy(LINKS[name]())
    async with uvicorn_origin() as port, trial(port, state, link=link) as made:
        async with asyncio.TaskGroup() as bodies:
            bodies.create_task(download(made, SHORT))
            bodies.create_task(upload(made, SHORT))
        assert await registrations(made) == 1
        dropped = sum(counters.dropped for counters in link.counters.values())
        if name == "MTU 1280":
            # The client and the edge search for what fits, each with so many datagrams at most.
            assert dropped <= 2 * len(CANDIDATES) * MAX_PROBES, "larger datagrams than fit carried more than probes"


@pytest.mark.row("N1")
@pytest.mark.parametrize("size", [1280, 1400, 1500])
async def test_datagrams_become_as_large_as_the_path_takes(state: Path, size: int, quic_engine: str) -> None:
    """On Ethernet, through a tunnel of another kind, and on the smallest path that IPv6 allows."""
    fits = size - udp_proxy.IP_AND_UDP_HEADERS
    largest = 0

    def measured(direction: Direction, index: int, data: bytes) -> udp_proxy.Fates:
        nonlocal largest
        if direction is Direction.UP:
            largest = max(largest, len(data) if len(data) <= fits else 0)
        return [(0.0, data)]

    link = UdpProxy(udp_proxy.chain(measured, udp_proxy.mtu(size)))
    candidates = [BASE_BYTES, *CANDIDATES] if quic_engine == "aioquic" else [1200]
    expected = max(candidate for candidate in candidates if candidate <= fits)
    async with uvicorn_origin() as port, trial(port, state, link=link) as made, asyncio.timeout(PATIENCE):
        while largest < expected:  # a loss is seen by what arrives after it: each size takes a few round trips
            await download(made, SHORT)


@pytest.mark.row("N1")
@pytest.mark.parametrize("milliseconds", [10, 40, 100, 250])
async def test_uploads_on_a_long_link(state: Path, milliseconds: int) -> None:
    """What a worker acknowledges must not silence it: the second upload, and a page after it, find it as it was."""
    link = UdpProxy(udp_proxy.chain(udp_proxy.rate_limit(20e6, queue=200), udp_proxy.delay(milliseconds / 2000)))
    async with uvicorn_origin() as port, trial(port, state, link=link) as made:
        for _ in range(2):
            await upload(made, LONG // 2)
        await download(made, SHORT)
        assert await registrations(made) == 1


@pytest.mark.row("N1")
async def test_link_by_satellite(state: Path) -> None:
    """750 ms for a round trip."""
    link = UdpProxy(udp_proxy.delay(0.375))
    async with uvicorn_origin() as port, trial(port, state, "--timeout", 60, link=link) as made:
        async with asyncio.TaskGroup() as bodies:
            bodies.create_task(download(made, len(BLOCK)))
            bodies.create_task(upload(made, len(BLOCK)))
        assert await registrations(made) == 1


@pytest.mark.row("N1")
async def test_handshakes_through_bursts_of_loss(tmp_path: Path, rounds: int) -> None:
    for number in range(rounds):
        link = UdpProxy(udp_proxy.burst_loss(0.3, seed=number))
        async with trial(None, tmp_path / str(number), "--timeout", 60, link=link) as made:
            link.rule = udp_proxy.passes
            assert (await made.visitor.get("/uptime")).status_code == 200
            assert await registrations(made) == 1


@pytest.mark.row("N2")
async def test_another_source_port_in_the_middle(state: Path) -> None:
    """A NAT forgets its mapping, twice."""
    link = slow_link()
    async with uvicorn_origin() as port, trial(port, state, link=link) as made, in_the_middle(made, link):
        for _ in range(2):
            before = link.upstream_ports()
            link.switch_upstream_socket()
            assert link.upstream_ports() != before
            await link.relayed(Direction.UP, MIDDLE)


@pytest.mark.row("N2")
async def test_link_that_is_down_for_a_moment(state: Path) -> None:
    await live_through_an_outage(state, 3.0)
