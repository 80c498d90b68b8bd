"""The flags: what there is, and what makes sense for each of them."""

import argparse
from pathlib import Path
from typing import Final, NoReturn, get_args

from actors import DEFAULT_GRACE_PERIOD, DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS, __version__
from actors.bus.inspection import DEFAULT_BODY_BYTES, MAX_BODY_BYTES
from actors.bus.messages import ProtocolWish
from actors.bus.routes import DEFAULT_ORIGIN_KEEP_ALIVE
from actors.errors import ExitCode, UsageError
from actors.processes import log
from actors.supervisor import flag_values as value
from actors.supervisor.guard_flags import add_guard_flags
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL
from actors.supervisor.settings import DEFAULT_KEEP_FOR, DEFAULT_MAX_STREAMS

ENVIRONMENT_PREFIX: Final = "TUNNEL_SUPERVISOR_"
"""Not TUNNEL_, which the Go client reads; of that one's, `run` alone reads those with its token (`sources.py`)."""

EXIT_CODES: Final = {
    ExitCode.STOPPED: "stopped, as asked",
    ExitCode.INTERNAL: "an internal fault",
    ExitCode.USAGE: "a flag, a variable or a line of the configuration makes no sense",
    ExitCode.RATE_LIMITED: "rate limited by the tunnel API, five times in a row",
    ExitCode.PROVISIONING: "the tunnel API gave no tunnel",
    ExitCode.DISCOVERY: "no address of the edge was found",
    ExitCode.NO_CONNECTION: "no connection was registered within --timeout",
    ExitCode.REFUSED: "the edge refused the tunnel for good",
    ExitCode.PERMANENT_FAILURE: "the connection was lost, and --max-reconnect-attempts failed",
    ExitCode.ALREADY_RUNNING: "another instance holds the folder of --state-dir",
    ExitCode.LOCAL_SETUP: "something on this machine: a folder, an endpoint, a process",
}

_LINES = "\n".join(f"  {code.value:>3}  {text}" for code, text in EXIT_CODES.items())

