"""Signals: a process of ours is what it should be, whoever starts it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from actors import TunnelManager
from tests.kit.processes import PATIENCE, ROOT, Process, running
from tests.kit.tunnel import tunnel_command

pytestmark = pytest.mark.slow

LAUNCHER = """
import os, signal, sys
number = int(sys.argv[1])
if sys.argv[2] == "ignored":
    signal.signal(number, signal.SIG_IGN)
else:
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
os.execv(sys.argv[3], sys.argv[3:])
"""

REPORTS = """
import signal
from actors.processes.dispositions import take_signals
take_signals()
ignored = sorted(number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN)
print(list(map(int, ignored)), list(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
"""

ALWAYS_IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}


def launched(number: signal.Signals, how: str, *command: str) -> list[str]:
    """A command line that is started with a signal ignored or blocked."""
    return [sys.executable, "-c", LAUNCHER, str(int(number)), how, *command]


@pytest.mark.parametrize("how", ["ignored", "blocked"])
@pytest.mark.parametrize(
    ("number", "stays"),
    [
        (signal.SIGCHLD, False),
        (signal.SIGPIPE, True),
        (signal.SIGTERM, False),
        (signal.SIGUSR1, False),
        (signal.SIGUSR2, False),
        (signal.SIGALRM, False),
        (signal.SIGHUP, True),
        (signal.SIGINT, True),
        (signal.SIGQUIT, True),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
async def test_what_is_inherited(number: signal.Signals, stays: bool, how: str) -> None:
    """What `nohup` and a script's `&` ignore stays so; nothing stays blocked."""
    command = launched(number, how, sys.executable, "-c", REPORTS)
    async with running(command, env={"PYTHONPATH": str(ROOT)}) as process:
        assert await process.wait() == 0
        wanted = ALWAYS_IGNORED | ({number} if stays and how == "ignored" else set())
        assert process.stdout == [f"{sorted(map(int, wanted))} []"]


async def until_replaced(process: Process) -> None:
    """A worker is killed, and another one takes its place."""
    await process.event("registered")
    process.actors("worker")[0].kill()
    await process.event("registered", generation=2)


@pytest.mark.parametrize("how", ["ignored", "blocked"])
@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGTERM], ids=lambda number: number.name)
async def test_tunnel_lives_and_ends_as_ever(state: Path, number: signal.Signals, how: str) -> None:
    async with running(launched(number, how, *tunnel_command(state))) as process:
        await until_replaced(process)
        assert await process.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
async def test_tunnel_under_nohup_or_in_a_script_s_background_goes_on(state: Path, number: signal.Signals) -> None:
    async with running(launched(number, "ignored", *tunnel_command(state))) as process:
        await process.event("registered")
        process.send(number)
        await until_replaced(process)
        assert not [event for event in process.events() if event["type"] == "stopping"]
        assert await process.stop() == 0


async def test_program_that_ignores_the_end_of_its_children_has_a_tunnel() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async with asyncio.timeout(PATIENCE):
            handle = await TunnelManager().with_local_edge().start()
            await handle.shutdown()
            assert handle.state == "stopped"
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_program_that_ignores_the_end_of_its_children_is_told_of_a_failed_start() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        from actors import TunnelError

        manager = TunnelManager(9).with_service_url("http://127.0.0.1:9").with_timeout(1)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(TunnelError, match=r"127\.0\.0\.1:9"):
                await manager.start()
    finally:
        signal.signal(signal.SIGCHLD, before)
