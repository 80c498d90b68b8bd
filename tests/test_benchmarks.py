"""What the benchmarks make of their figures. The figures themselves are no matter for a test."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from h2.stream import H2Stream

from actors.exchange.exchange import Exchange
from actors.exchange.request import Request
from actors.exchange.upload import Upload
from actors.ingress.match import Table
from actors.ingress.versions import Applied
from actors.quic_worker.connection import Stream
from benchmarks import __main__ as program
from benchmarks import clients, fairness, foreign, link, namespaces, report, request_path, rules, tables
from benchmarks.clients import Line
from benchmarks.link import FAR, MTU, NEAR
from benchmarks.tables import LINKS, Link, Row
from tests.kit import udp_proxy
from tests.kit.leftovers import none_of
from tests.kit.processes import PATIENCE
from tests.kit.udp_proxy import IP_AND_UDP_HEADERS, Direction


def test_table_has_medians_with_their_spread_and_says_which_are_void() -> None:
    rows = [Row("links", "requests", "ours", value, "/s", 0.2) for value in (100.0, 300.0, 200.0)]
    rows += [Row("links", "requests", "theirs", value, "/s", 0.9) for value in (7.0, 8.0, 9.0)]
    rows += [Row("links", "p50", "ours", 1.5, "ms")]
    text = report.markdown(rows)
    assert "links, 3 rounds:" in text
    assert "| requests | /s | 200 (100–300) | 8 (7–9, void) | 0.90 |" in text
    assert "| p50 | ms | 1.5 | – | – |" in text


def test_plots_are_the_same_for_the_same_rows(tmp_path: Path) -> None:
    rows = [Row("links", str(link), name, 1.0, "MB/s") for link in LINKS for name in ("bbr", "cubic")]
    report.plot(rows, tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {"links-20.svg", "links-100.svg"}
    report.plot(rows, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


@pytest.mark.parametrize("one_host", [False, True])
def test_request_that_is_routed_meets_the_last_rule(one_host: bool) -> None:
    applied, _ = rules.taken(Applied(), rules.configuration(20, one_host=one_host))
    assert Table(applied.routes.routes).find(b"one.example", rules.TARGET) == 20


@pytest.mark.parametrize("path", [request_path.whole_path, request_path.http2_path])
async def test_request_that_is_measured_without_sockets_is_served(
    path: Callable[[], tuple[Callable[[], None], Callable[[], int]]],
) -> None:
    one, ended = path()
    for count in range(1, 2 * request_path.TIMES):  # past the window that the edge begins with
        one()
        assert ended() == count


@pytest.mark.parametrize("which", ["plain", "inspected", "http2"])
async def test_request_that_is_over_leaves_nothing_to_the_collector(which: str) -> None:
    """What it would find every two thousand objects was used once, and is out of the processor's caches by then."""
    makers: dict[str, Callable[[], Callable[[], None]]] = {
        "plain": lambda: request_path.whole_path()[0],
        "inspected": request_path.inspected_path,
        "http2": lambda: request_path.http2_path()[0],
    }
    one = makers[which]()
    one()
    with none_of(Exchange, Stream, Upload, Request, H2Stream):
        for _ in range(request_path.TIMES):  # the last of them, if inspected, sends what the tap has gathered
            one()


def test_index_of_fairness_and_shares_are_told_of_each_pair() -> None:
    assert fairness.jain([0.5, 0.5]) == pytest.approx(1.0)
    assert fairness.jain([1.0, 0.0]) == pytest.approx(0.5)
    assert fairness.jain([0.0, 0.0]) == 1.0
    told = [(row.what, row.value) for row in fairness.rows(("ours", "CUBIC"), 0.05, (0.25, 0.75), 0.1)]
    assert told == [
        ("ours beside CUBIC, queue of 50 ms: ours", 25.0),
        ("ours beside CUBIC, queue of 50 ms: CUBIC", 75.0),
        ("ours beside CUBIC, queue of 50 ms: Jain's index", pytest.approx(0.8)),
    ]
    twice = [row.what for row in fairness.rows(("ours", "ours"), 0.05, (0.25, 0.75), 0.1)]
    assert len(set(twice)) == 3


# --- the link ---


