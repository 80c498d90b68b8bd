"""Which tunnel a tool is about, and how to talk to it."""

import argparse
import asyncio
import contextlib
import enum
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
import zmq

from actors import __version__
from actors.bus import sockets
from actors.bus.curve import authenticate, read_keys, read_public_key
from actors.bus.events import read_payload
from actors.bus.messages import DECODE_ERRORS
from actors.errors import LocalSetupError, UsageError
from actors.processes import means, text
from actors.processes.environment import variable
from actors.supervisor.state_folder import TunnelState, is_held, read_state, usual_folders
from actors.url_file import default_state_folder

T = TypeVar("T", bound=msgspec.Struct)

ANSWER_TIMEOUT: Final = 3.0
"""Seconds for an answer, or for a sign of life: the supervisor publishes one every second."""


class Status(enum.IntEnum):
    """The exit codes of all tools."""

    SERVES = 0
    """It serves; for the other tools: done."""
    DOES_NOT_SERVE = 1
    """It runs, but a visitor gets no answer of the origin's now; for the other tools: what was asked for is bad."""
    USAGE = 2
    NOT_RUNNING = 3
    SILENT = 4
    """It runs, but does not answer: stopped, or stuck."""


CODES: Final = {
    Status.SERVES: "done",
    Status.USAGE: "usage, or it cannot be done",
    Status.NOT_RUNNING: "not running",
    Status.SILENT: "silent: it runs, but does not answer",
}
"""What they mean, if a tool says nothing else."""


class Failed(Exception):
    """A tool cannot do what it was asked for."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


def make_parser(name: str, description: str, codes: Mapping[Status, str] = CODES) -> argparse.ArgumentParser:
    """A parser with what all tools have. `codes`: what its exit codes mean."""
    told = "\n".join(f"  {status.value}  {codes[status]}" for status in sorted(codes))
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"exit codes:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="its state folder (default: $NEXO_HOME/state, or where none runs there state-2, state-3 …)",
    )
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    return parser


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """Flags for a tunnel that is not to be found by its state folder."""
    parser.add_argument("--endpoint", metavar="ENDPOINT", help="where it is, not by its state folder: ipc:// or tcp://")
    parser.add_argument("--curve-key", type=Path, metavar="FILE", help="your secret key, if that endpoint wants one")
    parser.add_argument("--curve-server-key", type=Path, metavar="FILE", help="its public key: server.key")


class Endpoint(NamedTuple):
    """Where to connect to, and with which keys."""

    endpoint: str
    own: tuple[bytes, bytes] | None = None
    server: bytes = b""

    def connect(self, socket: sockets.Socket) -> None:
        """Connect `socket` to it.

        Raises:
            Failed: it is no endpoint.
        """
        if self.own is not None:
            authenticate(socket, self.own, self.server)
        try:
            socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            raise Failed(Status.USAGE, f"cannot connect to {self.endpoint}: {error.strerror}") from None


def endpoint_of(given: argparse.Namespace, of: Callable[[TunnelState], str]) -> Endpoint:
    """The endpoint that was named, or else `of` what runs in the state folder.

    Raises:
        Failed: none was named and nothing runs there, or the keys cannot be used.
    """
    if given.endpoint is None and (given.curve_key or given.curve_server_key):
        raise Failed(Status.USAGE, "--curve-key is for --endpoint tcp://HOST:PORT; programs of this machine need none")
    if given.endpoint is None:
        return Endpoint(of(find(state_folder(given))))
    if given.curve_key is None and given.curve_server_key is None:
        return Endpoint(given.endpoint)
    if given.curve_key is None or given.curve_server_key is None:
        raise Failed(Status.USAGE, "--curve-key and --curve-server-key go together")
    try:
        return Endpoint(given.endpoint, read_keys(given.curve_key), read_public_key(given.curve_server_key))
    except UsageError as error:
        raise Failed(Status.USAGE, str(error)) from None


def state_folder(given: argparse.Namespace) -> Path:
    """The state folder that was named, by flag or by environment; or of those that need no name, one with a tunnel.

    Where tunnels run in several of these, it is the first one's, and the others are named on stderr.

    Raises:
        Failed: there is none.
    """
    if named := given.state_dir or variable(os.environ, "TUNNEL_SUPERVISOR_STATE_DIR"):
        return Path(named)
    try:
        usual = default_state_folder()
    except LocalSetupError as error:
        raise Failed(Status.NOT_RUNNING, str(error)) from None
    running = [folder for folder in usual_folders(usual) if holds(folder)]
    if len(running) > 1:
        first, *others = map(str, running)
        hint = f"this is about the one in {first}; name another with --state-dir: {', '.join(others)}"
        print(f"{len(running)} tunnels run: {hint}", file=sys.stderr)
    return running[0] if running else usual


def holds(folder: Path) -> bool:
    """Whether a tunnel lives there, as far as that can be seen."""
    with contextlib.suppress(OSError):
        return is_held(folder)
    return False


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


def subscribe(context: sockets.Context, where: Endpoint, *topics: str) -> sockets.Socket:
    """A socket that hears events of these types; all, if none is named."""
    socket = sockets.make_socket(context, zmq.SocketType.SUB)
    for topic in topics or ("",):
        socket.subscribe(topic.encode())
    where.connect(socket)
    return socket


async def next_event(where: Endpoint, topic: str, kind: type[T], timeout: float = ANSWER_TIMEOUT) -> T | None:
    """The next event of a type; None if there is none within `timeout` seconds."""
    context = sockets.make_context()
    try:
        socket = subscribe(context, where, topic)
        async with asyncio.timeout(timeout):
            while True:
                payload = (await socket.recv_multipart())[-1]
                with contextlib.suppress(*DECODE_ERRORS):  # what cannot be read is none of ours
                    return read_payload(payload, kind)
    except TimeoutError:
        return None
    finally:
        context.destroy(linger=0)


def run(name: str, work: Callable[[], int]) -> int:
    """Run a tool: failures become a line on stderr and an exit code."""
    means.say_refusals(name)
    text.any_stream_will_do()
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
    except (OSError, zmq.ZMQError, RuntimeError) as fault:
        if (line := means.refusal(fault)) is None:
            raise
        means.quiet_end()
        print(f"{name}: {line}", file=sys.stderr)
        return int(Status.USAGE)