_EPILOG = f"""\
Every flag but --config can be given as an environment variable: {ENVIRONMENT_PREFIX} and its name in capitals, with _
for - (--edge-ca is {ENVIRONMENT_PREFIX}EDGE_CA; a switch takes 1 or 0; several --edge are separated by commas); or in
the file of --config, by its name. A flag wins over a variable, and that over the file.

The port, or what --url takes, may stand alone: tunnel-supervisor 8080.

tunnel-supervisor run --token-file FILE: a tunnel of your own, as Cloudflare's dashboard makes it, with your hostnames.
Its rules come from there, or from --config FILE.yml, or are one: --port PORT. The Go client's TUNNEL_TOKEN,
TUNNEL_TOKEN_FILE and TUNNEL_CRED_FILE are read too.

exit codes:
{_LINES}
  128+N  ended at once by a second signal N

The URL of a quick tunnel is printed on stdout, once it works; everything else goes to stderr.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def add_edge_flags(group: argparse._ActionsContainer) -> None:
    """Where the tunnel API and the edge are, and how the edge is spoken to."""
    group.add_argument(
        "--service-url", type=value.url, metavar="URL", help=f"the tunnel API (default: {DEFAULT_SERVICE_URL})"
    )
    group.add_argument(
        "--edge",
        type=value.host_port,
        action="append",
        metavar="HOST:PORT",
        help="an address of the edge, not those that DNS knows; may be repeated",
    )
    group.add_argument(
        "--protocol",
        choices=get_args(ProtocolWish),
        help="towards the edge: QUIC over UDP, or HTTP/2 over TCP, through the proxy of HTTPS_PROXY if there is one "
        "(default: auto, which is QUIC, and HTTP/2 while UDP is blocked)",
    )
    group.add_argument("--edge-ip-version", choices=("auto", "4", "6"), help="towards the edge (default: auto)")
    group.add_argument("--edge-ca", type=value.certificates, metavar="FILE", help="PEM file with other trust roots")


def add_front_flags(group: argparse._ActionsContainer) -> None:
    """How the local edge is towards visitors."""
    group.add_argument(
        "--local-edge-tls",
        action="store_true",
        default=None,
        help="the local edge speaks https, by a certificate made on the spot; its authority's file is said",
    )
    group.add_argument(
        "--as-cloudflare",
        action="store_true",
        default=None,
        help="the local edge has the limits of the service: 200 requests in flight, bodies of 100 MB, no event streams "
        "over GET, 100 s for an answer",
    )


def add_own_tunnel_flags(group: argparse._ActionsContainer) -> None:
    """What `run` needs to know."""
    group.add_argument(
        "--token-file",
        type=value.path,
        metavar="FILE",
        help="with run: the file with the tunnel's token (also TUNNEL_TOKEN_FILE); -: stdin",
    )
    group.add_argument(
        "--token",
        metavar="TOKEN",
        help="with run: the token itself (better by TUNNEL_TOKEN: every user of this machine can read a command line)",
    )
    group.add_argument(
        "--credentials-file",
        type=value.path,
        metavar="FILE",
        help="with run: what `cloudflared tunnel create` wrote (also TUNNEL_CRED_FILE)",
    )
    group.add_argument(
        "--region",
        type=value.region,
        metavar="NAME",
        help="with run: the edge's region, as us (default: the one that the token names, else all)",
    )
    group.add_argument(
        "--remote-services",
        type=value.remote_services,
        metavar="WORDS",
        help="with run: what rules may reach that the service pushes (default: http,https,status,hello_world, of which "
        "the first two lead to this machine and private networks alone); also unix, tcp, bastion, socks, and public: "
        "any host",
    )


def add_inspector_flags(group: argparse._ActionsContainer) -> None:
    """Who sees what of requests."""
    group.add_argument(
        "--inspect",
        type=value.inspect,
        nargs="?",
        const=True,
        metavar="HOST:PORT",
        help="show requests and their answers on a page of this machine, with a button that sends them again (default: "
        "127.0.0.1:4040, or the next free port)",
    )
    group.add_argument(
        "--inspect-body",
        type=value.inspect_body,
        metavar="BYTES",
        help=f"with --inspect: of each body that are shown (default: {DEFAULT_BODY_BYTES}; at most {MAX_BODY_BYTES})",
    )
    group.add_argument(
        "--inspect-mask",
        type=value.field_name,
        action="append",
        metavar="NAME",
        help="with --inspect: a field whose value is shown only on demand, as those of Authorization, Cookie and "
        "Set-Cookie are; may be repeated",
    )
    group.add_argument(
        "--inspect-password-file",
        type=value.path,
        metavar="FILE",
        help="with --inspect HOST:PORT: whoever comes gives the password in this file; needed if HOST is not loopback",
    )


def make_parser() -> argparse.ArgumentParser:
    """The parser. No flag has a default here: what was not given may come from the environment."""
    parser = _Parser(
        prog="tunnel-supervisor",
        description="Gives a local port a public https://NAME.trycloudflare.com address.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=None,
    )
    what = parser.add_argument_group("what to show")
    what.add_argument("--port", type=value.port, metavar="PORT", help="the local port that requests are forwarded to")
    what.add_argument(
        "--url",
        type=value.origin_url,
        metavar="URL",
        help="instead: HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH",
    )
    what.add_argument("--hello-world", action="store_true", default=None, help="instead: serve a small page of its own")
    add_own_tunnel_flags(parser.add_argument_group("a tunnel of your own (run)"))
    what.add_argument(
        "--local-edge",
        action="store_true",
        default=None,
        help="use an edge on this machine instead of Cloudflare: offline, for demos and tests",
    )
    add_front_flags(what)
    origin = parser.add_argument_group("how requests are forwarded")
    origin.add_argument(
        "--host-header",
        type=value.host_header,
        metavar="HOST|rewrite",
        help="Host that the origin gets (rewrite: its own), for servers that refuse unknown ones; Origin, Referer, "
        "redirects and cookies change with it, so that the origin sees nothing of the public name",
    )
    origin.add_argument(
        "--forwarded-host",
        action="store_true",
        default=None,
        help="with --host-header: tell the origin the public name too, as X-Forwarded-Host, and leave Origin and "
        "Referer as they are, for applications that are set up for a proxy",
    )
    origin.add_argument(
        "--refuse-underscore-twins",
        action="store_true",
        default=None,
        help="answer 400 to a request with both X_A and X-A, for origins that take the two for one (CGI, old WSGI)",
    )
    origin.add_argument("--no-tls-verify", action="store_true", default=None, help="take any certificate of the origin")
    origin.add_argument("--origin-ca", type=value.certificates, metavar="FILE", help="PEM file with the origin's roots")
    origin.add_argument(
        "--origin-server-name", type=value.server_name, metavar="NAME", help="the name in the origin's certificate"
    )
    origin.add_argument(
        "--origin-response-timeout",
        type=value.seconds,
        metavar="SECONDS",
        help="for the head of a response, then 504 (default: 0, as long as it takes)",
    )
    origin.add_argument(
        "--origin-keep-alive",
        type=value.seconds,
        metavar="SECONDS",
        help="for which connections to the origin may be idle; 0: each serves one request "
        f"(default: {DEFAULT_ORIGIN_KEEP_ALIVE:g})",
    )
    origin.add_argument(
        "--max-streams",
        type=value.positive,
        metavar="N",
        help=f"requests at once on one connection, then 503 (default: {DEFAULT_MAX_STREAMS})",
    )
    add_guard_flags(parser.add_argument_group("who may come"))
    edge = parser.add_argument_group("the tunnel")
    edge.add_argument("--connections", type=value.connections, metavar="N", help="connections, 1 to 4 (default: 2)")
    edge.add_argument(
        "--timeout",
        type=value.positive_seconds,
        metavar="SECONDS",
        help=f"until the first connection is registered (default: {DEFAULT_HANDSHAKE_TIMEOUT:g})",
    )
    edge.add_argument(
        "--grace-period",
        type=value.seconds,
        metavar="SECONDS",
        help=f"for requests in flight when it is stopped (default: {DEFAULT_GRACE_PERIOD:g})",
    )
    edge.add_argument(
        "--max-reconnect-attempts",
        type=value.count,
        metavar="N",
        help=f"consecutive failures before it gives up; 0: never (default: {MAX_RECONNECT_ATTEMPTS})",
    )
    edge.add_argument(
        "--spare",
        action=argparse.BooleanOptionalAction,
        help="keep a worker ready that takes over a lost connection (default: yes)",
    )
    edge.add_argument(
        "--renew",
        action="store_true",
        default=None,
        help="ask for another tunnel, with another URL, when the service drops this one",
    )
    edge.add_argument(
        "--keep",
        action="store_true",
        default=None,
        help="keep the tunnel, with its secret, in the state folder: the next start there has the same URL",
    )
    edge.add_argument(
        "--keep-for",
        type=value.duration,
        metavar="TIME",
        help=f"with --keep: how long after its last use, as in 90m, 24h or 7d (default: {DEFAULT_KEEP_FOR / 3600:g}h)",
    )
    edge.add_argument(
        "--expires",
        type=value.duration,
        metavar="TIME",
        help="end in order after this time, as 30m, 8h or 7d (default: it ends when it is stopped)",
    )
    edge.add_argument(
        "--probe",
        action="store_true",
        default=None,
        help="fetch the public URL once a minute, to know that it leads here",
    )
    edge.add_argument(
        "--quic-engine",
        choices=("auto", "picoquic", "aioquic"),
        help="what speaks QUIC (default: auto, which is picoquic, the fast one of tunnel-supervisor[fast], where it is "
        "installed, else aioquic)",
    )
    edge.add_argument(
        "--congestion-control",
        choices=("bbr", "cubic", "reno"),
        help="what sets the pace towards the edge (default: bbr, which fills lines that lose packets by chance)",
    )
    edge.add_argument(
        "--post-quantum",
        action="store_true",
        default=None,
        help="accept no key exchange but X25519MLKEM768, which is offered first anyway; over QUIC only",
    )
    edge.add_argument(
        "--user-agent",
        type=value.user_agent,
        metavar="TEXT",
        help="towards the tunnel API (default: this program's name)",
    )
    add_edge_flags(edge)
    around = parser.add_argument_group("around it")
    around.add_argument(
        "--state-dir",
        type=value.folder,
        metavar="DIR",
        help="folder of tunnel.url and tunnel.json (default: $NEXO_HOME/state, or a free one beside it)",
    )
    around.add_argument(
        "--events", metavar="ENDPOINT", help="where events are published: ipc:///PATH or tcp://127.0.0.1:PORT"
    )
    around.add_argument("--metrics", metavar="ENDPOINT", help="where metrics are asked for (the same forms)")
    around.add_argument(
        "--curve-key", type=Path, metavar="FILE", help="secret key for tcp:// endpoints of these two (tunnel-keys)"
    )
    around.add_argument("--curve-clients", type=Path, metavar="DIR", help="public keys of all who may connect there")
    around.add_argument(
        "--metrics-http",
        type=value.http_address,
        metavar="HOST:PORT",
        help="answer /metrics, /ready, /healthcheck and /quicktunnel there, over HTTP (default: nowhere)",
    )
    add_inspector_flags(parser.add_argument_group("see what came, and send it again"))
    around.add_argument("--events-format", choices=("msgpack", "json"), help="payload of events (default: msgpack)")
    around.add_argument("--json", action="store_true", default=None, help="every event as a line of JSON on stdout")
    around.add_argument(
        "--lifeline",
        action="store_true",
        default=None,
        help='end when stdin ends; a line {"type":"drain","grace":5} there stops in order; '
        "without --state-dir the state files are private",
    )
    around.add_argument(
        "--owner",
        type=value.positive,
        metavar="PID",
        help="end when this process has ended; without --state-dir the state files are private",
    )
    around.add_argument("--qr", action="store_true", default=None, help="on a terminal: the URL as a QR code too")
    around.add_argument(
        "--log-requests", action="store_true", default=None, help="log each request when it has ended, at level info"
    )
    around.add_argument("--log-level", choices=log.LEVELS, help="on stderr (default: info)")
    around.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML: flags by their names, as in port = 8080; or YAML: ingress rules, as the Go client has them",
    )
    parser.add_argument("--version", action="version", version=f"tunnel-supervisor {__version__}")
    return parser