def test_what_a_link_lacks_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if (always := namespaces.missing()) is not None:
        assert re.search("Linux|installed|root", always)
    monkeypatch.setattr(namespaces, "TUN", str(tmp_path / "tun"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert str(tmp_path / "tun") in (namespaces.missing() or "")
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nsenter" else f"/bin/{name}")
    assert "nsenter" in (namespaces.missing() or "")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in (namespaces.missing() or "")


def test_tables_over_a_link_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(namespaces, "missing", lambda: "there is no root")
    with pytest.raises(SystemExit):
        program.arguments(["--tables", "links", "loopback"])
    assert "links: there is no root; without links there are --tables loopback start" in capsys.readouterr().err
    assert program.arguments(["--tables", "loopback", "start"]).tables == ["loopback", "start"]


class Ends:
    """UDP sockets at both ends of a line."""

    def __init__(self, line: Line, stack: contextlib.ExitStack) -> None:
        self._line, self._stack = line, stack

    def far(self) -> socket.socket:
        """At the edges' end, where we are."""
        return self._bound(FAR)

    def near(self) -> socket.socket:
        """At the clients'."""
        with namespaces.away():
            namespaces.enter(self._line.network)
            return self._bound(NEAR)

    def _bound(self, host: str) -> socket.socket:
        made = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setblocking(False)
        made.bind((host, 0))
        return made


@contextlib.asynccontextmanager
async def line(link: Link, *, packets: int = 10_000, seed: int = 1) -> AsyncIterator[Ends]:
    """A link whose queue holds so many packets."""
    seconds = packets * MTU * 8 / (link.megabits * 1e6)
    with contextlib.ExitStack() as stack:
        async with tables.lined(link, seed, seconds) as made:
            yield Ends(made, stack)


async def received(at: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.get_running_loop().sock_recv(at, MTU)


def waiting(at: socket.socket) -> list[bytes]:
    """All that is there now."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(at.recv(MTU))
    return found


DATAGRAM = bytes(1250 - IP_AND_UDP_HEADERS)
"""Of 1250 bytes on the line: 50 ms of 0.2 Mbit/s."""

needs_a_link = pytest.mark.skipif((_missing := namespaces.missing()) is not None, reason=str(_missing))


@needs_a_link
@pytest.mark.slow
async def test_edges_of_one_link_share_its_queue() -> None:
    """0.2 Mbit/s, 50 ms each: what comes to the other address waits until all before it have left."""
    async with line(Link(0.2, 0, 0), packets=link.LEAST_QUEUE) as ends:
        first, second, client = ends.far(), ends.far(), ends.near()
        for _ in range(8):
            client.sendto(DATAGRAM, first.getsockname())
        await received(first)
        client.sendto(DATAGRAM, second.getsockname())
        await received(second)
        assert waiting(first) == [DATAGRAM] * 7


@needs_a_link
@pytest.mark.slow
async def test_link_has_its_rate_and_delay_both_ways() -> None:
    """While the answer to the first is on its way back, half a second, as many arrive as the line sends meanwhile: 20.

    With half of the delay, or twice the rate, they would be 10 or 40.
    """
    async with line(Link(0.4, 1000, 0)) as ends:
        for here, there in ((ends.near(), ends.far()), (ends.far(), ends.near())):
            for _ in range(60):
                here.sendto(DATAGRAM, there.getsockname())
            await received(there)
            there.sendto(b"answer", here.getsockname())
            assert await received(here) == b"answer"
            assert 13 <= len(waiting(there)) <= 33


@needs_a_link
@pytest.mark.slow
async def test_link_loses_what_chance_takes_and_what_its_queue_does_not_hold() -> None:
    async with line(Link(1000, 0, 20, "up"), seed=7) as ends:
        client, edge = ends.near(), ends.far()
        for here, there in ((client, edge), (edge, client)):
            for number in range(220):  # the last ones are there to show that all before them are through
                here.sendto(number.to_bytes(2), there.getsockname())
            came: list[int] = []
            while not came or came[-1] < 200:
                came.append(int.from_bytes(await received(there)))
            rule = udp_proxy.loss(0.2 if there is edge else 0.0, 7)
            spared = [number for number in range(200) if rule(Direction.UP, number, b"")]
            assert [number for number in came if number < 200] == spared
    async with line(Link(0.2, 0, 0), packets=20) as ends:
        client, edge = ends.near(), ends.far()
        for _ in range(200):
            client.sendto(DATAGRAM, edge.getsockname())
        client.sendto(b"last, and lost", edge.getsockname())
        for _ in range(20):
            assert await received(edge) == DATAGRAM
        client.sendto(b"after it", edge.getsockname())
        while (came_then := await received(edge)) == DATAGRAM:  # as many as left while the others were sent
            pass
        assert came_then == b"after it"


@needs_a_link
@pytest.mark.slow
async def test_nothing_is_left_of_a_link() -> None:
    """It is another network with every link, and we are back in ours, even if what was done there failed."""
    ours = os.readlink("/proc/thread-self/ns/net")
    with pytest.raises(foreign.Failed, match="at the far end"):
        async with clients.line(*tables.words(Link(1, 0, 0), 1, 0.1)) as made:
            processes = psutil.Process().children(recursive=True)
            networks = {os.readlink(f"/proc/{process.pid}/ns/net") for process in processes}
            assert os.readlink(made.network) in networks
            assert ours not in networks | {os.readlink("/proc/thread-self/ns/net")}
            raise foreign.Failed("at the far end")
    assert os.readlink("/proc/thread-self/ns/net") == ours
    assert not [process for process in processes if process.is_running()]
