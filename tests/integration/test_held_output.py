"""A log that nobody reads, and a terminal that is held: both cost lines of the log, and nothing else."""

import asyncio
import os
import signal
import sys
import urllib.parse
from pathlib import Path

import httpx
import psutil
import pytest

from tests.kit.processes import PATIENCE, python, running
from tests.kit.terminal import at_terminal

pytestmark = pytest.mark.slow

CTRL_S = b"\x13"


def command(state: Path, *arguments: str) -> list[str | Path]:
    begin: list[str | Path] = [sys.executable, "-P", "-m", "actors.supervisor", "--state-dir", state]
    return [*begin, "--hello-world", "--local-edge", "--connections", "1", *arguments]


async def test_log_that_nobody_reads(state: Path) -> None:
    unread, stderr = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *map(str, command(state, "--log-requests")), stdout=asyncio.subprocess.PIPE, stderr=stderr
    )
    os.close(stderr)
    try:
        assert process.stdout is not None
        url = urllib.parse.urlsplit((await process.stdout.readline()).decode().strip())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{url.port}", timeout=PATIENCE) as visitor:
            for _ in range(1500):  # 200 lines fill a pipe
                assert (await visitor.get("/uptime", headers={"Host": url.netloc})).status_code == 200
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
        assert b"actor" in os.read(unread, 4096), "what fitted is there"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(unread)


async def test_terminal_that_is_held(state: Path) -> None:
    async with at_terminal(command(state), columns=100) as screen:
        await screen.until(lambda: any("1/1 connections" in line for line in screen.lines))
        screen.type(CTRL_S)
        children = psutil.Process(screen.process.pid).children()
        (worker,) = [child for child in children if child.name() == "worker-0.1"]
        worker.kill()
        served = False
        while not served:  # until the spare has taken over
            async with running(python("actors.tools.status", "--state-dir", state)) as looking:
                code = await looking.wait()
                served = code == 0 and "reconnects   1" in looking.stdout
                assert code in (0, 1), "the supervisor answers"
        screen.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await screen.process.wait()
