"""`bin/tunnel-status`: one look at the tunnel of a state folder. Exit code 0 only if it serves."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from actors.bus.tally import Totals
from actors.processes.log import printable
from actors.supervisor.readiness import State, called
from actors.supervisor.state_folder import TunnelState
from actors.tools.running import (
    ANSWER_TIMEOUT,
    Endpoint,
    Failed,
    Status,
    add_endpoint,
    endpoint_of,
    find,
    make_parser,
    next_event,
    run,
    state_folder,
)

NAME = "tunnel-status"

CODES: Final = {status: status.name.lower().replace("_", " ") for status in Status}
"""What its exit codes mean."""

HOME: Final = "\x1b[H\x1b[2J"
"""Clears a terminal (ECMA-48: CUP, ED)."""


MAX_HOSTNAMES: Final = 20
"""Hostnames of a tunnel of one's own that are shown to people."""

SPOKEN: Final = {"quic": "QUIC", "http2": "HTTP/2"}


class Stats(msgspec.Struct):
    """What is read of the event `stats`; the rest is of no concern here."""

    url: str
    state: str
    serves: bool
    connections: int
    slots: int
    streams_in_flight: int
    totals: Totals
    reconnects: int
    rtt: float
    origin_reachable: bool
    origin: str
    pid: int
    version: str
    key_exchanges: list[str]
    protocols: list[str] = []
    tunnel_id: str = ""
    rules: int = 1
    configuration_version: int = -1


class Look(NamedTuple):
    """What was found."""

    status: Status
    state: TunnelState | None = None
    """What `tunnel.json` says; None if there is none, or if an endpoint was asked."""
    stats: Stats | None = None


async def look(folder: Path, *, timeout: float = ANSWER_TIMEOUT) -> Look:
    """Look at the tunnel of `folder`: what its file says, and what it says itself within `timeout` seconds."""
    try:
        state = find(folder)
    except Failed as failure:
        return Look(failure.status)
    return (await ask(Endpoint(state.events_endpoint), timeout=timeout))._replace(state=state)


async def ask(where: Endpoint, *, timeout: float = ANSWER_TIMEOUT) -> Look:
    """Look at the tunnel that publishes its events there."""
    stats = await next_event(where, "stats", Stats, timeout)
    if stats is None:
        return Look(Status.SILENT)
    serves = stats.serves and stats.origin_reachable
    return Look(Status.SERVES if serves else Status.DOES_NOT_SERVE, stats=stats)


def in_words(found: Look, where: object) -> str:
    """For people."""
    state, stats = found.state, found.stats
    if stats is not None:
        hostnames = state.hostnames if state is not None else []
        lines = [
            called(stats.url, stats.tunnel_id) or "there is no tunnel yet",
            *(f"             {hostname}" for hostname in hostnames[:MAX_HOSTNAMES]),
            *([f"             and {len(hostnames) - MAX_HOSTNAMES} more"] if hostnames[MAX_HOSTNAMES:] else []),
            f"state        {stats.state}{'' if stats.serves else ' (does not serve)'}",
            f"connections  {stats.connections} of {stats.slots}"
            + (f", over {' and '.join(SPOKEN.get(each, each) for each in stats.protocols)}" if stats.protocols else "")
            + (f", {stats.rtt * 1000:.0f} ms round trip" if stats.rtt else ""),
            f"encryption   TLS 1.3, {', '.join(filter(None, stats.key_exchanges)) or 'key exchange not told'}",
            f"requests     {stats.totals.streams}, {stats.streams_in_flight} of them in flight",
            f"reconnects   {stats.reconnects}",
            *([_origin(stats)] if stats.origin else []),
            *([f"inspector    {state.inspector_url}"] if state is not None and state.inspector_url else []),
            *([_rules(stats)] if not stats.url and stats.tunnel_id else []),
            f"process      {stats.pid}, version {stats.version}",
        ]
        return "\n".join(map(printable, lines))
    if state is not None and state.state == State.STOPPING:
        return f"{state.name}\nstate        {state.state}"
    if state is not None:
        return (
            f"{state.name}\n"
            f"the supervisor (process {state.pid}) does not answer; its last word was: {state.state}\n"
            f"if it was stopped by a signal, `kill -CONT {state.pid}` lets it go on"
        )
    return f"no tunnel runs in {where}" if found.status is Status.NOT_RUNNING else f"nothing is heard from {where}"


def _origin(stats: Stats) -> str:
    return f"origin       {stats.origin}" + ("" if stats.origin_reachable else ": nothing answers there")


def _rules(stats: Stats) -> str:
    words = f"{stats.rules} in force" if stats.rules else "none yet"
    version = f", version {stats.configuration_version}" if stats.configuration_version >= 0 else ""
    return f"rules        {words}{version}"


def as_json(found: Look) -> str:
    """For programs."""
    told = {
        "status": found.status.name.lower(),
        "state": msgspec.to_builtins(found.state),
        "stats": msgspec.to_builtins(found.stats),
    }
    return msgspec.json.encode(told).decode()


async def _watch(next_look: Callable[[], Awaitable[Look]], show: Callable[[Look], None]) -> Look:
    """Look again with every word of the supervisor's, which speaks each second, until there is nothing to see."""
    while True:
        found = await next_look()
        show(found)
        if found.status is Status.NOT_RUNNING or (found.state is None and found.status is Status.SILENT):
            return found


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(NAME, "One look at the tunnel that runs on this machine.", CODES)
    made.add_argument("--json", action="store_true", help="one line of JSON")
    made.add_argument("--watch", action="store_true", help="look every second, until it ends")
    add_endpoint(made)
    return made


def _work() -> int:
    given = parser().parse_args()
    folder = None if given.endpoint else state_folder(given)
    where = None if folder else endpoint_of(given, lambda state: state.events_endpoint)

    async def next_look() -> Look:
        if folder is not None:
            return await look(folder)
        assert where is not None
        return await ask(where)

    def show(found: Look) -> None:
        begin = HOME if given.watch and not given.json and sys.stdout.isatty() else ""
        print(begin + (as_json(found) if given.json else in_words(found, folder or given.endpoint)), flush=True)

    async def look_once() -> Look:
        found = await next_look()
        show(found)
        return found

    return int(asyncio.run(_watch(next_look, show) if given.watch else look_once()).status)


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
