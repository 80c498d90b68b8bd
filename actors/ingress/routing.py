"""Routes for the workers, from a configuration: the last step, where this machine has its say. Pure.

What the Go client would only find out at a request, or would pass over, is refused here by name.
"""

import re
from collections.abc import Callable
from typing import Final, Literal

from actors.bus import routes as bus
from actors.bus.routes import Origin
from actors.ingress.allowed import EVERYTHING, Allowed
from actors.ingress.errors import RuleError
from actors.ingress.hostnames import MAX_LENGTH
from actors.ingress.model import (
    AccessRequest,
    Bastion,
    Configuration,
    HelloWorld,
    Http,
    OriginRequest,
    Rule,
    Service,
    Socks,
    Status,
    Tcp,
    Unix,
)

__all__ = ["EVERYTHING", "Allowed", "routes"]

LONGEST: Final = 24 * 3600.0
"""Seconds of any timeout: no more are counted, and "no limit" for idle connections is as long."""

MOST_IDLE: Final = 1000
"""Idle connections to one origin: each is a descriptor of a worker's."""

_VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
_SERVER_NAME: Final = re.compile(rb"[A-Za-z0-9_:%-][A-Za-z0-9_.:%-]{0,252}")
_TEAM: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")

ReadFile = Callable[[str], object]
"""Reads a file of this machine, or raises OSError. It names what a push may name: a regular file, of bounded size."""


def routes(
    configuration: Configuration,
    *,
    version: int,
    hello_world: Origin | None,
    allowed: Allowed,
    read_file: ReadFile | None = None,
) -> bus.Routes:
    """Turn rules into routes.

    Args:
        configuration: what is to be in force.
        version: of it; -1: it is this machine's own.
        hello_world: where the page of our own is, if one runs (see `Configuration.has_hello_world`).
        allowed: what may be reached; `EVERYTHING` for this machine's own rules.
        read_file: tells whether the files of `caPool` can be read; None: they are not looked at.

    Raises:
        RuleError: a rule asks for what is not allowed, not there, or cannot be done here.
    """
    made = []
    for number, rule in enumerate(configuration.rules, 1):
        allowed.check(rule.service, number)
        try:
            destination = _destination(rule, hello_world)
            access = _access(rule.request.access)
        except _Unfit as error:
            raise RuleError(f"Rule #{number}: {error}", number) from None
        made.append(bus.Route(destination, rule.hostname, rule.punycode, rule.path, access))
    if read_file is not None:
        _check_files(configuration, read_file)
    return bus.Routes(tuple(made), version)


class _Unfit(Exception):
    """What a rule asks for cannot be done."""


def _destination(rule: Rule, hello_world: Origin | None) -> bus.Destination:
    request = rule.request
    match rule.service:
        case Http() | Unix() as service:
            return _origin(service, request)
        case Status(status):
            return bus.Status(status)
        case HelloWorld():
            if hello_world is None:
                raise _Unfit("hello_world is not there: no page of our own runs here")
            return hello_world
        case Tcp() as tcp:
            return bus.Tcp(
                _resolvable(tcp.host),
                tcp.port,
                str(tcp),
                _seconds(request.connect_timeout),
                _seconds(request.keep_alive_period),
            )
        case Bastion():
            return bus.Bastion(_seconds(request.connect_timeout), _seconds(request.keep_alive_period))
        case Socks():
            return bus.Socks(request.ip_rules, _seconds(request.connect_timeout), _seconds(request.keep_alive_period))


def _origin(service: Http | Unix, request: OriginRequest) -> Origin:
    if request.http2_origin:
        raise _Unfit("http2Origin cannot be had: origins are spoken to in HTTP/1.1; leave it out")
    if not _VISIBLE.fullmatch(request.host_header):
        raise _Unfit("httpHostHeader is no HOST or HOST:PORT")
    if request.server_name and not _SERVER_NAME.fullmatch(_in_dns(request.server_name) or b""):
        raise _Unfit("originServerName is no name that a certificate can have")
    for name, path in (("the path of its socket", getattr(service, "path", "")), ("caPool", request.ca_pool)):
        if "\0" in path:
            raise _Unfit(f"{name} holds a zero byte, which no path can")
    # 0 is "no limit" for a timeout, and for how long an idle connection is kept.
    how = {
        "verify": not request.no_tls_verify,
        "extra_ca_file": request.ca_pool or None,
        "server_name": request.server_name or None,
        "match_sni_to_host": request.match_sni_to_host,
        "connect_timeout": _seconds(request.connect_timeout),
        "tls_timeout": _seconds(request.tls_timeout),
        "keep_alive": _seconds(request.keep_alive_timeout) or LONGEST,
        "keep_alive_connections": min(max(request.keep_alive_connections, 0), MOST_IDLE),
        "keep_alive_period": _seconds(request.keep_alive_period),
        "happy_eyeballs": not request.no_happy_eyeballs,
        "chunked": not request.disable_chunked_encoding,
    }
    if isinstance(service, Unix):
        return Origin(scheme="unix+tls" if service.tls else "unix", path=service.path, **how)  # type: ignore[arg-type]
    scheme: Literal["http", "https"] = "https" if service.tls else "http"
    return Origin(
        host=_resolvable(service.host),
        port=service.port,
        scheme=scheme,
        host_header=request.host_header or None,
        forwarded_host=bool(request.host_header),
        **how,  # type: ignore[arg-type]
    )


def _seconds(value: float) -> float:
    """A negative time is no limit."""
    return min(max(value, 0.0), LONGEST)


def _resolvable(host: str) -> str:
    if _in_dns(host) is None:
        raise _Unfit(f"{host[:100]!r} is no name that a resolver takes")
    return host


def _in_dns(name: str) -> bytes | None:
    """As a resolver, or TLS, would send it; None: they would not."""
    try:
        return name.encode("idna") if len(name) <= MAX_LENGTH else None
    except UnicodeError:
        return None


def _access(access: AccessRequest) -> bus.Access | None:
    if not access.required:
        return None
    if not access.team_name:  # set up by half: nobody comes in
        return bus.Access("", access.audiences)
    if not _TEAM.fullmatch(access.team_name):
        raise _Unfit(f"access.teamName {access.team_name[:100]!r} is no name of a team")
    fed = "fed." if access.environment == "fed" else ""
    return bus.Access(f"https://{access.team_name}.{fed}cloudflareaccess.com", access.audiences)


def _check_files(configuration: Configuration, read_file: ReadFile) -> None:
    """All files of roots are there."""
    asked: dict[str, tuple[int, Service]] = {}
    for number, rule in enumerate(configuration.rules, 1):
        if rule.request.ca_pool and isinstance(rule.service, Http | Unix):
            asked.setdefault(rule.request.ca_pool, (number, rule.service))
    for path, (number, service) in asked.items():
        try:
            read_file(path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise RuleError(
                f"failed to start origin: Error starting local service {service}: Error loading cert pool: unable to "
                f"read the file {path} for --origin-ca-pool: open {path}: {why}",
                number,
            ) from None
