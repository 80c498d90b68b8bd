"""Children: their orders, and their end with their parent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from actors.bus.messages import OTHER_VERSION_STATUS, HelloWorldOrders
from actors.processes import lifeline
from actors.processes.forked import UNKNOWN_STATUS
from actors.processes.lifeline import Child
from tests.kit.processes import PATIENCE, ROOT, running

ORDERS = HelloWorldOrders("hello_world-0.1", "ipc:///tmp/nobody", "info", True)

CHILD = """
import asyncio, os, sys
from actors.processes import lifeline
from actors.bus.messages import HelloWorldOrders
orders = lifeline.read_orders(HelloWorldOrders)
async def main():
    gone = asyncio.Event()
    lifeline.on_parent_gone(gone.set)
    print(orders.identity, os.getpid(), flush=True, file=sys.stderr)
    await gone.wait()
    print("parent gone", flush=True, file=sys.stderr)
asyncio.run(main())
"""

PARENT = """
import asyncio, sys
from actors.processes.lifeline import Child
from actors.bus.messages import HelloWorldOrders
async def main():
    await Child.start("the_child", HelloWorldOrders("hello_world-0.1", "ipc:///x", "info", True))
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder with a child module of the test's own, on the path of every Python below."""
    (tmp_path / "the_child.py").write_text(CHILD)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    monkeypatch.setenv("PYTHONPATH", path)
    return {"PYTHONPATH": path}


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
async def test_child_ends_with_a_parent_that_is_killed(env: dict[str, str], stopped: bool) -> None:
    async with running([sys.executable, "-c", PARENT], env=env) as parent:
        line = await parent.until(lambda: parent.stderr and parent.stderr[0])
        child = psutil.Process(int(line.split()[1]))
        if stopped:
            child.suspend()
        parent.send(signal.SIGKILL)
        await parent.process.wait()
        psutil.wait_procs([child], timeout=PATIENCE)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
@pytest.mark.usefixtures("env")
async def test_child_ends_by_the_lifeline_alone() -> None:
    child = await Child.start("the_child", ORDERS)
    assert isinstance(child._process, lifeline._Executed)
    assert child._process._stdin is not None
    child._process._stdin.close()
    async with asyncio.timeout(PATIENCE):
        assert await child.wait() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("env")
async def test_child_that_does_not_go_is_killed(tmp_path: Path) -> None:
    (tmp_path / "the_child.py").write_text(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'up')!r}, 'w').close()\n"
        "while True: signal.pause()\n"
    )
    child = await Child.start("the_child", ORDERS)
    async with asyncio.timeout(PATIENCE):
        while not (tmp_path / "up").exists():
            await asyncio.sleep(0.01)  # it has no way to tell us
        assert await child.end(patience=0.1) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"\x00",
        b"hello, worker",
        b"TSO\x01\xff\xff\xff\xff",
        b"TSO\x01\x00\x00\x00\x00",
        b"TSO\x01\x00\x00\x00\x05he",
    ],
)
async def test_started_by_hand_it_ends_without_a_traceback(given: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "actors.quic_worker"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate(given)
    assert b"Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [b"TSO\x63\x00\x00\x00\x01\x80", b"TSO\x01\x00\x00\x00\x01\x80", b"TSO\x01\x00\x00\x00\x01\xc1"],
    ids=["another schema", "fields missing", "no message"],
)
async def test_child_of_another_version_says_so_and_ends_with_a_status_of_its_own(given: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "actors.quic_worker"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate(given)
    assert process.returncode == OTHER_VERSION_STATUS
    assert b"cannot read these orders" in said
    assert b"Traceback" not in said


@pytest.mark.slow
@pytest.mark.usefixtures("env")
async def test_child_whose_end_somebody_else_was_told_of_has_ended_all_the_same() -> None:
    """The program ignores SIGCHLD: the kernel forgets how a child ended."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        child = await Child.start("the_child", ORDERS)
        child.send_signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            assert await child.end(patience=PATIENCE) == UNKNOWN_STATUS
    finally:
        signal.signal(signal.SIGCHLD, before)
