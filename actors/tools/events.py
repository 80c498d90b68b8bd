"""`bin/tunnel-events`: what happens to the tunnel of a state folder, as it happens, one line of JSON each."""

import argparse
import asyncio
import contextlib
import sys
from typing import Final

import msgspec

from actors.bus import sockets
from actors.bus.events import read_payload
from actors.bus.messages import DECODE_ERRORS
from actors.tools.catalogue import kinds, schema, topic
from actors.tools.running import (
    ANSWER_TIMEOUT,
    Endpoint,
    Failed,
    Status,
    add_endpoint,
    endpoint_of,
    make_parser,
    run,
    subscribe,
)

NAME = "tunnel-events"

MAYBE: Final = (
    "is it running there? An endpoint for the network wants --curve-key and --curve-server-key, and your key must have "
    "been in its --curve-clients folder when it started"
)
"""Why there may be nothing to hear: a socket tells neither that nobody listens nor that it was refused."""

TYPES: Final = sorted(topic(kind) for kind in kinds())


async def _follow(where: Endpoint, topics: list[str]) -> None:
    context = sockets.make_context()
    try:
        socket = subscribe(context, where, *((*topics, "stopped") if topics else ()))
        heard = False
        while True:
            if not heard and not topics and not await socket.poll(int(ANSWER_TIMEOUT * 1000)):
                print(f"{NAME}: nothing is heard from {where.endpoint} yet: {MAYBE}", file=sys.stderr)
            kind, payload = (await socket.recv_multipart())[:2]
            heard = True
            if not topics or kind.decode(errors="replace") in topics:
                _print(payload)
            if kind == b"stopped":
                return
    finally:
        context.destroy(linger=0)


def _print(payload: bytes) -> None:
    """As one line of JSON, made here: whoever publishes must not write to this terminal."""
    with contextlib.suppress(*DECODE_ERRORS, TypeError):
        print(msgspec.json.encode(read_payload(payload, object)).decode(), flush=True)


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(NAME, "What happens to the tunnel that runs on this machine, until it ends.")
    made.add_argument("types", nargs="*", metavar="TYPE", help=f"only these: {', '.join(TYPES)}")
    made.add_argument("--schema", action="store_true", help="print the JSON Schema of all events instead")
    add_endpoint(made)
    return made


def _work() -> int:
    given = parser().parse_args()
    if given.schema:
        print(msgspec.json.format(msgspec.json.encode(schema())).decode())
        return 0
    if unknown := [name for name in given.types if name not in TYPES]:
        raise Failed(Status.USAGE, f"{unknown[0]} is no type of event; there are {', '.join(TYPES)}")
    asyncio.run(_follow(endpoint_of(given, lambda state: state.events_endpoint), given.types))
    return 0


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
