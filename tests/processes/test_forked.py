"""Children that are forked: as good as those that are executed, and in nobody's way."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from actors.processes.forked import UNKNOWN_STATUS
from tests.kit.processes import PATIENCE, ROOT, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere all children are executed"),
]

CHILD = """
import os, sys
from actors.processes import lifeline
from actors.bus.messages import HelloWorldOrders
orders = lifeline.read_orders(HelloWorldOrders)
say = lambda *words: os.write(2, " ".join(map(str, (__name__, orders.identity, *words, "\\n"))).encode())
print("this is for stdout", flush=True)
say(os.getpid(), sorted(map(int, os.listdir("/proc/self/fd")))[:-1], os.getsid(0) == os.getpid())
HOW
"""

WAITS = "os.read(0, 1); say('parent gone')"

PARENT = """
import asyncio, sys
from actors.processes.forked import forked
from actors.processes.lifeline import Child
from actors.bus.messages import HelloWorldOrders

async def main(children):
    taken = []
    for name in sys.argv[1:]:
        orders = HelloWorldOrders("hello_world-" + name, "ipc:///x", "info", True)
        taken.append(await Child.start(name, orders, children.pop(name)))
    for child in taken:
        print("ended", await child.wait(), await child.wait(), flush=True, file=sys.stderr)

with forked(["first", "second"]) as children:
    print("pids", children["first"].pid, children["second"].pid, flush=True, file=sys.stderr)
    asyncio.run(main(children))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(CHILD.replace("HOW", WAITS))
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}"}


async def test_each_has_its_own_stdin_and_session_and_nothing_else(env: dict[str, str]) -> None:
    async with running([sys.executable, "-c", PARENT, "first", "second"], env=env) as parent:
        said = await parent.until(lambda: [line for line in parent.stderr if "hello_world" in line][1:])
        assert said
        for line in parent.stderr[1:3]:
            assert line.startswith("__main__ hello_world-")
            assert line.split(maxsplit=3)[3].strip() == "[0, 1, 2] True"
        children = [psutil.Process(int(pid)) for pid in parent.stderr[0].split()[1:]]
        titles = [" ".join(child.cmdline()).strip() for child in children]
        assert titles == [f"{sys.executable} -P -m {module}" for module in ("first", "second")]
        children[0].suspend()  # a stopped one keeps no other from seeing that the parent is gone
        parent.send(signal.SIGKILL)
        await parent.process.wait()
        psutil.wait_procs(children, timeout=PATIENCE)
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        assert not parent.stdout


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('a reason')", 1, "a reason"),
        ("raise ZeroDivisionError('mine')", 1, "ZeroDivisionError: mine"),
        ("os.kill(os.getpid(), 9)", -9, ""),
    ],
)
async def test_its_end_is_told(env: dict[str, str], tmp_path: Path, how: str, status: int, said: str) -> None:
    (tmp_path / "first.py").write_text(CHILD.replace("HOW", how))
    async with running([sys.executable, "-c", PARENT, "first"], env=env) as parent:
        pids = (await parent.until(lambda: parent.stderr and parent.stderr[0])).split()[1:]
        await parent.until(lambda: f"ended {status} {status}" in parent.stderr)
        assert await parent.process.wait() == 0
        assert not said or said in parent.stderr
        assert not any(psutil.pid_exists(int(pid)) for pid in pids)  # the second, which nobody took, has been ended


async def test_an_end_that_somebody_else_was_told_of_is_of_unknown_status(env: dict[str, str], tmp_path: Path) -> None:
    """With SIGCHLD ignored the kernel forgets how a child ended."""
    (tmp_path / "first.py").write_text(CHILD.replace("HOW", "sys.exit(3)"))
    parent_ignores = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)" + PARENT
    async with running([sys.executable, "-c", parent_ignores, "first"], env=env) as parent:
        await parent.until(lambda: f"ended {UNKNOWN_STATUS} {UNKNOWN_STATUS}" in parent.stderr)
        assert await parent.process.wait() == 0
