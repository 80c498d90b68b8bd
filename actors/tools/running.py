"""Which tunnel a tool is about, and how to talk to it."""

import argparse
import enum
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import zmq

from actors import __version__, bus
from actors.errors import LocalSetupError
from actors.supervisor.state_folder import TunnelState, read_state
from actors.url_file import default_state_folder

ANSWER_TIMEOUT: Final = 3.0
"""Seconds for an answer, or for a sign of life: the supervisor publishes one every second."""


class Status(enum.IntEnum):
    """The exit codes of all tools."""

    SERVES = 0
    """It serves; for the other tools: done."""
    DOES_NOT_SERVE = 1
    """It runs, but a visitor gets no answer of the origin's now."""
    USAGE = 2
    NOT_RUNNING = 3
    SILENT = 4
    """It runs, but does not answer: stopped, or stuck."""


class Failed(Exception):
    """A tool cannot do what it was asked for."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with what all tools have."""
    codes = "\n".join(f"  {status.value}  {status.name.lower().replace('_', ' ')}" for status in Status)
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="its state folder (default: $NEXO_HOME/state)")
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    return parser


def state_folder(given: argparse.Namespace) -> Path:
    """The state folder that was named, by flag or by environment, or the usual one.

    Raises:
        Failed: there is none.
    """
    variable = os.environ.get("TUNNEL_SUPERVISOR_STATE_DIR")
    try:
        return Path(given.state_dir or variable or default_state_folder())
    except LocalSetupError as error:
        raise Failed(Status.NOT_RUNNING, str(error)) from None


def find(folder: Path) -> TunnelState:
    """The tunnel that runs in a state folder.

    Raises:
        Failed: there is none, or its file cannot be read.
    """
    try:
        state = read_state(folder)
    except (OSError, msgspec.MsgspecError) as error:
        raise Failed(Status.NOT_RUNNING, f"cannot read the state of the tunnel in {folder}: {error}") from None
    if state is None:
        raise Failed(Status.NOT_RUNNING, f"no tunnel runs in {folder}")
    return state


def subscribe(context: bus.Context, endpoint: str, *topics: str) -> bus.Socket:
    """A socket that hears events of these types; all, if none is named."""
    socket = bus.make_socket(context, zmq.SocketType.SUB)
    for topic in topics or ("",):
        socket.subscribe(topic.encode())
    socket.connect(endpoint)
    return socket


def run(name: str, work: Callable[[], int]) -> int:
    """Run a tool: failures become a line on stderr and an exit code."""
    try:
        return work()
    except Failed as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        return int(failure.status)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
