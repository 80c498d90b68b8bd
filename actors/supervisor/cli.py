"""The command line: flags, environment, configuration file; then the supervisor."""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from zmq import ZMQError

from actors import trust
from actors.bus import events, sockets
from actors.bus.messages import Transport
from actors.bus.routes import DEFAULT_ORIGIN_KEEP_ALIVE, Origin
from actors.errors import LocalSetupError, TunnelError, UsageError
from actors.processes import environment, lifeline, log, means, text
from actors.processes.dispositions import take_signals
from actors.processes.forked import forked
from actors.processes.nursery import nursery
from actors.supervisor import guard_flags, guards, habits, inspecting, own_tunnel
from actors.supervisor.children import MODULES
from actors.supervisor.flags import make_parser
from actors.supervisor.lifeline_input import check_stdin
from actors.supervisor.proxies import DIRECTLY, ProxyRules
from actors.supervisor.settings import DEFAULT_KEEP_FOR, OWN_CONNECTIONS, Settings
from actors.supervisor.sources import TOKEN_VARIABLES, WHAT, fill, in_words
from actors.supervisor.token import OwnTunnel
from actors.url_file import default_state_folder

if TYPE_CHECKING:
    from actors.ingress.local_file import LocalFile
    from actors.ingress.model import Configuration

LOCAL_HOST: Final = "localhost"
"""Where `--port` is, by IPv4 or IPv6."""


def read_settings(arguments: Sequence[str], variables: dict[str, str]) -> Settings:
    """Turn flags, environment variables and the configuration file into settings.

    Raises:
        UsageError: with the flag or variable, and what is wrong with it.
    """
    parser = make_parser()
    given, extras = parser.parse_known_args(arguments)
    flags = parser._option_string_actions
    given.run = habits.own_tunnel(extras, flags)
    in_argv = given.token is not None
    if habit := habits.read(extras if given.run is None else [], flags):
        if asked := [in_words(name) for name in WHAT if getattr(given, name)]:
            raise UsageError(f"{habit[1]!r} and {asked[0]} both say what to show; give one of them")
        parser.parse_args(habit, given)
    rules = fill(given, parser, variables)
    own_tunnel.check(given)
    settings = _settings(given, rules, variables)
    if given.run is None:
        return settings
    in_file = {} if rules is None else {"named": rules.tunnel, "credentials_file": rules.credentials_file}
    found = own_tunnel.find(given, variables, **in_file)
    warnings = [own_tunnel.IN_ARGV, *found.warnings] if in_argv else found.warnings
    return _with_tunnel(settings, given, found.tunnel, warnings)


def _with_tunnel(settings: Settings, given: argparse.Namespace, tunnel: OwnTunnel, warnings: list[str]) -> Settings:
    if given.region and tunnel.region and given.region != tunnel.region:
        raise UsageError(
            f"--region {given.region}: this tunnel's token is for region {tunnel.region}; leave --region out"
        )
    return dataclasses.replace(
        settings,
        tunnel=tunnel,
        region=given.region or tunnel.region,
        remote_services=given.remote_services,
        connections=given.connections or OWN_CONNECTIONS,
        one_per_address=given.connections is None,
        warnings=(*warnings, *settings.warnings),
    )


