"""Both edges over HTTP/2, before a client that is none of ours: golang.org/x/net's server, as the official one is."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit import foreign_edge
from tests.kit.processes import PATIENCE, Process, local_edge, running
from tests.kit.visitors import echoed_after_upgrade

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT),  # a first build takes its time
    pytest.mark.usefixtures("each_edge"),
]

LARGE = 5_000_000


class World:
    """An edge, a client that is registered at it over HTTP/2, and a visitor."""

    def __init__(self, edge: dict[str, str], process: Process, hostname: str) -> None:
        self.edge = edge
        self.process = process
        self.host = re.sub("^.*//", "", hostname)
        self.visitor = httpx.AsyncClient(base_url=edge["http"], headers={"Host": self.host}, timeout=PATIENCE)
        self.admin = httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE)

    async def order(self, what: str, **body: Any) -> dict[str, Any]:
        """An order to the one connection."""
        (connection,) = (await self.admin.get("/connections")).json()
        response = await self.admin.post(f"/connections/{connection['id']}/{what}", json=body)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def events(self) -> list[str]:
        return [entry["event"] for entry in (await self.admin.get("/log")).json()]

    async def noted(self, event: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while event not in await self.events():
                await asyncio.sleep(0.01)


@pytest.fixture
async def endpoints() -> AsyncIterator[dict[str, str]]:
    async with local_edge() as made:
        yield made


@contextlib.asynccontextmanager
async def client(foreign_program: Path, edge: dict[str, str]) -> AsyncIterator[Process]:
    arguments = ["client", "--api", edge["api"], "--edge", edge["tcp"], "--ca", edge["ca"]]
    async with running([foreign_program, *arguments]) as process:
        yield process


@pytest.fixture
async def world(foreign_program: Path, endpoints: dict[str, str]) -> AsyncIterator[World]:
    async with client(foreign_program, endpoints) as process:
        told = json.loads(await process.first_line())
        assert told["location"] == "lab01"
        made = World(endpoints, process, told["hostname"])
        async with made.visitor, made.admin:
            yield made


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"abc"


async def test_one_address_for_both_protocols(endpoints: dict[str, str]) -> None:
    assert endpoints["edge"] == endpoints["tcp"]


async def test_requests_of_all_kinds(world: World) -> None:
    for body in (b"", b"hello", bytes(LARGE)):
        response = await world.visitor.post("/echo", content=body)
        assert (response.status_code, response.content) == (200, body)
        assert response.headers["x-length"] == str(len(body))
        assert response.headers["x-host"] == world.host
    unknown = await world.visitor.post("/echo", content=_pieces(100))
    assert (unknown.content, unknown.headers["x-length"]) == (b"abc" * 100, "-1")
    assert (await world.visitor.get("/echo")).headers["x-length"] == "0", "the end comes with the head"
    assert len((await world.visitor.get("/large")).content) == 20_000_000
    assert (await world.visitor.get("/large-head")).headers["x-59"] == "x" * 1000
    assert (await world.visitor.get("/none")).status_code == 404
    assert (await world.visitor.get("/down")).status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        await world.visitor.get("/broken")
    assert (await world.visitor.post("/early", content=bytes(LARGE))).status_code == 413
    totals = (await world.admin.get("/totals")).json()
    assert totals["streams"] == 11
    assert totals["bytes_in"] >= LARGE


async def test_many_at_once(world: World) -> None:
    async def ask(number: int) -> None:
        body = bytes([number]) * 50_000
        assert (await world.visitor.post("/echo", content=body)).content == body

    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(ask(number))


async def test_visitor_who_does_not_read_stops_no_other(world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):  # 400 MB wait for them: more than all windows allow
            await stack.enter_async_context(world.visitor.stream("GET", "/large"))
        assert len((await world.visitor.get("/large")).content) == 20_000_000


async def test_web_socket(world: World) -> None:
    await echoed_after_upgrade(world.edge["http"], world.host)


async def test_orders(world: World) -> None:
    called = await world.order("call", method="updateConfiguration", params={"version": 7, "config": "7b7d"})
    assert called["result"]["latestAppliedVersion"] == 7
    assert "{}" in called["result"]["err"]
    request = {"dest": "https://x/echo", "metadata": [["HttpMethod", "POST"], ["HttpHost", "x"]], "body": "abc"}
    answered = await world.order("stream", **request)
    assert answered["ended"] == "fin"
    assert bytes.fromhex(answered["data"]).endswith(b"abc")
    fields = [[":method", "GET"], [":scheme", "https"], [":authority", "x"], [":path", "/echo"], ["X-Upper", "1"]]
    assert (await world.order("stream", fields=fields))["ended"] == "reset"
    waiting = await world.order("stream", dest="https://x/wait", timeout=0.1)
    assert waiting["ended"] == "open"
    assert (await world.visitor.get("/none")).status_code == 404, "the connection goes on"


async def test_client_that_leaves_is_let_go(world: World) -> None:
    assert await world.process.stop() == 0
    assert "unregistered" in await world.events()


async def test_refused_client_is_let_go(foreign_program: Path, endpoints: dict[str, str]) -> None:
    """It waits for the edge to close, and would for ever."""
    async with httpx.AsyncClient(base_url=endpoints["admin"]) as admin:
        await admin.post("/rules", json={"answer": "permanent", "cause": "not you"})
    async with client(foreign_program, endpoints) as process:
        assert await process.wait() == 0
        assert "not you" in process.stderr[0]


async def test_go_away_is_followed(world: World) -> None:
    await world.order("goaway", control="reset")
    assert (await world.visitor.get("/none")).status_code == 530
    assert await world.process.wait() == 0


async def test_network_that_drops_tcp(world: World) -> None:
    await world.admin.post("/network", json={"tcp": "silent"})
    host, port = world.edge["tcp"].split(":")
    with socket.create_connection((host, int(port))) as lost:
        lost.settimeout(0.2)
        lost.sendall(b"\x16")
        with pytest.raises(TimeoutError):
            lost.recv(1)
    asked = asyncio.get_running_loop().create_task(world.visitor.get("/none"))
    assert not (await asyncio.wait([asked], timeout=0.2))[0]
    await world.admin.post("/network", json={"tcp": "open"})
    assert (await asked).status_code == 404
    await world.admin.post("/network", json={"tcp": "refused"})
    assert await world.process.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    assert (await world.admin.post("/network", json={"tcp": "no such way"})).status_code == 400
    await world.admin.post("/network", json={"tcp": "open"})
    socket.create_connection((host, int(port))).close()


async def test_network_that_drops_udp(endpoints: dict[str, str]) -> None:
    """A datagram of an unknown version is answered, unless the network drops it."""
    host, port = endpoints["edge"].split(":")
    hello = bytes((0xC0, 0x1A, 0x2A, 0x3A, 0x4A, 8, *range(8), 8, *range(8))) + bytes(1200)
    async with httpx.AsyncClient(base_url=endpoints["admin"]) as admin:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.connect((host, int(port)))
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            await admin.post("/network", json={"udp": "silent"})
            ours.send(hello)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(ours, 2000), 0.2)
            await admin.post("/network", json={"udp": "open"})
            ours.send(hello)
            assert await asyncio.wait_for(loop.sock_recv(ours, 2000), PATIENCE)
        assert (await admin.post("/network", json={"udp": "refused"})).status_code == 400
