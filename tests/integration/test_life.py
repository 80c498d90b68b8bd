"""The life of a tunnel: failed starts, refusals, lost connections, and the end."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from actors.url_file import read_url_file
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, Process, local_edge, supervisor
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def ended(process: Process) -> dict[str, Any]:
    """Wait for the end; return the last event."""
    await process.wait()
    return dict(process.events()[-1])


# --- starts that fail ---


@pytest.mark.row("A1")
@pytest.mark.parametrize(
    ("response", "code", "reason", "words"),
    [
        (answer(b"<html>hunter2", "403 Forbidden"), 4, "api", "403"),
        (answer(b"<html>hunter2"), 4, "api", "HTML"),
        (answer(b'{"success":false,"errors":[{"code":1,"message":"closed"}]}'), 4, "api", "closed"),
    ],
)
async def test_api_that_gives_no_tunnel(state: Path, response: bytes, code: int, reason: str, words: str) -> None:
    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response)

    async with scripted(api) as port:
        arguments = ["--hello-world", "--json", "--service-url", f"http://127.0.0.1:{port}"]
        async with supervisor(*arguments, state=state) as process:
            last = await ended(process)
            assert process.process.returncode == code
            assert (last["type"], last["reason"], last["exit_code"]) == ("stopped", reason, code)
            failed = await process.event("start_failed")
            assert failed["reason"] == reason
            assert words in failed["message"]
            log = "\n".join(process.stderr)
            assert words in log
            assert "hunter2" not in log
            assert "Traceback" not in log


@pytest.mark.row("A1")
async def test_rate_limit_is_said_waited_for_and_remembered(state: Path) -> None:
    requests = []

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_head(reader))
        writer.write(answer(b"error code: 1015", "429 Too Many Requests", Retry_After="120"))

    async with scripted(api) as port:
        for _ in range(3):  # a service manager that restarts us makes no further request
            arguments = ["--hello-world", "--json", "--service-url", f"http://127.0.0.1:{port}"]
            async with supervisor(*arguments, state=state) as process:
                limited = await process.event("rate_limited")
                line = await process.logged("rate limited")
                assert "next try at" in line["event"]
                assert 100 < limited["retry_after"] <= 120
                assert await process.stop() == 0
    assert len(requests) == 1


@pytest.mark.row("N3")
async def test_edge_that_does_not_answer(state: Path) -> None:
    async with local_edge() as edge:
        arguments = ["--hello-world", "--json", "--service-url", edge["api"], "--edge", "127.0.0.1:9", "--timeout", "3"]
        async with supervisor(*arguments, state=state) as process:
            assert (await ended(process))["exit_code"] == 6
            failed = await process.event("start_failed")
            assert failed["reason"] in ("timeout", "quic_dial")
            assert "3 s" in failed["message"]


async def test_edge_with_a_certificate_of_somebody_else(state: Path) -> None:
    async with local_edge() as edge:
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--timeout", "4"]
        async with supervisor("--hello-world", "--json", *reach, state=state) as process:
            assert (await ended(process))["exit_code"] == 6
            lost = await process.event("connection_ended")
            assert lost["reason"] == "dial_failed"
            assert "certificate" in lost["message"]
            assert (await process.event("start_failed"))["reason"] == "quic_dial"


@pytest.mark.row("N3")
async def test_no_dns_is_a_discovery_error(state: Path) -> None:
    async with local_edge() as edge:
        arguments = ["--hello-world", "--json", "--service-url", edge["api"], "--edge", "nowhere.invalid"]
        async with supervisor(*arguments, state=state) as process:
            assert (await ended(process))["exit_code"] == 5
            assert "nowhere.invalid" in (await process.event("start_failed"))["message"]


@pytest.mark.row("E4")
async def test_refusal_of_all_connections_is_the_end_in_the_edge_s_words(state: Path) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as admin:
        rule = {"answer": "permanent", "cause": "Unauthorized: go away", "times": 9}
        assert (await admin.post(f"{edge['admin']}/rules", json=rule)).status_code == 200
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with supervisor("--hello-world", "--json", *reach, state=state) as process:
            last = await ended(process)
            assert last["exit_code"] == 7
            assert "Unauthorized: go away" in (await process.event("start_failed"))["message"]
            assert "Unauthorized: go away" in "\n".join(process.stderr)


async def test_one_refused_connection_is_reported_and_the_tunnel_goes_on(state: Path) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        rule = {"answer": "permanent", "cause": "one is enough", "index": 1}
        await client.post(f"{edge['admin']}/rules", json=rule)
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with supervisor("--hello-world", "--json", *reach, state=state) as process:
            refused = await process.event("connection_refused")
            assert (refused["slot"], refused["cause"], refused["connections"]) == (1, "one is enough", 1)
            assert (await client.get(f"{edge['http']}/uptime")).status_code == 200
            assert await process.stop() == 0


@pytest.mark.row("E4")
async def test_refusal_with_a_delay_is_waited_for(state: Path) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        rule = {"answer": "retry", "cause": "busy", "retry_after": 1.25}
        await client.post(f"{edge['admin']}/rules", json=rule)
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with supervisor("--hello-world", "--json", *reach, state=state) as process:
            refused = await process.event("connection_ended")
            assert (refused["reason"], refused["message"]) == ("registration_refused", "busy")
            assert refused["retry_in"] >= 1.25
            await process.event("registered")
            log = (await client.get(f"{edge['admin']}/log")).json()
            registered = next(entry for entry in log if entry["event"] == "registered")
            assert registered["previous_attempts"] == 1


@pytest.mark.row("E4")
async def test_duplicate_connection_is_no_failure(state: Path) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        await client.post(f"{edge['admin']}/rules", json={"answer": "duplicate"})
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with supervisor("--hello-world", "--json", *reach, state=state) as process:
            refused = await process.event("connection_ended")
            assert (refused["reason"], refused["failures"]) == ("duplicate_connection", 0)
            await process.event("registered")


# --- connections that are lost ---


async def test_killed_worker_is_replaced_and_the_other_serves_on(state: Path) -> None:
    async with tunnel(None, state, connections=2) as made:
        first = made.process.actors("worker")[0]
        first.kill()
        lost = await made.process.event("connection_ended")
        assert (lost["reason"], lost["connections"]) == ("crashed", 1)
        again = await made.process.event("registered", generation=2, slot=lost["slot"])
        assert again["url"] == made.url
        stats = await made.process.event("stats", reconnects=1)
        assert stats["connections"] == 2
        log = await made.log()
        replaced = [entry for entry in log if entry["event"] == "registered" and entry["replace_existing"]]
        assert len(replaced) == 1
        ids = {entry["client_id"] for entry in log if entry["event"] == "registered"}
        assert len(ids) == 1, "the edge tells connectors apart by this id: one per supervisor"


@pytest.mark.row("E3")
async def test_closed_connection_is_replaced(state: Path, quic_engine: str) -> None:
    async with tunnel(None, state) as made:
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={"error_code": 7, "reason": "moved"})
        lost = await made.process.event("connection_ended")
        assert lost["reason"] == "connection_lost"
        assert "moved" in lost["message"] or quic_engine == "picoquic"  # which tells no words of the peer
        assert "0x7" in lost["message"]
        await made.process.event("registered", generation=2)
        assert (await made.visitor.get("/uptime")).status_code == 200


@pytest.mark.row("E3")
async def test_silent_connection_is_noticed_and_replaced(state: Path) -> None:
    async with tunnel(None, state) as made:
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={"silent": True})
        lost = await made.process.event("connection_ended")
        assert lost["reason"] == "connection_lost"
        assert "nothing came from the peer for 5 s" in lost["message"]
        await made.process.event("registered", generation=2)


@pytest.mark.row("K6")
async def test_ten_failures_are_a_permanent_failure(state: Path) -> None:
    """With a low bound, since the waits add up."""
    async with tunnel(None, state, "--max-reconnect-attempts", 2) as made:
        assert (state / "tunnel.url").exists()
        await made.admin.post("/rules", json={"answer": "retry", "cause": "closed today", "times": 99})
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={})
        gave_up = await made.process.event("permanent_failure")
        assert gave_up["attempts"] == 2
        assert "closed today" in gave_up["message"]
        assert await made.process.wait() == 8
        assert not (state / "tunnel.url").exists()
        assert (await ended(made.process))["exit_code"] == 8
        assert len([event for event in made.process.events() if event["type"] == "permanent_failure"]) == 1


# --- the end ---


@pytest.mark.row("G1")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_lets_a_slow_response_finish_and_unregisters_first(state: Path, number: signal.Signals) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"a" * 1_000_000)
        begun.set()
        await go_on.wait()
        writer.write(b"b" * 1_000_000)

    async with scripted(serve) as port, tunnel(port, state) as made:
        request = asyncio.create_task(made.visitor.get("/"))  # noqa: TID251 - awaited below
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        made.process.send(number)
        await made.process.event("unregistered", acknowledged=True)
        assert not (state / "tunnel.url").exists()
        assert (await made.visitor.get("/")).status_code == 530
        assert not request.done()
        go_on.set()
        response = await request
        assert response.content == b"a" * 1_000_000 + b"b" * 1_000_000
        assert await made.process.wait() == 0
        order = [entry["event"] for entry in await made.log()]
        assert order.index("unregistered") < order.index("closed")
        closed = next(entry for entry in await made.log() if entry["event"] == "closed")
        assert (closed["error_code"], closed["application"]) == (0, True)
        assert [path.name for path in state.iterdir()] == ["tunnel.lock"]
        last = (await ended(made.process))["totals"]
        assert last["bytes_out"] == 2_000_000


async def test_grace_period_bounds_the_stop(state: Path) -> None:
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
        begun.set()
        await reader.read()

    async with (
        scripted(serve) as port,
        tunnel(port, state, "--grace-period", "0.5") as made,
        made.visitor.stream("GET", "/"),
    ):
        await begun.wait()
        assert await made.process.stop() == 0


@pytest.mark.row("K4")
async def test_second_signal_ends_at_once(state: Path) -> None:
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        begun.set()
        await reader.read()

    async with scripted(serve) as port, tunnel(port, state) as made:
        request = asyncio.create_task(made.visitor.get("/"))  # noqa: TID251 - awaited below
        await begun.wait()
        children = made.process.descendants()
        await made.process.event("stats", streams_in_flight=1)
        made.process.send(signal.SIGTERM)
        await made.process.event("stopping")
        await made.process.until(lambda: "a second SIGTERM ends it at once" in "\n".join(made.process.stderr))
        assert await made.process.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        psutil.wait_procs(children, timeout=PATIENCE)
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={})
        assert (await request).status_code == 502


async def test_stop_before_anything_is_registered(state: Path) -> None:
    async with local_edge() as edge:
        arguments = ["--hello-world", "--json", "--service-url", edge["api"], "--edge", "127.0.0.1:9"]
        async with supervisor(*arguments, state=state) as process:
            await process.event("connecting")
            assert await process.stop() == 0


@pytest.mark.row("K4")
async def test_killed_supervisor_leaves_nobody_behind_and_the_next_one_starts(state: Path) -> None:
    async with tunnel(None, state, connections=2) as made:
        children = made.process.descendants()
        assert len(children) == 6
        children[0].suspend()  # not even one that cannot read
        folder = Path(json.loads((state / "tunnel.json").read_text())["events_endpoint"].removeprefix("ipc://")).parent
        made.process.send(signal.SIGKILL)
        await made.process.wait()
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []
        assert read_url_file(state / "tunnel.url") == made.url, "stale, as it must be after SIGKILL"
    async with tunnel(None, state) as made:
        assert read_url_file(state / "tunnel.url") == made.url
        assert not folder.exists(), "the next one removes what a killed one could not"
