"""`bin/tunnel-status`: one look at the tunnel of a state folder. Exit code 0 only if it serves."""

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from actors import bus
from actors.messages import DECODE_ERRORS
from actors.supervisor.state_folder import TunnelState
from actors.tools.running import ANSWER_TIMEOUT, Failed, Status, find, make_parser, run, state_folder, subscribe

NAME = "tunnel-status"


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
    """Look at the tunnel of `folder`: what its file says, and what it says itself within `timeout` seconds."""
    try:
        state = find(folder)
    except Failed as failure:
        return Look(failure.status, None, None)
    stats = await _next_stats(state.events_endpoint, timeout)
    if stats is None:
        return Look(Status.SILENT, state, None)
    serves = stats.serves and stats.origin_reachable
    return Look(Status.SERVES if serves else Status.DOES_NOT_SERVE, state, stats)


async def _next_stats(endpoint: str, timeout: float) -> Stats | None:
    context = bus.make_context()
    try:
        socket = subscribe(context, endpoint, "stats")
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


def _work() -> int:
    parser = make_parser(NAME, "One look at the tunnel that runs on this machine.")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    given = parser.parse_args()
    folder = state_folder(given)
    found = asyncio.run(look(folder))
    print(as_json(found) if given.json else in_words(found, folder))
    return int(found.status)


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
