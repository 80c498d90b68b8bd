"""`.venv/bin/python -m benchmarks`: all tables, the clients in turn in each round.

Writes results.json, results.md and two plots. Any other client takes part by its command line:

    --client 'go=cloudflared tunnel --url {origin} --quick-service {api} --edge {edge} --cacert {ca}'
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import clients, report, tables
from benchmarks.clients import Client
from benchmarks.tables import Row

TABLES = ("loopback", "links", "mixed", "start", "scaling", "sockets")


def _client(text: str) -> Client:
    name, equals, template = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=COMMAND")
    return Client(name, template, "aioquic")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each table (default: 5)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="which ones (default: all)")
    parser.add_argument("--client", type=_client, action="append", default=[], metavar="NAME=COMMAND", dest="others")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/last"), help="folder (default: %(default)s)")
    return parser.parse_args()


async def _rows(table: str, number: int, port: int, others: list[Client]) -> AsyncIterator[Row]:
    """One round of one table."""
    match table:
        case "loopback":
            async for row in tables.direct(port):
                yield row
            for client in (clients.AIOQUIC, clients.QH3, clients.STOCK, *others):
                async for row in tables.loopback(client, port):
                    yield row
        case "links":
            for client in (clients.AIOQUIC, clients.CUBIC, clients.RENO, *others):
                async for row in tables.links(client, port, number):
                    yield row
        case "mixed":
            for client in (clients.AIOQUIC, clients.CUBIC, *others):
                async for row in tables.mixed(client, port, number):
                    yield row
        case "start":
            for client in (clients.AIOQUIC, clients.SPARE, clients.QH3, clients.SPARE_QH3, *others):
                async for row in tables.start(client, port):
                    yield row
        case "scaling":
            for client in (clients.AIOQUIC, clients.QH3):
                async for row in tables.scaling(client, port):
                    yield row
        case "sockets":
            for client in (clients.AIOQUIC, clients.QH3):
                async for row in tables.sockets(client, port):
                    yield row


async def _main(arguments: argparse.Namespace) -> None:
    rows: list[Row] = []
    async with clients.child("benchmarks.origin") as origin:
        port = int(await origin.line())
        for table in arguments.tables:
            for number in range(arguments.rounds):
                print(f"{table}, round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
                async for row in _rows(table, number, port, arguments.others):
                    rows.append(row)
                    print(f"  {row.client}: {row.what}: {row.value:.4g} {row.unit}", file=sys.stderr, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.json").write_text(json.dumps([row._asdict() for row in rows], indent=1))
    (arguments.output / "results.md").write_text(report.markdown(rows))
    if "links" in arguments.tables:
        report.plot(rows, arguments.output)
    print(report.markdown(rows))


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