def _settings(given: argparse.Namespace, rules: "LocalFile | None", variables: dict[str, str]) -> Settings:
    configuration, warnings = _rules(given, rules)
    own = [rule.guard for rule in configuration.rules] if configuration is not None else []
    guarded = guards.read(
        guard_flags.wanted(given), own if any(own) else [], guards.environment_of(variables), warnings
    )
    asked = [in_words(name) for name in WHAT if getattr(given, name)]
    if asked and configuration is not None:
        raise UsageError(f"{asked[0]} and the rules of --config {given.config} both say where requests go; give one")
    if not asked and configuration is None and given.run is None:
        raise UsageError("give --port PORT, the local port to show (or --hello-world for a page of its own)")
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} exclude each other")
    if given.local_edge and (given.service_url or given.edge or given.edge_ca):
        raise UsageError("--local-edge brings its own --service-url, --edge and --edge-ca")
    for flag in ("local_edge_tls", "as_cloudflare"):
        if getattr(given, flag) and not given.local_edge:
            raise UsageError(f"{in_words(flag)} needs --local-edge")
    if given.events is not None and given.events == given.metrics and not given.events.endswith((":0", ":*")):
        raise UsageError("--events and --metrics are the same: each needs an endpoint of its own")
    curve_files = _curve_files(given)
    for flag in ("events", "metrics"):
        if (endpoint := getattr(given, flag)) is not None:
            setattr(given, flag, sockets.check_endpoint(endpoint, flag=f"--{flag}", guarded=curve_files is not None))
    if given.post_quantum and given.protocol == "http2":
        raise UsageError("--post-quantum needs QUIC: over HTTP/2 this Python cannot keep to such a key exchange")
    # A program that starts this one learns the URL from its events; the usual folder is the command line's.
    is_a_programs = bool(given.lifeline or given.owner)
    wanted = {
        "local_edge": given.local_edge,
        "local_edge_tls": given.local_edge_tls,
        "as_cloudflare": given.as_cloudflare,
        "connections": given.connections,
        "service_url": given.service_url,
        "user_agent": given.user_agent,
        "lifeline": given.lifeline,
        "edges": tuple(given.edge) if given.edge else None,
        "edge_ip_version": given.edge_ip_version,
        "edge_ca": given.edge_ca,
        "timeout": given.timeout,
        "grace_period": given.grace_period,
        "max_streams": given.max_streams,
        "transport": _transport(given),
        "protocol": given.protocol,
        "max_reconnect_attempts": given.max_reconnect_attempts,
        "spare": given.spare,
        "renew": given.renew,
        "keep_for": _keep_for(given, is_a_programs=is_a_programs),
        "probe": given.probe,
        "expires": given.expires,
        "state_folder": _state_folder(given) if given.state_dir or not is_a_programs else None,
        # A tunnel that is kept is looked for in one place: beside it there may be another's.
        "state_folder_is_usual": not (given.state_dir or is_a_programs or given.keep),
        "owner": given.owner,
        "events_endpoint": given.events,
        "metrics_endpoint": given.metrics,
        "curve_files": curve_files,
        "metrics_http": given.metrics_http,
        "inspecting": inspecting.of(given),
        "events_format": given.events_format,
        "json": given.json,
        "qr": given.qr,
        "log_requests": given.log_requests,
        "log_level": given.log_level,
    }
    return Settings(
        origin=_origin(given),
        hello_world=bool(given.hello_world),
        configuration=configuration,
        warnings=tuple(warnings),
        guards=guarded,
        proxies=DIRECTLY if given.local_edge else ProxyRules.read(variables),
        log_json=sys.stderr is None or not sys.stderr.isatty(),
        **{name: value for name, value in wanted.items() if value is not None},
    )


def _rules(given: argparse.Namespace, file: "LocalFile | None") -> tuple["Configuration | None", list[str]]:
    """Those of the file of `--config`, and what is to be said of it."""
    if file is None:
        return None, []
    from actors.supervisor import local_rules  # here, since few have such a file

    return local_rules.checked(file), local_rules.warnings(file, given)


def _transport(given: argparse.Namespace) -> Transport:
    has_picoquic = importlib.util.find_spec("aiopquic") is not None
    match given.quic_engine:
        case "picoquic" if not has_picoquic:
            raise UsageError(
                "--quic-engine picoquic needs the package aiopquic, which is there for Python 3.12 and newer: "
                "pip install 'tunnel-supervisor[fast]'"
            )
        case "picoquic" | "aioquic" as engine:
            pass
        case _:
            engine = "picoquic" if has_picoquic else "aioquic"
    return Transport(engine, given.congestion_control or "bbr", bool(given.post_quantum))


def _state_folder(given: argparse.Namespace) -> Path | None:
    """Where the state files go; None: nowhere that anybody knows of."""
    try:
        return Path(given.state_dir or default_state_folder()).absolute()
    except LocalSetupError:  # a user without a home, as in containers: `main` says so
        return None


def _keep_for(given: argparse.Namespace, *, is_a_programs: bool) -> float | None:
    """For how long the tunnel is kept; None: it is not."""
    if not given.keep:
        if given.keep_for is not None:
            raise UsageError("--keep-for needs --keep")
        return None
    if given.local_edge:
        raise UsageError("--keep and --local-edge exclude each other: that edge ends with the supervisor")
    if is_a_programs and not given.state_dir:
        raise UsageError("--keep needs --state-dir: a program's tunnel has no folder that outlives it")
    if _state_folder(given) is None:
        raise UsageError("--keep needs a folder: this user has no home, so set NEXO_HOME or give --state-dir")
    return DEFAULT_KEEP_FOR if given.keep_for is None else float(given.keep_for)


def _curve_files(given: argparse.Namespace) -> tuple[Path, Path] | None:
    if given.curve_key is None and given.curve_clients is None:
        return None
    if given.curve_key is None or given.curve_clients is None:
        raise UsageError("--curve-key and --curve-clients go together")
    if not any(endpoint and endpoint.startswith("tcp://") for endpoint in (given.events, given.metrics)):
        raise UsageError("--curve-key is for --events tcp://HOST:PORT or --metrics tcp://HOST:PORT; neither was given")
    return given.curve_key, given.curve_clients


