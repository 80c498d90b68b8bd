"""What the machine does: no network, full disks, no descriptors, sleep (rows N3, F1 to F3 of docs/survival.md)."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from actors.url_file import URL_FILE_NAME, read_url_file
from tests.kit.foreign_edge import edge_command
from tests.kit.invariants import trial
from tests.kit.machine import TwoHosts, needs_root, on_a_small_disk, two_hosts, with_few_descriptors
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, ROOT, Process, local_edge, python, running

pytestmark = pytest.mark.slow


# --- the network ---


@contextlib.asynccontextmanager
async def tunnel_between(hosts: TwoHosts, state: Path, *edges: str) -> AsyncIterator[Process]:
    """A supervisor on one host, registered at an edge on the other. `{}` in `edges` becomes the edge's port."""
    at = f"{hosts.THEIRS}:0"
    serve = edge_command("--api", at, "--quic", at, "--http", at, "--admin", at)
    async with running(hosts.beyond(serve), cwd=ROOT) as edge:
        found = json.loads(await edge.first_line())
        port = found["edge"].rpartition(":")[2]
        reach = [word for one in edges or (f"{hosts.THEIRS}:{{}}",) for word in ("--edge", one.format(port))]
        command = python("actors.supervisor", "--hello-world", "--json", "--connections", 1, "--state-dir", state)
        command += ["--service-url", found["api"], "--edge-ca", found["ca"], "--max-reconnect-attempts", "2", *reach]
        async with running(hosts.inside(command), cwd=ROOT) as process:
            await process.event("registered")
            yield process
            assert await process.stop() == 0


def counting(process: Process, kind: str) -> Callable[[int], bool]:
    """A function that says whether `kind` of events came so many times more since now."""
    before = len([event for event in process.events() if event["type"] == kind])
    return lambda more: len([event for event in process.events() if event["type"] == kind]) >= before + more


@needs_root
@pytest.mark.row("N3")
async def test_machine_without_a_network_waits_and_counts_nothing(state: Path) -> None:
    """A closed lid, a pulled cable: longer than the two attempts that are allowed, and the tunnel is still there."""
    async with two_hosts() as hosts, tunnel_between(hosts, state) as process:
        await hosts.cable("down")
        offline = await process.event("offline")
        assert "no route" in offline["message"]
        lost = await process.event("connection_ended")
        assert (lost["failures"], lost["retry_in"]) == (0, None)
        tries, seconds = counting(process, "connecting"), counting(process, "stats")
        await process.until(lambda: seconds(5))
        assert not tries(1), "no try is made without a route"
        assert json.loads((state / "tunnel.json").read_text())["state"] == "down"
        await hosts.cable("up")
        await process.event("online")
        await process.event("registered", generation=2)
        assert not [event for event in process.events() if event.get("failures")]


@needs_root
@pytest.mark.row("N3")
async def test_other_network_is_noticed_and_the_tunnel_goes_on(state: Path) -> None:
    async with two_hosts() as hosts, tunnel_between(hosts, state) as process:
        await hosts.address("del", hosts.OURS)
        await hosts.address("add", "10.199.0.7")
        online = await process.event("online")
        assert online["sources"] == ["10.199.0.7"]
        seconds = counting(process, "stats")
        await process.until(lambda: seconds(7))  # longer than the idle timeout
        assert process.events()[-1]["connections"] == 1
        assert process.events()[-1]["serves"]


@needs_root
@pytest.mark.row("N3")
async def test_dead_ipv6_falls_to_ipv4_at_once(state: Path) -> None:
    edges = ("[fd00:dead::1]:{}", f"{TwoHosts.THEIRS}:{{}}")
    async with two_hosts() as hosts, tunnel_between(hosts, state, *edges) as process:
        ends = [event for event in process.events() if event["type"] == "connection_ended"]
        assert [(end["reason"], end["failures"]) for end in ends] in ([], [("no_route", 0)])


# --- files ---


@contextlib.asynccontextmanager
async def on_disk(state: Path, options: str, *, fill: bool) -> AsyncIterator[Process]:
    """A supervisor whose state folder is a file system that cannot be written to."""
    state.mkdir()
    async with local_edge() as edge:
        command = python("actors.supervisor", "--hello-world", "--json", "--connections", 1, "--state-dir", state)
        command += ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with running(on_a_small_disk(state, command, options=options, fill=fill), cwd=ROOT) as process:
            yield process


@needs_root
@pytest.mark.row("F1")
@pytest.mark.parametrize(
    ("options", "fill", "words"),
    [("size=16k", True, "No space left"), ("ro", False, "Read-only file system")],
    ids=["full", "read-only"],
)
async def test_tunnel_stays_up_without_its_files(state: Path, options: str, fill: bool, words: str) -> None:
    async with on_disk(state, options, fill=fill) as process:
        failed = await process.event("state_file_failed")
        assert words in failed["message"]
        assert "not harmed" in failed["message"]
        await process.event("state", serves=True)
        seconds = counting(process, "stats")
        await process.until(lambda: seconds(2))
        assert await process.stop() == 0
        failures = [event for event in process.events() if event["type"] == "state_file_failed"]
        assert len(failures) == 1, "said once"
        assert "Traceback" not in "\n".join(process.stderr)


