"""The end of a process that is none of our children (`--owner`)."""

import asyncio
import os
from typing import Final

POLL_INTERVAL: Final = 1.0
"""Seconds between two looks, where the kernel does not tell of a process's end."""


async def until_ended(pid: int) -> None:
    """Wait until there is no such process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, an old one, or a sandbox
        while _exists(pid):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(POLL_INTERVAL)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
