"""The end of a process that is none of our children."""

import asyncio
import os
import subprocess
import sys

import pytest

from actors.supervisor import owner
from actors.supervisor.owner import until_ended
from tests.kit.processes import PATIENCE


@pytest.mark.parametrize("has_pidfd", [True, False])
async def test_end_is_seen(has_pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.setattr(owner, "POLL_INTERVAL", 0.01)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:  # noqa: ASYNC220
        waiting = asyncio.create_task(until_ended(process.pid))  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        assert not waiting.done()
        process.communicate(b"\n")
        async with asyncio.timeout(PATIENCE):
            await waiting
            await until_ended(process.pid)  # of one that is gone already
