"""`bin/tunnel-stop`: stop the tunnel of a state folder in order, and wait for its end."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from actors import DEFAULT_GRACE_PERIOD
from actors.supervisor.state_folder import is_held
from actors.tools.running import Failed, Status, find, make_parser, run, state_folder

NAME = "tunnel-stop"

POLL_INTERVAL: Final = 0.05
"""Seconds between two looks whether it has ended: its lock tells nobody."""

PATIENCE: Final = DEFAULT_GRACE_PERIOD + 15.0
"""Seconds for it to end: its grace period, unless that is longer, and what it does after that."""


def _work() -> int:
    parser = make_parser(NAME, "Stop the tunnel that runs on this machine: requests in flight may finish.")
    parser.add_argument("--now", action="store_true", help="end it at once")
    parser.add_argument(
        "--timeout", type=float, default=PATIENCE, metavar="SECONDS", help=f"to wait for its end ({PATIENCE:g})"
    )
    given = parser.parse_args()
    folder = state_folder(given)
    state = find(folder)
    with contextlib.suppress(ProcessLookupError):  # it ends by itself at this very moment
        os.kill(state.pid, signal.SIGTERM)
        if given.now:
            os.kill(state.pid, signal.SIGTERM)  # a second one does not wait for anything
    if not _ends(folder, given.timeout):
        raise Failed(Status.SILENT, f"process {state.pid} was told to stop and still runs after {given.timeout:g} s")
    print(f"stopped {state.url}")
    return 0


def _ends(folder: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _holds_its_folder(folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True


def _holds_its_folder(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return is_held(folder)
    return False


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
