"""`bin/tunnel-stop`: stop the tunnel of a state folder in order, and wait for its end; with `--forget` for good."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from actors import DEFAULT_GRACE_PERIOD
from actors.supervisor.readiness import called
from actors.supervisor.state_folder import forget_kept
from actors.tools.running import Endpoint, Failed, Status, find, holds, make_parser, next_event, run, state_folder

NAME = "tunnel-stop"

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks whether it has ended: its lock tells nobody."""

PATIENCE: Final = DEFAULT_GRACE_PERIOD + 15.0
"""Seconds for it to end: its grace period, unless that is longer, and what it does after that."""


class _Stats(msgspec.Struct):
    """What is read of the event `stats`."""

    url: str
    pid: int
    tunnel_id: str = ""


class _Running(NamedTuple):
    """The tunnel to stop."""

    name: str
    pid: int
    lives: Callable[[], bool]


def _in_folder(folder: Path) -> _Running:
    state = find(folder)
    return _Running(state.name, state.pid, lambda: holds(folder))


def _owner(endpoint: str) -> int | None:
    """The process that listens there, as the kernel knows it: what a publisher says is no reason to kill."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise Failed(Status.USAGE, "--endpoint cannot be trusted on this system: stop it by its state folder")
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.connect(endpoint.removeprefix("ipc://"))
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    return int(struct.unpack("3i", credentials)[0])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _at(endpoint: str) -> _Running:
    """The tunnel with this events endpoint. Only an ipc one is surely of this machine."""
    if not endpoint.startswith("ipc://"):
        raise Failed(Status.USAGE, f"--endpoint {endpoint}: a tunnel is stopped on its own machine; give an ipc:// one")
    stats = asyncio.run(next_event(Endpoint(endpoint), "stats", _Stats))
    if stats is None:
        raise Failed(Status.SILENT, f"nothing is heard from {endpoint}")
    if stats.pid != (owner := _owner(endpoint)):
        raise Failed(Status.USAGE, f"{endpoint} says that it is process {stats.pid}, but process {owner} listens there")
    return _Running(called(stats.url, stats.tunnel_id), stats.pid, lambda: _exists(stats.pid))


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(NAME, "Stop the tunnel that runs on this machine: requests in flight may finish.")
    made.add_argument("--now", action="store_true", help="end it at once")
    made.add_argument(
        "--forget",
        action="store_true",
        help="and remove the tunnel that --keep keeps there, so that the next start has another URL",
    )
    made.add_argument(
        "--timeout", type=float, default=PATIENCE, metavar="SECONDS", help=f"to wait for its end ({PATIENCE:g})"
    )
    made.add_argument("--endpoint", metavar="ENDPOINT", help="its events endpoint, not its state folder: ipc:///PATH")
    return made


def _work() -> int:
    given = parser().parse_args()
    if given.forget and given.endpoint:
        raise Failed(Status.USAGE, "--forget is about a state folder: give --state-dir in the place of --endpoint")
    folder = state_folder(given) if not given.endpoint else None
    if given.forget and folder is not None and _forget(folder) and not holds(folder):
        print(f"no tunnel ran in {folder}; the one that was kept there is forgotten")
        return 0
    running = _in_folder(folder) if folder is not None else _at(given.endpoint)
    _signal(running.pid)
    if not _ends(running, given.timeout, at_once=given.now):
        raise Failed(Status.SILENT, f"process {running.pid} was told to stop and still runs after {given.timeout:g} s")
    print(f"stopped {running.name}")
    return 0


def _forget(folder: Path) -> bool:
    """Remove the kept tunnel, which what runs there does not bring back; return whether there was one."""
    try:
        return forget_kept(folder)
    except OSError as error:
        raise Failed(
            Status.USAGE, f"cannot forget the tunnel of {folder}: {error.filename}: {error.strerror}"
        ) from None


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it ends by itself at this very moment
    except PermissionError:
        raise Failed(Status.USAGE, f"process {pid} belongs to another user: stop it as that one") from None


def _ends(running: _Running, patience: float, *, at_once: bool) -> bool:
    """Wait for its end. A second signal ends it at once; two that come too close to each other are one."""
    deadline = time.monotonic() + patience
    while running.lives():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_INTERVAL)
        if at_once and running.lives():
            _signal(running.pid)
    return True


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
