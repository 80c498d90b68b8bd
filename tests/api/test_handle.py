"""A handle and its supervisor: whatever that does, nothing waits for ever, and nothing stays behind.

The supervisors here are small programs that do what a real one does only when it is stuck.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from actors.api import handle as handles
from actors.api import supervisor_process
from actors.api.blocking import Tunnel
from actors.api.handle import TunnelHandle, TunnelMetrics
from actors.api.tether import Tether
from actors.errors import TunnelError
from actors.metrics import render_prometheus_for
from tests.kit.processes import PATIENCE, ROOT

SERVES = """
import json, signal, sys, time
def say(**event): print(json.dumps(event), flush=True)
say(type="assigned", url="http://a.localhost:1", tunnel_id="an-id")
say(type="registered", slot=0, generation=1, url="", tunnel_id="", location="lab01", connection_id="", key_exchange="",
    connections=1)
say(type="state", state="registered", serves=True, url="http://a.localhost:1", connections=1, slots=1)
"""
STATS = """
def stats(**more):
    say(type="stats", url="", tunnel_id="", connections=1, slots=1, streams_in_flight=0, rtt=0, key_exchanges=[],
        totals={"streams": 7, "bytes_in": 8, "bytes_out": 9}, reconnects=1, state="", serves=True,
        origin_reachable=True, origin="", pid=1, version="", **more)
"""
ANSWERS = SERVES + STATS + "for line in sys.stdin: stats(recount=json.loads(line).get('number', 0))\n"
STUCK = "signal.pause()\n"
ENDS_WHEN_ASKED = "sys.stdin.readline()\n"
GIVES_UP_WHEN_ASKED = (
    "sys.stdin.readline()\nsay(type='permanent_failure', reason='permanent_failure', attempts=3, message='closed')\n"
    + STUCK
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience."""
    monkeypatch.setattr(handles, "END_MARGIN", 0.1)
    monkeypatch.setattr(handles, "ANSWER_TIMEOUT", 0.1)


@contextlib.asynccontextmanager
async def started(program: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TunnelHandle]:
    """A handle of a supervisor that is this program."""
    monkeypatch.setattr(supervisor_process, "command", lambda *_: [sys.executable, "-c", program])
    handle = TunnelHandle()
    await handle.start([])
    try:
        yield handle
    finally:
        handle._kill()
        await handle._over.wait()


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


async def nothing_is_left(tasks: int) -> None:
    """Wait until no process is there, and no more tasks than before: asyncio's own ones end a moment later."""
    async with asyncio.timeout(PATIENCE):
        while children() or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0)


async def others() -> int:
    """Tasks, this one among them."""
    await asyncio.sleep(0)
    return len(asyncio.all_tasks())


# --- metrics ---


async def test_metrics_are_those_of_a_recount(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(ANSWERS, monkeypatch) as handle:
        assert set(await asyncio.gather(handle.metrics(), handle.metrics())) == {TunnelMetrics(7, 8, 9, 1)}
        assert repr(handle) == "<TunnelHandle http://a.localhost:1 (registered)>"


@pytest.mark.usefixtures("short")
async def test_metrics_of_a_stuck_supervisor_are_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(SERVES + STUCK, monkeypatch) as handle:
        before = await others()
        with pytest.raises(TunnelError, match="stuck"):
            await handle.metrics()
        assert await others() == before
        assert "an-id" not in await render_prometheus_for([handle])


@pytest.mark.usefixtures("short")
async def test_one_stuck_tunnel_does_not_take_the_others_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(SERVES + STUCK, monkeypatch) as stuck:
        monkeypatch.setattr(handles, "ANSWER_TIMEOUT", PATIENCE)
        async with started(ANSWERS.replace("an-id", "another"), monkeypatch) as good:
            assert await good.metrics() == TunnelMetrics(7, 8, 9, 1)
            monkeypatch.setattr(handles, "ANSWER_TIMEOUT", 0.5)
            assert 'tunnel_streams_total{tunnel_id="another"} 7' in await render_prometheus_for([stuck, good])


async def test_cancelled_metrics_leave_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(SERVES + STUCK, monkeypatch) as handle:
        before = await others()
        asking = asyncio.create_task(handle.metrics())  # noqa: TID251 - cancelled below
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await others() == before
        assert handle._recounts == {}


async def test_metrics_of_one_that_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(SERVES + ENDS_WHEN_ASKED, monkeypatch) as handle:
        assert await handle.metrics() == TunnelMetrics()
    async with started(SERVES + GIVES_UP_WHEN_ASKED, monkeypatch) as handle:
        with pytest.raises(TunnelError, match="closed"):
            await handle.metrics()


# --- a start that does not come to its end ---


@pytest.mark.usefixtures("short")
async def test_cancelled_start_ends_though_the_supervisor_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), started("import signal\n" + STUCK, monkeypatch):
            pass
    assert children() == []


@pytest.mark.slow
async def test_start_may_be_cancelled_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each turn of the event loop until it serves, once and then once more while it cleans up."""
    monkeypatch.setattr(supervisor_process, "command", lambda *_: [sys.executable, "-c", SERVES + STUCK])
    before = await others()
    steps = 0
    while True:
        handle = TunnelHandle()
        starting = asyncio.create_task(handle.start([]))  # noqa: TID251 - cancelled below
        for _ in range(steps):
            await asyncio.sleep(0)
        if starting.done():
            handle._kill()
            await handle._over.wait()
            break
        starting.cancel()
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await nothing_is_left(before)
        steps = steps + 1 if steps < 20 else steps * 2
    assert steps > 3


@pytest.mark.usefixtures("short")
async def test_shutdown_of_a_stuck_supervisor_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(SERVES + STUCK, monkeypatch) as handle:
        await handle.shutdown_with(0)
        assert handle.state == "stopped"
        with pytest.raises(TunnelError, match="signal 9"):
            handle.last_metrics()


@pytest.mark.usefixtures("short")
def test_end_of_the_event_loop_does_not_wait_for_a_stuck_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_process, "command", lambda *_: [sys.executable, "-c", SERVES + STUCK])

    async def start() -> None:
        await TunnelHandle().start([])

    asyncio.run(start())
    assert children() == []


# --- a machine that has nothing left ---

WITHOUT_FILES = """
import asyncio, os, resource
from actors.api.blocking import Tunnel
from actors.errors import LocalSetupError
from actors.api.handle import TunnelHandle
def fill():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True: taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return taken
async def begin():
    handle, taken = TunnelHandle(), fill()
    try:
        await handle.start(["--port=1"])
    finally:
        for one in taken: os.close(one)
try:
    asyncio.run(begin())
except LocalSetupError as error:
    print(error)
taken = fill()
try:
    Tunnel(1).start()
except LocalSetupError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_file_descriptors_it_says_so_and_does_not_hang() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FILES], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "cannot start the supervisor process: Too many open files" in first
    assert "cannot run an event loop" in second


def test_tether_may_be_cut_twice_and_then_says_nothing() -> None:
    tether = Tether()
    with pytest.raises(ValueError, match="no process"), tether.far_end():
        raise ValueError("no process")
    tether.cut()
    tether.say(b"drain\n")


def test_what_is_shown_of_one_that_was_not_started() -> None:
    assert repr(Tunnel(8080)) == "<Tunnel (not started)>"
