"""`bin/local-edge`: the local edge alone, so that any client of the protocol can be pointed at it."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from actors.errors import TunnelError
from actors.local_edge.limits import CLOUDFLARE, UNLIMITED
from actors.local_edge.service import ANY_PORT, HostPort, local_edge
from actors.processes import log, means, text
from actors.processes.dispositions import take_signals
from actors.supervisor.flags import add_front_flags


def _host_port(text: str) -> HostPort:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT (port 0 for any)")
    return host.strip("[]") or ANY_PORT[0], int(port)


def make_parser() -> argparse.ArgumentParser:
    """Its flags."""
    parser = argparse.ArgumentParser(
        prog="local-edge",
        description="A stand-in for Cloudflare's edge on loopback. When it is ready it prints one line of JSON: "
        '{"api": url, "edge": "host:port", "tcp": "host:port", "http": url, "admin": url, "ca": path}. "http" leads to '
        "the tunnel, while only one is up, for programs that cannot resolve its name.",
        epilog="The official client against it: cloudflared tunnel --url http://127.0.0.1:8080 "
        "--quick-service <api> --edge <edge> --cacert <ca>",
    )
    for name, what in (
        ("api", "the tunnel API (POST /tunnel)"),
        ("quic", "the edge itself (UDP)"),
        ("http", "the public front"),
        ("admin", "the endpoints for tests"),
    ):
        parser.add_argument(f"--{name}", type=_host_port, default=ANY_PORT, metavar="HOST:PORT", help=what)
    parser.add_argument(
        "--tcp", type=_host_port, metavar="HOST:PORT", help="the edge over TCP (default: the address of --quic)"
    )
    add_front_flags(parser)
    parser.add_argument("--log-level", choices=log.LEVELS, default="warning", help="on stderr (default: warning)")
    return parser


async def _run(arguments: argparse.Namespace) -> None:
    logger = log.configure(level=arguments.log_level, as_json=not sys.stderr.isatty(), actor="local-edge")
    log.watch(asyncio.get_running_loop(), logger)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="local-edge-") as folder:
        async with local_edge(
            Path(folder),
            api=arguments.api,
            quic=arguments.quic,
            tcp=arguments.tcp,
            http=arguments.http,
            admin=arguments.admin,
            tls=bool(arguments.local_edge_tls),
            limits=CLOUDFLARE if arguments.as_cloudflare else UNLIMITED,
        ) as endpoints:
            print(json.dumps(endpoints._asdict()), flush=True)
            await stop.wait()


def main() -> int:
    """Run until a signal ends it; return the exit status."""
    take_signals()
    means.say_refusals("local-edge")
    text.any_stream_will_do()
    arguments = make_parser().parse_args()
    try:
        asyncio.run(_run(arguments))
    except TunnelError as error:
        print(f"local-edge: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