@pytest.mark.row("F1")
@pytest.mark.parametrize("what", ["a folder", "a link"])
async def test_something_else_where_the_url_file_goes(state: Path, tmp_path: Path, what: str) -> None:
    state.mkdir()
    target, elsewhere = state / URL_FILE_NAME, tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    if what == "a folder":
        (target / "full").mkdir(parents=True)
    async with trial(None, state) as made:
        if what == "a folder":
            failed = await made.process.event("state_file_failed")
            assert str(target) in failed["path"] or str(state) in failed["path"]
            (target / "full").rmdir()
            target.rmdir()
        else:
            target.unlink()
            target.symlink_to(elsewhere)
        assert (await made.visitor.get("/uptime")).status_code == 200
        assert await made.process.stop() == 0
        assert elsewhere.read_text() == "precious"
        target.unlink(missing_ok=True)


@pytest.mark.row("F1")
async def test_state_folder_that_is_taken_away(state: Path) -> None:
    async with trial(None, state, lost=True) as made:
        for path in state.iterdir():
            path.unlink()
        state.rmdir()
        connection = (await made.connections())[0]["id"]
        await made.admin.post(f"/connections/{connection}/drop", json={})
        await made.process.event("state_file_failed")
        await made.process.event("registered", generation=2)
        assert (await made.visitor.get("/uptime")).status_code == 200
        state.mkdir()


WRITES_FOR_EVER = """
import itertools, pathlib, sys
from actors.url_file import write_url_file
print("begun", flush=True)
for number in itertools.count():
    write_url_file("https://" + "ab"[number % 2] * 2000, pathlib.Path(sys.argv[1]))
"""


@pytest.mark.row("F1")
async def test_writer_that_is_killed_at_any_moment_leaves_no_half_file(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / URL_FILE_NAME
    whole = {None, *(f"https://{letter * 2000}" for letter in "ab")}
    for _ in range(5 * rounds):
        async with running([sys.executable, "-c", WRITES_FOR_EVER, path], cwd=ROOT) as writer:
            await writer.first_line()
            for _ in range(200):
                assert read_url_file(path) in whole
            writer.process.kill()
            await writer.wait()
        assert read_url_file(path) in whole


# --- descriptors ---


@pytest.mark.row("F2")
async def test_requests_for_which_there_is_no_descriptor_get_503_and_the_rest_is_served(state: Path) -> None:
    go_on, waiting = asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        await read_head(reader)
        waiting += 1
        await go_on.wait()
        writer.write(answer(b"served"))

    async with scripted(serve) as port, local_edge() as edge:
        command = python("actors.supervisor", "--port", port, "--json", "--connections", 1, "--state-dir", state)
        command += ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        async with running(with_few_descriptors(command, 64), cwd=ROOT) as process:
            registered = await process.event("registered")
            host = urlsplit(registered["url"]).netloc
            many = httpx.Limits(max_connections=200)
            visitor = httpx.AsyncClient(base_url=edge["http"], headers={"Host": host}, timeout=PATIENCE, limits=many)
            async with visitor, asyncio.TaskGroup() as tasks:
                requests = [tasks.create_task(visitor.get("/")) for _ in range(100)]
                (worker,) = process.actors("worker")
                # Those that are refused are answered at once; the others wait for the origin.
                await process.until(lambda: sum(request.done() for request in requests) + waiting == 100)
                go_on.set()
            answers = [request.result() for request in requests]
            assert {response.status_code for response in answers} == {200, 503}
            assert sum(response.status_code == 200 for response in answers) == waiting > 20
            assert "open files" in next(response.text for response in answers if response.status_code == 503)
            async with httpx.AsyncClient(timeout=PATIENCE) as later:
                assert (await later.get(edge["http"], headers={"Host": host})).text == "served"
            assert process.actors("worker") == [worker]
            assert await process.stop() == 0


# --- sleep ---


@pytest.mark.row("F3")
async def test_sleep_of_all_actors_is_nobody_s_failure(state: Path) -> None:
    """A lid that is closed for longer than the idle timeout: the connection is lost, and made again."""
    async with trial(None, state, lost=True) as made:
        everybody = [psutil.Process(made.process.process.pid), *made.process.descendants()]
        for process in everybody:
            process.send_signal(signal.SIGSTOP)
        while await made.connections():  # the edge's own idle timeout
            await asyncio.sleep(0.2)
        for process in everybody:
            process.send_signal(signal.SIGCONT)
        lost = await made.process.event("connection_ended")
        assert lost["reason"] == "connection_lost"
        await made.process.event("registered", seq=2)
        kinds = {event["type"] for event in made.process.events()}
        assert "actor_restarted" not in kinds, "nobody was hung: all slept"
        assert not [event for event in made.process.events() if event.get("reason") == "heartbeat_missed"]
