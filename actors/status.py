"""`bin/tunnel-status`: one look at the tunnel of a state folder. Exit code 0 only if it serves."""

import argparse
import asyncio
import enum
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import zmq

from actors import __version__, bus
from actors.errors import LocalSetupError
from actors.messages import DECODE_ERRORS
from actors.supervisor.state_folder import TunnelState, read_state
from actors.url_file import default_state_folder

ANSWER_TIMEOUT: Final = 3.0
"""Seconds for a sign of life: the supervisor publishes one every second."""


class Status(enum.IntEnum):
    """The exit codes."""

    SERVES = 0
    DOES_NOT_SERVE = 1
    """It runs, but a visitor gets no answer of the origin's now."""
    USAGE = 2
    NOT_RUNNING = 3
    SILENT = 4
    """It runs, but does not answer: stopped, or stuck."""


class Stats(msgspec.Struct):
    """What is read of the event `stats`; the rest is of no concern here."""

    state: str
    serves: bool
    connections: int
    slots: int
    streams_in_flight: int
    reconnects: int
    rtt: float
    origin_reachable: bool


class Look(NamedTuple):
    """What was found."""

    status: Status
    state: TunnelState | None
    stats: Stats | None


async def look(folder: Path, *, timeout: float = ANSWER_TIMEOUT) -> Look:
    """Look at the tunnel of `folder`: what its file says, and what it says itself within `timeout` seconds.

    Raises:
        OSError: the state file cannot be read. msgspec.MsgspecError: nor understood.
    """
    state = read_state(folder)
    if state is None:
        return Look(Status.NOT_RUNNING, None, None)
    stats = await _next_stats(state.events_endpoint, timeout)
    if stats is None:
        return Look(Status.SILENT, state, None)
    return Look(Status.SERVES if stats.serves else Status.DOES_NOT_SERVE, state, stats)


async def _next_stats(endpoint: str, timeout: float) -> Stats | None:
    context = bus.make_context()
    socket = bus.make_socket(context, zmq.SocketType.SUB)
    try:
        socket.subscribe(b"stats")
        socket.connect(endpoint)
        async with asyncio.timeout(timeout):
            payload = (await socket.recv_multipart())[-1]
        decode = msgspec.json.decode if payload.startswith(b"{") else msgspec.msgpack.decode
        return decode(payload, type=Stats)
    except (TimeoutError, zmq.ZMQError, *DECODE_ERRORS):
        return None
    finally:
        context.destroy(linger=0)


def in_words(found: Look, folder: Path) -> str:
    """For people."""
    state, stats = found.state, found.stats
    if state is None:
        return f"no tunnel runs in {folder}"
    if stats is None:
        return (
            f"{state.url}\n"
            f"the supervisor (process {state.pid}) does not answer; its last word was: {state.state}\n"
            f"if it was stopped by a signal, `kill -CONT {state.pid}` lets it go on"
        )
    lines = [
        state.url,
        f"state        {stats.state}{'' if stats.serves else ' (does not serve)'}",
        f"connections  {stats.connections} of {stats.slots}"
        + (f", {stats.rtt * 1000:.0f} ms round trip" if stats.rtt else ""),
        f"requests     {stats.streams_in_flight} in flight",
        f"reconnects   {stats.reconnects}",
        f"origin       {state.origin}" + ("" if stats.origin_reachable else ": nothing answers there"),
        f"process      {state.pid}, version {state.version}",
    ]
    return "\n".join(lines)


def as_json(found: Look) -> str:
    """For programs."""
    told = {
        "status": found.status.name.lower(),
        "state": msgspec.to_builtins(found.state),
        "stats": msgspec.to_builtins(found.stats),
    }
    return msgspec.json.encode(told).decode()


def main() -> int:
    """Run the program; return its exit status."""
    codes = "\n".join(f"  {status.value}  {status.name.lower().replace('_', ' ')}" for status in Status)
    parser = argparse.ArgumentParser(
        prog="tunnel-status",
        description="One look at the tunnel that runs on this machine.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="its state folder (default: $NEXO_HOME/state)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--version", action="version", version=f"tunnel-status {__version__}")
    given = parser.parse_args()
    try:
        variable = os.environ.get("TUNNEL_SUPERVISOR_STATE_DIR")
        folder = given.state_dir or (Path(variable) if variable else default_state_folder())
        found = asyncio.run(look(folder))
    except (OSError, msgspec.MsgspecError, LocalSetupError) as error:
        print(f"tunnel-status: cannot read the state of the tunnel: {error}", file=sys.stderr)
        return int(Status.NOT_RUNNING)
    print(as_json(found) if given.json else in_words(found, folder))
    return int(found.status)


if __name__ == "__main__":
    sys.exit(main())
