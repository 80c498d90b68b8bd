"""Actors that are killed, stopped or never come up (rows K1 to K6 of docs/survival.md)."""

import asyncio
import os
import pty
import signal
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.slots import HEALTHY_AFTER
from tests.kit.invariants import trial, until_bounded
from tests.kit.origins import uvicorn_origin
from tests.kit.processes import PATIENCE, ROOT, Process, local_edge
from tests.kit.queries import snapshot
from tests.kit.tunnel import tunnel
from tests.kit.visitors import visitors

pytestmark = pytest.mark.slow

FAILS_AT_ONCE = """
import os, sys
if any("actors.quic_worker" in word for word in sys.orig_argv) and os.path.exists({flag!r}):
    os._exit(1)
"""
"""A sitecustomize.py that lets workers die before their first line, as one with a broken import would."""


async def healthy(process: Process) -> None:
    """Wait until what is registered has been so for long enough to count as a success."""
    since = len(process.events())
    await process.until(lambda: sum(event["type"] == "stats" for event in process.events()[since:]) > HEALTHY_AFTER)


@pytest.mark.row("K1")
@pytest.mark.parametrize("spare", [True, False], ids=["spare", "no-spare"])
async def test_killed_worker_costs_its_own_requests_alone(state: Path, rounds: int, spare: bool) -> None:
    arguments = [] if spare else ["--no-spare"]
    async with (
        uvicorn_origin() as port,
        trial(port, state, *arguments, connections=2, lost=True) as made,
        visitors(made) as visits,
    ):
        for number in range(1, rounds + 1):
            await healthy(made.process)
            victim = made.process.actors("worker")[number % 2]
            victim.kill()
            lost = await made.process.event("connection_ended", seq=number)
            assert (lost["reason"], lost["connections"], lost["failures"]) == (WorkerEnd.CRASHED, 1, 0)
            await made.process.event("registered", slot=lost["slot"], generation=lost["generation"] + 1)
            # From here on the edge knows no dead connection: whoever comes now is served.
            enough, seen = visits.whole + 50, len(visits.broken) + len(visits.refused)
            await made.process.until(partial(visits.reached, enough))
            hurt = len(visits.broken) + len(visits.refused) - seen
            assert hurt <= 10, "at most those that were on their way"
        assert {event["url"] for event in made.process.events() if event["type"] == "registered"} == {made.url}
        assert len(made.process.actors("worker")) == 2
        assert set(visits.refused) <= {502, 530}


@pytest.mark.row("K2")
async def test_killed_metrics_actor_costs_no_request_and_no_count(state: Path, rounds: int) -> None:
    async with uvicorn_origin() as port, trial(port, state, connections=2) as made:
        async with visitors(made) as visits:
            highest = 0
            for number in range(1, rounds + 1):
                (metrics,) = made.process.actors("metrics")
                metrics.kill()
                await made.process.event("actor_restarted", actor="metrics", seq=number)
                told = (await snapshot(state))["totals"]["bytes_out"]
                assert told >= highest, "a counter went down"
                highest = told
        assert (visits.broken, visits.refused) == ([], [])
        assert visits.whole
        await until_metrics_equal_the_edge_s(made.process, state, await made.totals())


@pytest.mark.row("K2")
async def test_last_totals_are_the_highest_that_anybody_knows(state: Path) -> None:
    """A metrics actor that ended in order, and one that says nothing at the end: the last word is the same."""
    async with uvicorn_origin() as port, tunnel(port, state) as made:
        await made.visitor.get("/down/1000")
        (metrics,) = made.process.actors("metrics")
        metrics.terminate()
        await made.process.event("actor_restarted", actor="metrics")
        await made.visitor.get("/down/1000")
        await made.process.until(lambda: made.process.events()[-1].get("totals", {}).get("streams") == 2)
        (metrics,) = made.process.actors("metrics")
        metrics.suspend()
        assert await made.process.stop() == 0
        (stopped,) = [event for event in made.process.events() if event["type"] == "stopped"]
        assert stopped["totals"] == {"streams": 2, "bytes_in": 0, "bytes_out": 2000}


@pytest.mark.row("K2")
async def test_reports_that_are_held_up_are_not_lost(state: Path) -> None:
    """The metrics actor is stopped: its queue fills, it is found hung and replaced."""
    async with uvicorn_origin() as port, trial(port, state) as made:
        async with visitors(made) as visits:
            (metrics,) = made.process.actors("metrics")
            metrics.suspend()
            await made.process.event("actor_restarted", actor="metrics")
            assert not metrics.is_running()
        assert (visits.broken, visits.refused) == ([], [])
        await until_metrics_equal_the_edge_s(made.process, state, await made.totals())


async def until_metrics_equal_the_edge_s(process: Process, state: Path, ledger: dict[str, int]) -> None:
    """The last report may still be on its way; it never says more than there was."""
    async with asyncio.timeout(PATIENCE):
        while (told := (await snapshot(state))["totals"]) != ledger:
            assert all(told[name] <= value for name, value in ledger.items()), "something was counted twice"
    assert process.process.returncode is None


@pytest.mark.row("K4")
async def test_supervisor_that_is_hung_up_on_ends_in_order(state: Path) -> None:
    """KILL is in test_life.py."""
    async with trial(None, state, connections=2) as made:
        children = made.process.descendants()
        made.process.send(signal.SIGHUP)
        assert await made.process.wait() == 0
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []


