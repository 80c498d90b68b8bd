"""`bin/tunnel-metrics`: the counters of the tunnel of a state folder, as Prometheus text or as JSON."""

import argparse
import asyncio
import sys

import zmq

from actors.bus import sockets
from actors.processes.log import printable
from actors.tools.running import ANSWER_TIMEOUT, Endpoint, Failed, Status, add_endpoint, endpoint_of, make_parser, run

NAME = "tunnel-metrics"


async def _ask(where: Endpoint, query: bytes) -> str:
    context = sockets.make_context()
    try:
        socket = sockets.make_socket(context, zmq.SocketType.REQ)
        where.connect(socket)
        sockets.try_send(socket, query)
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer: bytes = await socket.recv()
        return "\n".join(map(printable, answer.decode(errors="replace").splitlines()))
    except TimeoutError:
        raise Failed(Status.SILENT, f"no answer from {where.endpoint} within {ANSWER_TIMEOUT:g} s") from None
    finally:
        context.destroy(linger=0)


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(NAME, "The counters of the tunnel that runs on this machine.")
    made.add_argument("--json", action="store_true", help="a snapshot as JSON, not Prometheus text")
    add_endpoint(made)
    return made


def _work() -> int:
    given = parser().parse_args()
    where = endpoint_of(given, lambda state: state.metrics_endpoint)
    print(asyncio.run(_ask(where, b"snapshot" if given.json else b"prometheus")).rstrip("\n"))
    return 0


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
