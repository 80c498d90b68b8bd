"""The flags: what there is, and what makes sense for each of them."""

import argparse
import os
import re
import ssl
import urllib.parse
from pathlib import Path
from typing import Final, Literal, NoReturn, get_args

from actors import DEFAULT_GRACE_PERIOD, DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS, __version__
from actors.bus import sockets
from actors.bus.addresses import HostPort
from actors.bus.messages import DEFAULT_ORIGIN_KEEP_ALIVE, Origin, ProtocolWish
from actors.errors import ExitCode, UsageError
from actors.processes import log
from actors.supervisor.discovery import EDGE_PORT
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL
from actors.supervisor.settings import DEFAULT_MAX_STREAMS

ENVIRONMENT_PREFIX: Final = "TUNNEL_SUPERVISOR_"
"""Not TUNNEL_, which the Go client reads."""

MAX_SECONDS: Final = 24 * 3600.0
"""No timeout or grace period is longer than a day."""

MAX_CONNECTIONS: Final = 4
"""What the edge takes for one tunnel."""

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

exit codes:
{_LINES}
  128+N  ended at once by a second signal N

The URL is printed on stdout, once it works; everything else goes to stderr.
"""


def port(text: str) -> int:
    """A port.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no port (1 to 65535)")
    return int(text)


def _host_port(text: str) -> tuple[str, int]:
    """HOST, HOST:PORT, [IPv6]:PORT or a bare IPv6 address."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.%]+)\](?::(\d+))?|([^:\[\]\s]+)(?::(\d+))?", text)
    if match:
        return match[1] or match[3], port(match[2] or match[4] or str(EDGE_PORT))
    if re.fullmatch(r"[0-9a-fA-F:.]+", text):
        return text, EDGE_PORT
    raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")


def _http_address(text: str) -> HostPort:
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no HOST:PORT, as in 127.0.0.1:20241")
    return HostPort(match[1] or match[2], int(match[3]))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds (0 to {MAX_SECONDS:.0f})")
    return value


def _positive_seconds(text: str) -> float:
    value = _seconds(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _positive(text: str) -> int:
    if (value := _count(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _connections(text: str) -> int:
    value = _count(text)
    if not 1 <= value <= MAX_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {MAX_CONNECTIONS}")
    return value


def _url(text: str) -> str:
    try:
        parts = urllib.parse.urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no http:// or https:// URL")
    return text


def _origin_url(text: str) -> Origin:
    """http://host:port, https://host:port or unix:/path.sock; without a scheme, HOST:PORT or :PORT, it is http."""
    if plain := re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^:/\[\]\s]*):(\d+)/?", text):
        text = f"http://{plain[1] or 'localhost'}:{plain[2]}"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/") or len(os.fsencode(path)) > sockets.MAX_IPC_PATH:
            raise argparse.ArgumentTypeError(
                f"{text!r}: give an absolute path of at most {sockets.MAX_IPC_PATH} bytes, as in unix:/run/app.sock"
            )
        _check_text(text)
        return Origin(scheme="unix", path=path)
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")  # or no resolver takes it
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.username is not None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r}: leave the path out; each request brings its own")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme=scheme, host=parts.hostname, port=port or (443 if scheme == "https" else 80))


def _host_header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST or HOST:PORT, nor the word rewrite")
    return text


def _server_name(text: str) -> str:
    try:
        encoded = text.encode("idna")  # as TLS will: what it refuses there would fail each request
    except UnicodeError:
        encoded = b""
    if not re.fullmatch(rb"[A-Za-z0-9_:%-][A-Za-z0-9_.:%-]{0,252}", encoded):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no name that a certificate can have, as in app.example")
    return text


