"""The edge that others wrote: its own tests, and whole tunnels through it (other suites: `--edge foreign`)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit import foreign_edge
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import local_edge, running
from tests.kit.tunnel import Tunnel, tunnel
from tests.kit.visitors import echoed_after_upgrade

pytestmark = [pytest.mark.slow, pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT)]  # a first build takes its time


@pytest.fixture(autouse=True)
def foreign(foreign_program: Path) -> Iterator[None]:
    """Whatever the tests around were told: here it is the foreign edge."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(foreign_edge.VARIABLE, str(foreign_program))
        yield


@pytest.fixture
async def origin(foreign_program: Path, state: Path) -> AsyncIterator[Tunnel]:
    """A tunnel to the origin that is written in Go."""
    async with running([foreign_program, "origin"]) as process:
        port = httpx.URL(json.loads(await process.first_line())["http"]).port
        async with tunnel(port, state) as made:
            yield made


def test_its_own_tests_pass() -> None:
    """Its codec reads and writes the bytes of real peers."""
    foreign_edge.go("vet", "./...")
    foreign_edge.go("test", "./...")


async def test_nothing_registered_is_530() -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        response = await client.post(edge["http"], content=b"x" * 100_000)
        assert response.status_code == 530
        assert "1033" in response.text


async def test_port_that_is_taken_is_explained() -> None:
    async with local_edge() as edge:
        taken = edge["http"].removeprefix("http://")
        async with running(foreign_edge.edge_command("--http", taken)) as process:
            assert await process.wait() == 10
            assert taken in process.stderr[0]


async def test_requests_go_through_it(origin: Tunnel) -> None:
    assert (await origin.visitor.get("/small")).content == b"x" * 128
    assert len((await origin.visitor.get("/down/3000000")).content) == 3_000_000
    assert (await origin.visitor.post("/up", content=bytes(3_000_000))).status_code == 200
    echoed = await origin.visitor.post("/echo", content=_pieces())
    assert echoed.content == b"abc" * 1000
    totals = await origin.totals()
    assert (totals["streams"], totals["bytes_in"]) == (4, 3_003_000)
    counters = (await origin.admin.get("/counters")).json()
    (connection,) = counters["connections"]
    assert connection["packets_out"] >= counters["datagrams_out"] > 0  # a train of segments is one datagram
    assert connection["bytes_in"] > 3_003_000


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(1000):
        yield b"abc"


async def test_load_counts_what_it_did(foreign_program: Path, origin: Tunnel) -> None:
    """The load generator, through a tunnel, to the origin of the benchmarks."""
    command = [str(foreign_program), "load", "--host", origin.host, "--count", "300", "--at-once", "16"]
    for path, body, received, sent in (("/small", 0, 300 * 128, 0), ("/up", 10_000, 300 * 128, 3_000_000)):
        async with running([*command, "--url", origin.edge["http"] + path, "--send", str(body)]) as load:
            told = json.loads(await load.first_line())
        assert (told["count"], told["failures"]) == (300, 0)
        assert (told["bytes_in"], told["bytes_out"]) == (received, sent)
        assert 0 < told["p50"] <= told["p99"]


async def test_failures_of_a_load_are_counted(foreign_program: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"no", "503 Service Unavailable"))

    async with scripted(serve) as port:
        command: list[str | Path] = [foreign_program, "load", "--count", "5", "--url", f"http://127.0.0.1:{port}/"]
        async with running(command) as load:
            told = json.loads(await load.first_line())
    assert (told["count"], told["failures"]) == (0, 5)
    assert "503" in told["failure"]


async def test_web_sockets(origin: Tunnel) -> None:
    """Raw bytes both ways after an upgrade, and the end of each direction."""
    await echoed_after_upgrade(origin.edge["http"], origin.host)
