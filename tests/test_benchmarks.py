"""What the benchmarks make of their figures. The figures themselves are no matter for a test."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from actors.ingress.match import Table
from actors.ingress.versions import Applied
from benchmarks import fairness, report, request_path, rules
from benchmarks.clients import child
from benchmarks.tables import LINKS, Row
from tests.kit.processes import PATIENCE
from tests.kit.udp_proxy import address_of, joined


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


async def test_request_that_is_measured_without_sockets_is_served() -> None:
    one, ended = request_path.whole_path()
    for count in (1, 2):
        one()
        assert ended() == count


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


@pytest.mark.slow
async def test_edges_of_one_relay_share_its_queue() -> None:
    """0.2 Mbit/s, 50 ms each: what comes to the other address waits until all before it have left."""
    with contextlib.ExitStack() as stack:
        first, second, client = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3)
        )
        for edge in (first, second):
            edge.bind(("127.0.0.1", 0))
            edge.settimeout(PATIENCE)
        async with child("benchmarks.relay", 0.2, 0.0, 0.0, "both", 1, 0.0) as relay:
            ways = [address_of(await relay.tell(joined(edge.getsockname()))) for edge in (first, second)]
            for _ in range(8):
                client.sendto(bytes(1250), ways[0])
            await asyncio.to_thread(first.recv, 2000)
            client.sendto(bytes(1250), ways[1])
            await asyncio.to_thread(second.recv, 2000)
            first.setblocking(False)
            assert [len(first.recv(2000)) for _ in range(7)] == [1250] * 7
            assert float(await relay.finish()) >= 0.0