def _user_agent(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?", text):
        raise argparse.ArgumentTypeError("give 1 to 200 printable ASCII characters")
    return text


def _check_text(path: str) -> None:
    """Children are told of paths in messages, which are text: bytes that are none in this locale cannot be sent."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{path!r} is no text in this locale: give a path in ASCII") from None


def _certificates(text: str) -> Path:
    path = Path(text)
    _check_text(os.path.abspath(text))
    try:
        ssl.create_default_context(cafile=str(path))
    except FileNotFoundError:
        raise argparse.ArgumentTypeError(f"there is no file {text[:200]}") from None
    except ssl.SSLError:
        raise argparse.ArgumentTypeError(f"{text} holds no certificate in PEM form") from None
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {text[:200]}: {error}") from None
    return path.absolute()


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def add_edge_flags(group: argparse._ActionsContainer) -> None:
    """Where the tunnel API and the edge are."""
    group.add_argument(
        "--service-url", type=_url, metavar="URL", help=f"the tunnel API (default: {DEFAULT_SERVICE_URL})"
    )
    group.add_argument(
        "--edge",
        type=_host_port,
        action="append",
        metavar="HOST:PORT",
        help="an address of the edge, not those that DNS knows; may be repeated",
    )
    group.add_argument("--edge-ip-version", choices=("auto", "4", "6"), help="towards the edge (default: auto)")
    group.add_argument("--edge-ca", type=_certificates, metavar="FILE", help="PEM file with other trust roots")


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
    what.add_argument("--port", type=port, metavar="PORT", help="the local port that requests are forwarded to")
    what.add_argument(
        "--url",
        type=_origin_url,
        metavar="URL",
        help="instead: HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH",
    )
    what.add_argument("--hello-world", action="store_true", default=None, help="instead: serve a small page of its own")
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
        type=_host_header,
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
    origin.add_argument("--origin-ca", type=_certificates, metavar="FILE", help="PEM file with the origin's roots")
    origin.add_argument(
        "--origin-server-name", type=_server_name, metavar="NAME", help="the name in the origin's certificate"
    )
    origin.add_argument(
        "--origin-response-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="for the head of a response, then 504 (default: 0, as long as it takes)",
    )
    origin.add_argument(
        "--origin-keep-alive",
        type=_seconds,
        metavar="SECONDS",
        help="for which connections to the origin may be idle; 0: each serves one request "
        f"(default: {DEFAULT_ORIGIN_KEEP_ALIVE:g})",
    )
    origin.add_argument(
        "--max-streams",
        type=_positive,
        metavar="N",
        help=f"requests at once on one connection, then 503 (default: {DEFAULT_MAX_STREAMS})",
    )
    edge = parser.add_argument_group("the tunnel")
    edge.add_argument("--connections", type=_connections, metavar="N", help="connections, 1 to 4 (default: 2)")
    edge.add_argument(
        "--timeout",
        type=_positive_seconds,
        metavar="SECONDS",
        help=f"until the first connection is registered (default: {DEFAULT_HANDSHAKE_TIMEOUT:g})",
    )
    edge.add_argument(
        "--grace-period",
        type=_seconds,
        metavar="SECONDS",
        help=f"for requests in flight when it is stopped (default: {DEFAULT_GRACE_PERIOD:g})",
    )
    edge.add_argument(
        "--max-reconnect-attempts",
        type=_count,
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
        "--probe",
        action="store_true",
        default=None,
        help="fetch the public URL once a minute, to know that it leads here",
    )
    edge.add_argument(
        "--protocol",
        choices=get_args(ProtocolWish),
        help="towards the edge: QUIC over UDP, or HTTP/2 over TCP, through the proxy of HTTPS_PROXY if there is one "
        "(default: auto, which is QUIC, and HTTP/2 while UDP is blocked)",
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
        "--user-agent", type=_user_agent, metavar="TEXT", help="towards the tunnel API (default: this program's name)"
    )
    add_edge_flags(edge)
    around = parser.add_argument_group("around it")
    around.add_argument(
        "--state-dir",
        type=_folder,
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
        type=_http_address,
        metavar="HOST:PORT",
        help="answer /metrics, /ready, /healthcheck and /quicktunnel there, over HTTP (default: nowhere)",
    )
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
        type=_positive,
        metavar="PID",
        help="end when this process has ended; without --state-dir the state files are private",
    )
    around.add_argument("--qr", action="store_true", default=None, help="on a terminal: the URL as a QR code too")
    around.add_argument(
        "--log-requests", action="store_true", default=None, help="log each request when it has ended, at level info"
    )
    around.add_argument("--log-level", choices=log.LEVELS, help="on stderr (default: info)")
    around.add_argument("--config", type=Path, metavar="FILE", help="TOML: flags by their names, as in port = 8080")
    parser.add_argument("--version", action="version", version=f"tunnel-supervisor {__version__}")
    return parser
