"""UDP that is blocked, and works again; an edge that wants a connection to end (row N4 of docs/survival.md)."""

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, Process, local_edge, python, running, supervisor
from tests.kit.tunnel import Tunnel

pytestmark = [pytest.mark.slow, pytest.mark.local_edge_only("it is told to drop datagrams"), pytest.mark.row("N4")]

TWO_OVER_HTTP2 = ("--connections", 2, "--protocol", "http2")

SOONER = """
import sys
if any("actors.supervisor" in word for word in sys.orig_argv):
    from actors.supervisor import protocols
    protocols.RETURN_PAUSES = (0.5,)
"""
"""A sitecustomize.py by which the way back to QUIC is tried soon and often."""


@contextlib.asynccontextmanager
async def begun(
    state: Path, *arguments: str | int, udp: str = "silent", sooner: Path | None = None, port: int | None = None
) -> AsyncIterator[tuple[Process, Tunnel]]:
    """A supervisor that has begun before an edge to which UDP passes, or does not; and the tunnel that will be."""
    env = {}
    if sooner is not None:
        (sooner / "sitecustomize.py").write_text(SOONER)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(sooner), os.environ.get("PYTHONPATH"))))
    what = ["--hello-world"] if port is None else ["--port", port]
    async with local_edge() as edge:
        async with httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE) as admin:
            await admin.post("/network", json={"udp": udp})
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"], "--json"]
        async with supervisor(*what, *reach, *arguments, state=state, env=env) as process:
            url = (await process.event("assigned"))["url"]
            made = Tunnel(process, edge, url, state)
            async with made.visitor, made.admin:
                yield process, made


async def network(made: Tunnel, **how: str) -> None:
    assert (await made.admin.post("/network", json=how)).status_code == 200


def changes(process: Process) -> list[tuple[str, str]]:
    return [(event["from"], event["to"]) for event in process.events() if event["type"] == "protocol_changed"]


async def printed(tool: str, state: Path) -> list[str]:
    async with running(python(f"actors.tools.{tool}", "--state-dir", state)) as asked:
        assert await asked.wait() == 0
        return list(asked.stdout)


class Visitor:
    """Somebody who asks all the time."""

    def __init__(self, made: Tunnel) -> None:
        self._made = made
        self._over = asyncio.Event()
        self.answers: Counter[int] = Counter()

    async def _ask(self) -> None:
        while not self._over.is_set():
            self.answers[(await self._made.visitor.get("/uptime")).status_code] += 1

    @contextlib.asynccontextmanager
    async def asking(self, at_once: int = 4) -> AsyncIterator["Visitor"]:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(self._ask())
            try:
                yield self
            finally:
                self._over.set()

    async def until(self, count: int) -> None:
        """Wait until so many more were answered."""
        goal = self.answers.total() + count
        while self.answers.total() < goal:
            await asyncio.sleep(0.01)


async def test_network_without_udp_is_served_over_http2_and_everybody_says_so(state: Path) -> None:
    async with begun(state, "--connections", 2) as (process, made):
        first = await process.event("registered", protocol="http2")
        assert (await made.visitor.get("/uptime")).status_code == 200
        (dialed, *_) = [event for event in process.events() if event["type"] == "connection_ended"]
        assert (dialed["reason"], dialed["failures"], dialed["retry_in"]) == ("dial_failed", 0, 0.0)
        changed = await process.event("protocol_changed", slot=first["slot"])
        assert (changed["from"], changed["to"]) == ("quic", "http2")
        assert changed["cause"] == dialed["message"] != ""
        await process.event("registered", slot=1, protocol="http2")
        assert not [event for event in process.events() if event["type"] == "connecting" and event["slot"] == 1][1:]
        await process.event("stats", protocols=["http2"])
        assert json.loads((state / "tunnel.json").read_text())["protocols"] == ["http2"]
        assert any("over HTTP/2" in line for line in await printed("status", state))
        assert any('protocol="http2"' in line for line in await printed("metrics", state))
        assert await process.stop() == 0


async def test_quic_comes_back_one_by_one_and_no_request_fails(state: Path, tmp_path: Path) -> None:
    async with begun(state, "--connections", 2, sooner=tmp_path) as (process, made):
        for slot in (0, 1):
            await process.event("registered", slot=slot, protocol="http2")
        async with Visitor(made).asking() as visitor:
            await visitor.until(200)
            await network(made, udp="open")
            for slot in (0, 1):
                await process.event("registered", slot=slot, protocol="quic")
            await visitor.until(200)
        assert set(visitor.answers) == {200}
        told = process.events()
        begun_at = next(number for number, event in enumerate(told) if event.get("connections") == 2)
        assert all(event["connections"] == 2 for event in told[begun_at:] if event["type"] == "stats")
        assert changes(process)[-2:] == [("http2", "quic")] * 2
        await process.event("stats", protocols=["quic"], reconnects=0)
        assert await process.stop() == 0
        stopped = await process.event("stopped")
        assert stopped["totals"]["streams"] == visitor.answers.total(), "both workers of a slot are counted"


async def test_udp_that_goes_away_costs_a_reconnect_and_not_the_tunnel(state: Path) -> None:
    async with begun(state, "--connections", 1, udp="open") as (process, made):
        await process.event("registered", protocol="quic")
        await network(made, udp="silent")
        await process.event("connection_ended", reason="connection_lost")
        await process.event("registered", protocol="http2")
        assert (await made.visitor.get("/uptime")).status_code == 200
        assert changes(process) == [("quic", "http2")]
        assert await process.stop() == 0


@pytest.mark.parametrize("control", ["", "fin"])
async def test_edge_that_wants_a_connection_to_end_gets_its_successor_first(state: Path, control: str) -> None:
    """A download that runs on the old one comes to its end, and visitors notice nothing."""
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/slow" not in await read_head(reader):
            writer.write(answer(b"quick"))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await go_on.wait()
        writer.write(b"half")

    async with scripted(serve) as port, begun(state, *TWO_OVER_HTTP2, udp="open", port=port) as (process, made):
        for slot in (0, 1):
            await process.event("registered", slot=slot, protocol="http2")
        async with made.visitor.stream("GET", "/slow") as slow, Visitor(made).asking() as visitor:
            await visitor.until(20)
            for connection in await made.connections():  # the download runs on one of the two
                options = {"reason": "moving", "control": control}
                await made.admin.post(f"/connections/{connection['id']}/goaway", json=options)
                await process.event("registered", slot=connection["index"], generation=2)
            await visitor.until(50)
            go_on.set()
            assert await slow.aread() == b"halfhalf"
        assert set(visitor.answers) == {200}
        assert await process.stop() == 0
        assert not [event for event in process.events() if event["type"] == "connection_ended"]
