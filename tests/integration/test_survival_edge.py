"""What the edge does to a tunnel, and what is said of it meanwhile (rows E4 and G1 of docs/survival.md)."""

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from actors.url_file import read_url_file
from tests.kit.invariants import trial
from tests.kit.origins import answer, closing, read_head, scripted
from tests.kit.processes import PATIENCE, Process, python, running
from tests.kit.tunnel import Tunnel

pytestmark = pytest.mark.slow


async def status(state: Path) -> tuple[int, dict[str, Any]]:
    """What `tunnel-status` says: its exit code and its JSON."""
    async with running(python("actors.tools.status", "--state-dir", state, "--json")) as process:
        code = await process.wait()
        return code, json.loads(process.stdout[0])


def states(process: Process) -> list[str]:
    """The states so far, each when it began."""
    said = [event["state"] for event in process.events() if event["type"] == "state"]
    return [state for index, state in enumerate(said) if not index or said[index - 1] != state]


async def drop_tunnel(made: Tunnel) -> None:
    """The service reaps the tunnel."""
    ((identifier, _),) = {(entry["tunnel"], entry["hostname"]) for entry in await made.connections()}
    assert (await made.admin.delete(f"/tunnels/{identifier}")).status_code == 200


# --- a tunnel that the service drops ---


@pytest.mark.row("E4")
async def test_tunnel_that_the_service_drops_ends_refused_by_the_edge(state: Path) -> None:
    async with trial(None, state, connections=2) as made:
        await drop_tunnel(made)
        gave_up = await made.process.event("permanent_failure")
        assert gave_up["reason"] == "refused"
        assert "refused by the edge" in gave_up["message"]
        assert "no such tunnel" in gave_up["message"], "in the edge's own words"
        assert await made.process.wait() == 7
        assert not (state / "tunnel.url").exists()


@pytest.mark.row("E4")
async def test_with_renew_another_tunnel_takes_its_place(state: Path) -> None:
    async with trial(None, state, "--renew", connections=2, lost=True) as made:
        assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200
        await drop_tunnel(made)
        changed = await made.process.event("url_changed")
        assert changed["previous_url"] == made.url
        assert changed["url"] != made.url
        again = await made.process.event("registered", url=changed["url"], connections=2)
        assert again["tunnel_id"] == changed["tunnel_id"]
        serving = await made.process.event("state", url=changed["url"], serves=True)
        assert serving["state"] == "registered"
        assert read_url_file(state / "tunnel.url") == changed["url"]
        assert (await made.visitor.get("/uptime")).status_code == 200
        stopped = await made.process.stop()
        assert stopped == 0
        last = made.process.events()[-1]
        assert (last["tunnel_id"], last["totals"]["streams"]) == (changed["tunnel_id"], 1), "counted by tunnel"
        assert [line for line in made.process.stdout if "permanent_failure" in line] == []


@pytest.mark.row("E4")
async def test_registration_that_is_never_answered_is_tried_again(state: Path) -> None:
    async with trial(None, state, lost=True) as made:
        await made.admin.post("/rules", json={"answer": "silence"})
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={})
        failed = await made.process.event("connection_ended", reason="registration_failed")
        assert "did not answer" in failed["message"]
        await made.process.event("registered", seq=2)


# --- what is said of it ---


async def test_states_are_told_as_events_in_the_file_and_by_tunnel_status(state: Path) -> None:
    assert (await status(state))[0] == 3, "nothing runs yet"
    async with trial(None, state, "--max-reconnect-attempts", 0, connections=2, lost=True) as made:
        code, told = await status(state)
        assert (code, told["status"], told["state"]["state"]) == (0, "serves", "registered")
        assert told["stats"]["connections"] == 2
        await made.admin.post("/rules", json={"answer": "retry", "times": 99})
        second = next(entry for entry in await made.connections() if entry["index"] == 1)
        await made.admin.post(f"/connections/{second['id']}/drop", json={})
        await made.process.event("state", state="degraded")
        code, told = await status(state)
        assert (code, told["stats"]["state"], told["stats"]["connections"]) == (0, "degraded", 1)
        first = next(entry for entry in await made.connections() if entry["index"] == 0)
        await made.admin.post(f"/connections/{first['id']}/drop", json={})
        await made.process.event("state", state="down", serves=False)
        assert json.loads((state / "tunnel.json").read_text())["state"] == "down"
        assert (await status(state))[0] == 1
        await made.admin.delete("/rules")
        await made.process.until(lambda: states(made.process)[-1] == "registered")
        made.process.process.send_signal(signal.SIGSTOP)
        code, told = await status(state)
        made.process.process.send_signal(signal.SIGCONT)
        assert (code, told["status"]) == (4, "silent")
    assert (await status(state))[0] == 3
    assert states(made.process)[:2] == ["assigned", "registered"]
    assert states(made.process)[-1] == "stopping"


