"""The Python API in programs that have a loop of another kind, a notebook's kernel, or many threads."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
import uvloop
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from actors import Tunnel
from actors.api.manager import TunnelHandle, TunnelMetrics
from actors.bus import events
from tests.api.test_manager import LOCAL, processes, visit
from tests.kit.processes import PATIENCE

pytestmark = pytest.mark.slow


async def counted(tunnel: TunnelHandle, streams: int) -> TunnelMetrics:
    """What it has counted, once it is so many requests."""
    async with asyncio.timeout(PATIENCE):
        while (told := await tunnel.metrics()).streams_total != streams:
            assert told.streams_total < streams
    return told


# --- uvloop ---


def test_beside_uvloop() -> None:
    async def use() -> list[type]:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        handle = await LOCAL.start()
        kinds = []

        async def follow() -> None:
            kinds.extend([type(event) async for event in handle.events()])

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            response = await asyncio.to_thread(visit, handle.url, "/echo", method="POST", content=b"x" * 1000)
            assert response.content == b"x" * 1000
            assert await counted(handle, 1) == TunnelMetrics(1, 1000, 1000, 0)
            await handle.shutdown()
        assert await handle.metrics() == TunnelMetrics(1, 1000, 1000, 0), "the last totals"
        return kinds

    kinds = uvloop.run(use())
    assert events.Stopping in kinds
    assert kinds[-1] is events.Stopped
    assert processes() == []


# --- Jupyter ---


class Notebook:
    """A notebook that is executed cell by cell, as a person does it."""

    def __init__(self) -> None:
        empty = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        self.client = NotebookClient(empty, kernel_name="python3", timeout=int(PATIENCE))

    async def run(self, text: str) -> str:
        """Add a cell and execute it; return what it printed.

        Raises:
            CellExecutionError: it failed.
        """
        cell = nbformat.v4.new_code_cell(text)  # type: ignore[no-untyped-call]
        self.client.nb.cells.append(cell)
        await self.client.async_execute_cell(cell, len(self.client.nb.cells) - 1)
        return "".join(output.get("text", "") for output in cell.outputs).strip()


@pytest.fixture
async def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Notebook]:
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    made = Notebook()
    async with made.client.async_setup_kernel():
        yield made


BLOCKING = """
from actors import Tunnel, TunnelManager
local = TunnelManager().with_local_edge().with_connections(1)
tunnel = Tunnel(local).start()
print(tunnel.url)
"""
AWAITED = """
handle = await local.start()
print(handle.url)
"""


async def test_both_ways_in_a_notebook(notebook: Notebook) -> None:
    for start, ask, end in (
        (BLOCKING, "tunnel.metrics()", "tunnel.shutdown()"),
        (AWAITED, "await handle.metrics()", "await handle.shutdown()"),
    ):
        url = await notebook.run(start)
        assert (await asyncio.to_thread(visit, url)).status_code == 200, "while no cell runs"
        assert await notebook.run(f"print(({ask}).streams_total)") == "1"
        await notebook.run(end)
    assert await notebook.run("with Tunnel(local) as tunnel: print(tunnel.state)") == "registered"


@pytest.mark.parametrize("how", ["killed", "shut-down"])
async def test_kernel_that_ends_takes_its_tunnels_with_it(how: str, notebook: Notebook) -> None:
    await notebook.run(BLOCKING)
    await notebook.run(AWAITED.replace("local.", "TunnelManager(9).with_local_edge()."))
    kernel = psutil.Process(int(await notebook.run("import os; print(os.getpid())")))
    descendants = kernel.children(recursive=True)
    # Its own children: one of a supervisor has its parent's command line for a moment, before it is another program.
    assert sum("actors.supervisor" in process.cmdline() for process in kernel.children()) == 2
    if how == "killed":
        kernel.kill()
    else:
        assert isinstance(notebook.client.km, AsyncKernelManager)
        await notebook.client.km.shutdown_kernel()
    _, alive = await asyncio.to_thread(psutil.wait_procs, descendants, timeout=PATIENCE)
    assert alive == []


# --- threads ---


def test_several_at_once_each_from_a_thread_of_its_own() -> None:
    def use(number: int) -> str:
        with Tunnel(LOCAL.with_connections(1)) as tunnel:
            body = bytes([number]) * 1000
            assert visit(tunnel.url, "/echo", method="POST", content=body).content == body
            return tunnel.url

    with ThreadPoolExecutor() as threads:
        assert len(set(threads.map(use, range(3)))) == 3
    assert processes() == []


def test_event_loop_of_a_thread_other_than_the_main_one() -> None:
    async def use() -> TunnelMetrics:
        async with LOCAL.with_connections(1) as handle:
            await asyncio.to_thread(visit, handle.url)
            return await counted(handle, 1)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(asyncio.run, use()).result().streams_total == 1
    assert processes() == []


def test_started_in_one_thread_and_used_in_others() -> None:
    tunnel = Tunnel(LOCAL.with_connections(1))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(tunnel.start).result()
    # The thread that started it has ended, and the tunnel has not.
    with ThreadPoolExecutor(4) as threads:
        assert {response.status_code for response in threads.map(visit, [tunnel.url] * 8)} == {200}
        assert len(list(threads.map(lambda _: tunnel.metrics(), range(8)))) == 8
    tunnel.shutdown()
    assert tunnel.metrics().streams_total == 8
    assert processes() == []


SHOWN = """
from actors import Tunnel, TunnelManager
tunnel = Tunnel(TunnelManager().with_local_edge().with_connections(1)).start()
print(tunnel.url)
tunnel
"""


async def test_second_run_of_a_cell_ends_the_first_ones_tunnel_and_del_the_second_ones(notebook: Notebook) -> None:
    """The first one is shown, too: `Out` holds it."""
    first = await notebook.run(SHOWN)
    await notebook.run("import psutil; before = psutil.Process().children()")
    second = await notebook.run(SHOWN.rstrip().removesuffix("tunnel"))
    assert first.split() != second.split()
    await notebook.run("assert not psutil.wait_procs(before, timeout=30)[1]")
    assert (await asyncio.to_thread(visit, second.split()[0])).status_code == 200
    await notebook.run("del tunnel")
    assert await notebook.run("print(psutil.wait_procs(psutil.Process().children(), timeout=30)[1])") == "[]"