def _origin(given: argparse.Namespace) -> Origin | None:
    origin = given.url or (Origin(host=LOCAL_HOST, port=given.port) if given.port else None)
    details = (
        *("host_header", "forwarded_host", "refuse_underscore_twins"),
        *("no_tls_verify", "origin_ca", "origin_server_name"),
        *("origin_response_timeout", "origin_keep_alive"),
    )
    if origin is None:
        if wrong := [name for name in details if getattr(given, name)]:
            raise UsageError(f"{in_words(wrong[0])} needs --port or --url")
        return None
    for name in ("no_tls_verify", "origin_ca", "origin_server_name"):
        if getattr(given, name) and origin.scheme != "https":
            raise UsageError(f"{in_words(name)} needs --url https://HOST:PORT")
    host_header = given.host_header
    if given.forwarded_host and not host_header:
        raise UsageError("--forwarded-host goes with --host-header: without it the origin gets the public name as Host")
    if host_header == "rewrite":
        default = {"http": 80, "https": 443}.get(origin.scheme)
        host_header = "localhost" if origin.scheme == "unix" else origin.authority
        if origin.port == default:
            host_header = host_header.rpartition(":")[0]
    return msgspec.structs.replace(
        origin,
        host_header=host_header,
        forwarded_host=bool(given.forwarded_host),
        refuse_twins=bool(given.refuse_underscore_twins),
        verify=not given.no_tls_verify,
        ca_file=str(given.origin_ca) if given.origin_ca else None,
        server_name=given.origin_server_name,
        response_timeout=given.origin_response_timeout or 0.0,
        keep_alive=DEFAULT_ORIGIN_KEEP_ALIVE if given.origin_keep_alive is None else given.origin_keep_alive,
    )


def main() -> int:
    """Run the program; return its exit status."""
    take_signals()
    means.say_refusals("tunnel-supervisor")
    text.any_stream_will_do()
    lifeline.protect_secrets()
    _open_standard_streams()
    try:
        variables = dict(os.environ)
        environment.forget(TOKEN_VARIABLES)
        settings = read_settings(sys.argv[1:], variables)
        environment.forget(settings.guards.variables)
        if settings.lifeline:
            check_stdin()
    except (TunnelError, OSError) as fault:
        error = _as_tunnel_error(fault)
        print(f"tunnel-supervisor: {error}\nSee tunnel-supervisor --help.", file=sys.stderr)
        return int(error.exit_code)
    logger = log.configure(level=settings.log_level, as_json=settings.log_json, actor="supervisor")
    if settings.state_folder is None and not settings.lifeline:
        logger.warning(
            "this user has no home folder, so there are no state files: to have them, set NEXO_HOME or give --state-dir"
        )
    for warning in settings.warnings:
        logger.warning(warning)
    if settings.proxies.problem and settings.limits.protocol != "quic":
        logger.warning(settings.proxies.problem)
    try:
        with (
            nursery(lambda: _load_for_worker(settings), lambda: _load_for_later(settings)) as nursed,
            forked(map(MODULES.__getitem__, settings.helpers)) as head_start,
        ):
            from actors.supervisor.compose import supervise  # here, so that the children import beside this process

            return int(supervise(settings, logger, head_start, nursed))
    except (TunnelError, OSError, ZMQError, RuntimeError) as fault:
        error = _as_tunnel_error(fault)
        logger.error(str(error), reason=error.reason)
        if settings.json:  # it came before there was an event socket
            failed = events.StartFailed(reason=error.reason, message=log.printable(str(error)), seq=1, time=time.time())
            print(msgspec.json.encode(failed).decode(), flush=True)
        return int(error.exit_code)


def _as_tunnel_error(fault: Exception) -> TunnelError:
    """What the machine refused, as an error in words of ours; a fault of the program's own is raised again."""
    if isinstance(fault, TunnelError):
        return fault
    if (line := means.refusal(fault)) is None:
        raise fault
    means.quiet_end()
    return LocalSetupError(line)


def _load_for_worker(settings: Settings) -> None:
    """Load what the first worker needs, down to what is otherwise loaded when it is needed: a start waits for it."""
    from actors.quic_worker import __main__, spare, ways  # noqa: F401 - in the nursery, not in the supervisor

    ways.load("quic", settings.transport.engine)  # spares load it, whatever is spoken
    if settings.limits.protocol == "http2":
        ways.load("http2", settings.transport.engine)
    with contextlib.suppress(ImportError):
        importlib.import_module("uvloop")
    if settings.guards != guards.NO_GUARDS:
        importlib.import_module("actors.exchange.guard_gate")
    if any(guard.logins for guard in settings.guards.each):
        importlib.import_module("bcrypt")
    trust.edge_roots()


def _load_for_later(settings: Settings) -> None:
    """Load what children need besides that are started after the first worker."""
    from actors.metrics import __main__  # noqa: F401 - as above
    from actors.quic_worker import ways

    if settings.limits.protocol == "auto":
        ways.load("http2", settings.transport.engine)
    if settings.tunnel is not None or settings.configuration is not None:
        for name in ("actors.ingress.match", "actors.exchange.services", "actors.exchange.access_keys"):
            importlib.import_module(name)
    if settings.metrics_http is not None:
        importlib.import_module("actors.metrics.http")
    if settings.inspecting is not None:
        importlib.import_module("actors.quic_worker.inspected")
        importlib.import_module("actors.inspector.__main__")
    if settings.curve_files is not None:
        importlib.import_module("actors.bus.curve")


def _open_standard_streams() -> None:
    """With a closed standard stream, the next file that is opened would take its number, and get its writes."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