async def test_origin_that_goes_and_comes_is_said(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"here", Connection="close"))
        writer.close()

    server = await asyncio.start_server(closing(serve), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with trial(port, state) as made:
        assert (await made.visitor.get("/")).text == "here"
        server.close()
        response = await made.visitor.post("/")
        assert response.status_code == 502
        assert str(port) in response.text
        unreachable = await made.process.event("origin_unreachable")
        assert f"nothing answers on localhost:{port}" in unreachable["message"]
        stats = await made.process.event("stats", origin_reachable=False)
        assert (stats["state"], stats["serves"]) == ("registered", True), "the tunnel is up all the same"
        assert not json.loads((state / "tunnel.json").read_text())["origin_reachable"]
        server = await asyncio.start_server(closing(serve), "127.0.0.1", port)
        await made.process.event("origin_reachable")
        assert (await made.visitor.get("/")).text == "here"
        server.close()


async def test_probe_reaches_the_origin_by_the_public_url(state: Path) -> None:
    seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await read_head(reader)).startswith(b"HEAD / "):
            seen.set()
        writer.write(answer(b"", Connection="close"))
        writer.close()

    async with scripted(serve) as port, trial(port, state, "--probe") as made:
        async with asyncio.timeout(PATIENCE):
            await seen.wait()
        assert not [event for event in made.process.events() if event["type"] == "unreachable"]


async def test_service_manager_is_told(state: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Manager(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: object) -> None:
            said.append(data.decode())

    loop = asyncio.get_running_loop()
    path = str(tmp_path / "notify")
    listener, _ = await loop.create_datagram_endpoint(Manager, local_addr=path, family=socket.AF_UNIX)
    try:
        env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}
        async with trial(None, state, env=env) as made:
            await made.process.until(lambda: said.count("WATCHDOG=1") >= 2)
            (metrics,) = made.process.actors("metrics")
            metrics.suspend()
            await made.process.event("actor_restarted")
    finally:
        listener.close()
    assert said.count("READY=1") == 1
    assert f"STATUS={made.url} (1 of 1 connections)" in said
    assert said.index("STATUS=connecting to the edge (0 of 1 connections)") < said.index("READY=1")
    assert said.index("READY=1") < said.index("WATCHDOG=1")
    assert said.index("WATCHDOG=1") < said.index("STOPPING=1")


# --- the stop ---


@pytest.mark.row("G1")
async def test_fifty_bodies_in_flight_are_all_completed(state: Path) -> None:
    half = b"a" * 8192
    begun, go_on, count = asyncio.Event(), asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + half)
        count += 1
        if count == 50:
            begun.set()
        await go_on.wait()
        writer.write(half)

    async with scripted(serve) as port, trial(port, state, connections=2) as made:
        async with asyncio.TaskGroup() as tasks:
            requests = [tasks.create_task(made.visitor.get("/")) for _ in range(50)]
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
            made.process.send(signal.SIGTERM)
            for slot in (0, 1):
                await made.process.event("unregistered", slot=slot, acknowledged=True)
            go_on.set()
        assert all(request.result().content == half + half for request in requests)
        assert await made.process.wait() == 0
        assert made.process.events()[-1]["totals"]["streams"] == 50
        assert not [line for line in made.process.stderr if '"level": "error"' in line]


@pytest.mark.row("G1")
@pytest.mark.parametrize("grace", ["0", "1"])
async def test_edge_that_does_not_answer_the_unregistration_cannot_hold_the_stop(state: Path, grace: str) -> None:
    async with trial(None, state, "--grace-period", grace) as made:
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/freeze")
        assert await made.process.stop() == 0
        assert not [event for event in made.process.events() if event["type"] == "unregistered"]
        assert not [line for line in made.process.stderr if '"level": "error"' in line]


@pytest.mark.row("G1")
async def test_event_stream_ends_with_the_grace_period(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read()

    async with (
        scripted(serve) as port,
        trial(port, state, "--grace-period", "1") as made,
        made.visitor.stream("GET", "/") as response,
    ):
        assert await anext(response.aiter_bytes()) == b"data: 1\n\n"
        assert await made.process.stop() == 0