@pytest.mark.row("K4")
async def test_terminal_that_is_closed_ends_everything(state: Path) -> None:
    """A shell's window goes away: SIGHUP, and stdout and stderr that cannot be written to any more."""
    async with local_edge() as edge:
        controller, terminal = pty.openpty()
        command = [sys.executable, "-P", "-m", "actors.supervisor", "--hello-world", "--state-dir", str(state)]
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        process = await asyncio.create_subprocess_exec(
            *command, *reach, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=ROOT
        )
        os.close(terminal)
        said = b""
        while said.count(b"connection registered") < 2:
            said += await asyncio.to_thread(os.read, controller, 4096)
        children = psutil.Process(process.pid).children(recursive=True)
        os.close(controller)
        process.send_signal(signal.SIGHUP)  # what the kernel sends to the session's leader with a terminal of its own
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []
        assert [path.name for path in state.iterdir()] == ["tunnel.lock"]


@pytest.mark.row("K5")
async def test_worker_that_is_stopped_for_a_moment_is_left_alone(state: Path) -> None:
    async with trial(None, state) as made:
        (worker,) = made.process.actors("worker")
        worker.suspend()
        since = len(made.process.events())
        await made.process.until(lambda: sum(event["type"] == "stats" for event in made.process.events()[since:]) >= 1)
        worker.resume()
        assert (await made.visitor.get("/uptime")).status_code == 200
        assert made.process.actors("worker") == [worker]
        assert not [event for event in made.process.events() if event["type"] == "connection_ended"]


@pytest.mark.row("K5")
async def test_worker_that_stays_stopped_is_killed_and_replaced(state: Path, rounds: int) -> None:
    """Five times at most: each is a failure that follows the last one, so the waits grow and the tenth is permanent."""
    async with trial(None, state, lost=True) as made:
        for number in range(1, min(rounds, 5) + 1):
            (worker,) = made.process.actors("worker")
            worker.suspend()
            lost = await made.process.event("connection_ended", seq=number)
            assert lost["reason"] == WorkerEnd.HEARTBEAT_MISSED
            await made.process.event("registered", generation=number + 1)
            assert not worker.is_running(), "no second worker wakes up later"
            assert len(made.process.actors("worker")) == 1
            assert (await made.visitor.get("/uptime")).status_code == 200


@pytest.mark.row("K5")
async def test_spare_that_is_stopped_or_killed_harms_nobody(state: Path) -> None:
    async with trial(None, state, lost=True) as made:
        (spare,) = await made.process.until(lambda: made.process.actors("spare"))
        spare.kill()
        await made.process.event("actor_restarted", actor="spare", seq=1)
        (spare,) = await made.process.until(lambda: made.process.actors("spare"))
        spare.suspend()
        await made.process.event("actor_restarted", actor="spare", seq=2)
        (worker,) = made.process.actors("worker")
        worker.kill()
        await made.process.event("registered", generation=2)


@pytest.mark.row("K6")
@pytest.mark.parametrize("healed", [False, True], ids=["for-ever", "then-healthy"])
async def test_workers_that_never_come_up(state: Path, tmp_path: Path, healed: bool) -> None:
    """The bound is 3 here, since the waits before the tenth add up to minutes: those are in test_policy.py."""
    flag = tmp_path / "fail"
    (tmp_path / "sitecustomize.py").write_text(FAILS_AT_ONCE.format(flag=str(flag)))
    env = {"PYTHONPATH": str(tmp_path)}
    async with trial(None, state, "--max-reconnect-attempts", 3, "--no-spare", lost=True, env=env) as made:
        flag.touch()
        for nursery in made.process.actors("nursery"):  # its forks have begun long ago: let them be executed
            nursery.kill()
        (worker,) = made.process.actors("worker")
        worker.kill()
        await made.process.event("connection_ended", reason=WorkerEnd.NEVER_READY, failures=2)
        if healed:
            flag.unlink()
            await made.process.event("registered", seq=2)
            return
        gave_up = await made.process.event("permanent_failure")
        assert (gave_up["attempts"], gave_up["reason"]) == (3, "permanent_failure")
        assert await made.process.wait() == 8
        kinds = [event["type"] for event in made.process.events()]
        assert kinds.count("permanent_failure") == 1
        assert kinds[-1] == "stopped"


@pytest.mark.row("L3")
async def test_soak(state: Path, soak: float) -> None:
    """Visitors without a pause, on one connection; descriptors, threads and memory stay where they are."""
    async with uvicorn_origin() as port, trial(port, state) as made:
        (worker,) = made.process.actors("worker")
        async with visitors(made) as visits:
            await made.process.until(lambda: visits.whole > 200)
            descriptors, threads, memory = worker.num_fds(), worker.num_threads(), worker.memory_info().rss
            await asyncio.sleep(soak)  # the soak itself
            assert worker.memory_info().rss - memory < 8 * 2**20 + soak / 600 * 2**20
        assert (visits.broken, visits.refused) == ([], [])
        await until_bounded(made, worker, descriptors, threads)
        registered = [entry for entry in await made.log() if entry["event"] == "registered"]
        assert len(registered) == 1, "one handshake"
