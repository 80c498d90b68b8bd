"""`.venv/bin/python -m benchmarks`: all tables, the clients in turn in each round.

Writes results.json, results.md and two plots, after each table; the figures of tables that are not measured stay.
Any other client takes part by its command line:

    --client 'go=cloudflared tunnel --url {origin} --quick-service {api} --edge {edge} --cacert {ca}'
    --client 'rust=./quick-tunnel.sh {port} {api} {edge} {ca} {connections}'
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import clients, fairness, foreign, namespaces, report, tables
from benchmarks.clients import Client
from benchmarks.tables import Row

CLIENTS: Final = {
    "loopback": (clients.AIOQUIC, clients.PICOQUIC, clients.HTTP2),
    "links": (clients.AIOQUIC, clients.PICOQUIC, clients.HTTP2),
    "mixed": (clients.AIOQUIC, clients.PICOQUIC, clients.HTTP2),
    "start": (clients.AIOQUIC, clients.SPARE, clients.PICOQUIC, clients.SPARE_PICOQUIC),
    "scaling": (clients.AIOQUIC, clients.PICOQUIC),
    "sockets": (clients.AIOQUIC, clients.PICOQUIC),
    "inspect": (clients.PICOQUIC, clients.INSPECTED_PICOQUIC),
}
"""Which of ours take part in which table; others take part in the first four."""

FAIRNESS: Final = "fairness"
"""The table of pairs: nine minutes a round, and so only measured when it is asked for."""

RESULTS: Final = "results.json"


def _client(text: str) -> Client:
    name, equals, template = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=COMMAND")
    return Client(name, template)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for, by default on the command line; it ends the program if that cannot be had here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each table (default: 5)")
    every = tuple(CLIENTS)
    parser.add_argument(
        "--tables",
        nargs="+",
        choices=(*every, FAIRNESS),
        default=every,
        help=f"which ones (default: all but {FAIRNESS}, which takes nine minutes a round)",
    )
    parser.add_argument("--client", type=_client, action="append", default=[], metavar="NAME=COMMAND", dest="others")
    parser.add_argument(
        "--python", default=sys.executable, help="what runs our clients (default: this one, with all that tests need)"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/last"), help="folder (default: %(default)s)")
    given = parser.parse_args(words)
    if (linked := sorted(set(given.tables) & set(tables.LINKED))) and (why := namespaces.missing()) is not None:
        others = " ".join(table for table in CLIENTS if table not in tables.LINKED)
        parser.error(f"{', '.join(linked)}: {why}; without links there are --tables {others}")
    return given


async def _rows(table: str, number: int, port: int, who: list[Client], python: str) -> AsyncIterator[Row]:
    """One round of one table."""
    if table == FAIRNESS:
        async for row in fairness.fairness(python, number):
            yield row
    if table == "loopback":
        async for row in tables.direct(port):
            yield row
    for client in who:
        match table:
            case "loopback":
                rows = tables.loopback(client, port)
            case "links":
                rows = tables.links(client, number)
            case "mixed":
                rows = tables.mixed(client, number)
            case "start":
                rows = tables.start(client, port)
            case "inspect":
                rows = tables.inspect(client, port)
            case "scaling":
                rows = tables.scaling(client, port)
            case _:
                rows = tables.sockets(client, port)
        async for row in rows:
            yield row


async def _main(given: argparse.Namespace) -> None:
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, this.cancel
    )  # all that was started ends, as by Ctrl-C
    rows = _kept(given.output / RESULTS, given.tables)
    async with foreign.running("origin") as origin:
        port = foreign.port_of(origin)
        for table in given.tables:
            others = [] if table in ("scaling", "sockets", "inspect", FAIRNESS) else given.others
            who = [*(client.run_by(given.python) for client in CLIENTS.get(table, ())), *others]
            for number in range(given.rounds):
                print(f"{table}, round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
                async for row in _rows(table, number, port, who, given.python):
                    rows.append(row)
                    print(f"  {row.client}: {row.what}: {row.value:.4g} {row.unit}", file=sys.stderr, flush=True)
            _write(rows, given.output)
    print(report.markdown(rows))


def _kept(path: Path, tables: list[str]) -> list[Row]:
    """What was measured before of other tables."""
    earlier = [Row(**row) for row in json.loads(path.read_text())] if path.exists() else []
    return [row for row in earlier if row.table not in tables]


def _write(rows: list[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).write_text(json.dumps([row._asdict() for row in rows], indent=1))
    (folder / "results.md").write_text(report.markdown(rows))
    if any(row.table == "links" for row in rows):
        report.plot(rows, folder)


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_main(arguments()))
        sys.exit()
    sys.exit("ended by a signal: what was measured of the tables that were through is kept")
