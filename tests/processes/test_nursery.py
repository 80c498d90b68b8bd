"""The nursery: its children are the supervisor's own, and nobody depends on it."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.processes import PATIENCE, ROOT, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere all children are executed"),
]

CHILD = """
import os, sys, threading
from actors.processes import lifeline
from actors.bus.messages import HelloWorldOrders
def main():
    orders = lifeline.read_orders(HelloWorldOrders)
    print("this is for stdout", flush=True)
    words = [orders.identity, os.getpid(), os.getppid(), threading.active_count(), os.getsid(0) == os.getpid()]
    open_ones = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]
    os.write(2, (" ".join(map(str, [*words, open_ones])) + chr(10)).encode())
    os.read(0, 1)
    return int(orders.log_level)
"""

PARENT = """
import asyncio, os, signal, sys
from actors.processes.lifeline import Child
from actors.bus.messages import HelloWorldOrders
from actors.processes.nursery import nursery

async def main(nursed):
    for line in sys.stdin:
        module, _, status = line.strip().partition(" ")
        forked = await nursed.fork(module)
        if forked is None:
            print("none", flush=True, file=sys.stderr)
            continue
        child = await Child.start(module, HelloWorldOrders("hello_world-0.1", "ipc:///x", status, True), forked)
        if status == "9":
            child.send_signal(signal.SIGKILL)
        else:
            await forked.write(b"!")
        print("ended", await child.wait(), flush=True, file=sys.stderr)

def load():
    import first

def load_more():
    import later

with nursery(load, load_more) as nursed:
    print("pids", os.getpid(), nursed.pid, flush=True, file=sys.stderr)
    asyncio.run(main(nursed))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "first.py").write_text(CHILD)
    (tmp_path / "later.py").write_text(CHILD)
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}"}


def script(folder: Path, *lines: str) -> list[str | Path]:
    """A parent that is given these lines."""
    (folder / "lines").write_text("".join(f"{line}\n" for line in lines))
    (folder / "parent.py").write_text(PARENT)
    return ["sh", "-c", f'exec "{sys.executable}" -P "{folder}/parent.py" < "{folder}/lines"']


async def test_children_are_the_supervisor_s_own(env: dict[str, str], tmp_path: Path) -> None:
    """Also after the file that they were loaded from is another one."""
    async with running(script(tmp_path, "first 0", "first 3", "first 9"), env=env) as parent:
        own, nursery = (await parent.until(lambda: parent.stderr and parent.stderr[0])).split()[1:]
        await parent.until(lambda: "ended -9" in parent.stderr)
        assert await parent.wait() == 0
        assert [line for line in parent.stderr if line.startswith("ended")] == ["ended 0", "ended 3", "ended -9"]
        told = [line.split(maxsplit=5) for line in parent.stderr if line.startswith("hello_world")]
        assert {(words[2], words[3], words[4], words[5]) for words in told} == {(own, "1", "True", "[0, 1, 2]")}
        assert not parent.stdout, "stdout is for the URL"
        assert not psutil.pid_exists(int(nursery)), "it ends with its parent"


async def test_what_was_not_loaded_has_to_be_executed(env: dict[str, str], tmp_path: Path) -> None:
    async with running(script(tmp_path, "another 0", "first 0"), env=env) as parent:
        await parent.until(lambda: "ended 0" in parent.stderr)
        assert parent.stderr[1] == "none"
        assert await parent.wait() == 0


async def test_more_is_loaded_once_it_has_a_child(env: dict[str, str], tmp_path: Path) -> None:
    """The first child does not wait for what only later ones need."""
    async with running(script(tmp_path, "later 1", "later 2"), env=env) as parent:
        await parent.until(lambda: "ended 2" in parent.stderr)
        assert parent.stderr[1] == "none"
        assert "ended 1" not in parent.stderr
        assert await parent.wait() == 0


async def test_it_ends_with_a_parent_that_is_killed(env: dict[str, str], tmp_path: Path) -> None:
    command = script(tmp_path, "first 0")
    (tmp_path / "parent.py").write_text(f"{PARENT}    signal.pause()\n")
    async with running(command, env=env) as parent:
        await parent.until(lambda: "ended 0" in parent.stderr)
        nursery = psutil.Process(int(parent.stderr[0].split()[2]))
        nursery.suspend()  # it cannot even read
        parent.send(signal.SIGKILL)
        await parent.process.wait()
        psutil.wait_procs([nursery], timeout=PATIENCE)
        assert not nursery.is_running() or nursery.status() == psutil.STATUS_ZOMBIE
