"""The log's lines: out at once or lost, whatever reads them."""

import asyncio
import contextlib
import os
import pty
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.processes.log import write_at_once
from tests.kit.processes import PATIENCE, ROOT

LINE = b"x" * 3000

LOGS = """
import sys
from actors.processes import log
logger = log.configure(level="info", as_json=True)
logger.info("x" * 3000)
print("went on", flush=True)
sys.stdin.readline()
logger.info("y")
"""


def hold(descriptor: int) -> None:
    """Let it take nothing: a terminal that was stopped (Ctrl-S), a pipe or a socket that is full."""
    if os.isatty(descriptor):
        termios.tcflow(descriptor, termios.TCOOFF)
        return
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"-" * 64)
    os.set_blocking(descriptor, True)


def let_go(ours: int, theirs: int) -> None:
    if os.isatty(theirs):
        termios.tcflow(theirs, termios.TCOON)
    drained(ours)


def drained(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(descriptor, 65536):
            data += part
    return data


@contextlib.contextmanager
def ends(kind: str) -> Iterator[tuple[int, int]]:
    """Where is read, and where is written."""
    if kind == "pipe":
        ours, theirs = os.pipe()
    elif kind == "terminal":
        ours, theirs = pty.openpty()
        tty.setraw(theirs, termios.TCSANOW)
    else:
        ours, theirs = (end.detach() for end in socket.socketpair())
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


KINDS = ["pipe", "terminal", "socket"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_reads_is_given_up_at_once_and_the_mode_stays(kind: str) -> None:
    with ends(kind) as (ours, theirs):
        hold(theirs)
        assert os.get_blocking(theirs)
        with pytest.raises(BlockingIOError):
            write_at_once(theirs, LINE)
        assert os.get_blocking(theirs), "it is shared with other programs"
        let_go(ours, theirs)
        write_at_once(theirs, LINE)
        assert drained(ours) == LINE


def test_file_gets_all_of_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        write_at_once(file.fileno(), LINE)
        write_at_once(file.fileno(), LINE)
    assert (tmp_path / "log").read_bytes() == LINE * 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_stderr_that_is_not_read_holds_nobody_and_what_was_lost_is_said(kind: str) -> None:
    with ends(kind) as (ours, theirs):
        hold(theirs)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOGS),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
            cwd=ROOT,
        )
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            async with asyncio.timeout(PATIENCE):
                assert await process.stdout.readline() == b"went on\n"
            let_go(ours, theirs)
            process.stdin.write(b"\n")
            async with asyncio.timeout(PATIENCE):
                assert await process.wait() == 0
            assert b"(1 lines of the log were lost: stderr was not read)\n{" in drained(ours)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
