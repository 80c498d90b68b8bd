"""Reloaders and servers with several workers: one tunnel, one URL, until the server ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.api import shared
from tests.kit.origins import free_port
from tests.kit.processes import PATIENCE, Process, running

ASGI = """
from actors import TunnelManager, lifespan
from starlette.applications import Starlette
manager = TunnelManager({port}).with_local_edge().with_connections(1).with_spare(False)
app = Starlette(lifespan=lifespan(manager))
"""

FLASK = """
from actors import Tunnel, TunnelManager
from flask import Flask
tunnel = Tunnel(TunnelManager({port}).with_local_edge().with_connections(1).with_spare(False)).start()
print(tunnel.url + chr(10), end="", flush=True)
app = Flask("ours")
if __name__ == "__main__":
    app.run(port={port}, debug=True)
"""


@contextlib.asynccontextmanager
async def serving(program: str, tmp_path: Path, *command: str) -> AsyncIterator[tuple[Process, Path]]:
    """A server of `served.py`; after the block it ends, and all processes of its tunnel with it."""
    port = str(free_port())
    file = tmp_path / "served.py"
    file.write_text(program.replace("{port}", port))
    words = [word.replace("{port}", port) for word in command]
    async with running([sys.executable, "-u", "-m", *words], cwd=tmp_path) as process:
        yield process, file
        children = process.descendants()
        supervisors = {one.pid for one in psutil.process_iter() if is_supervisor_of(one, process.process.pid)}
        assert len(supervisors) == 1
        alive = [psutil.Process(pid) for pid in supervisors]
        await process.stop(signal.SIGINT)
        _, left = psutil.wait_procs([*alive, *children], timeout=PATIENCE)
        assert left == []


PATIENT = ("--timeout-worker-healthcheck", "60")
"""A worker that is slow to come up, on a loaded machine, is not to be replaced."""

LOOKS_EVERY = 20.0
"""Seconds for a reloader to see a save, and for what it starts to come up."""


def is_supervisor_of(process: psutil.Process, owner: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return f"--owner={owner}" in process.cmdline()
    return False


def urls(process: Process) -> list[str]:
    return [url for line in process.stdout if (url := line.strip()).startswith("http://") and ".localhost:" in url]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "command", "ready"),
    [
        (ASGI, ("uvicorn", "served:app", "--port", "{port}", "--reload"), "startup complete"),
        (FLASK, ("served",), "Debugger PIN"),
    ],
    ids=["uvicorn", "flask"],
)
async def test_url_outlives_a_save(program: str, command: tuple[str, ...], ready: str, tmp_path: Path) -> None:
    """Flask's reloader runs the program too, and so prints it first."""
    async with serving(program, tmp_path, *command) as (process, file):
        await process.until(lambda: ready in "\n".join(process.stderr))
        times = len(urls(process))
        while len(urls(process)) <= times:
            file.write_text(file.read_text() + "\n# saved\n")
            with contextlib.suppress(TimeoutError):  # a save before the reloader's first look at the file is none
                async with asyncio.timeout(LOOKS_EVERY):
                    await process.until(lambda: len(urls(process)) > times)
        assert len(set(urls(process))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("uvicorn", "served:app", "--port", "{port}", "--workers", "3", *PATIENT),
        ("gunicorn", "served:app", "-b", "127.0.0.1:{port}", "-w", "3"),
    ],
    ids=["uvicorn", "gunicorn"],
)
async def test_all_workers_have_one_tunnel(command: tuple[str, ...], tmp_path: Path) -> None:
    program = ASGI if command[0] == "uvicorn" else FLASK
    async with serving(program, tmp_path, *command) as (process, _):
        await process.until(lambda: len(urls(process)) >= 3)
        assert len(set(urls(process))) == 1


def test_owner_is_this_process_unless_a_reloader_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shared.owner() == os.getpid()
    for variable in shared.RELOADED:
        with monkeypatch.context() as patch:
            patch.setenv(variable, "true")
            assert shared.owner() == os.getppid()
    monkeypatch.setenv("SERVER_SOFTWARE", "gunicorn/27")
    assert shared.owner() == os.getpid(), "gunicorn's master itself, say: its parent is a shell"
