"""The command line: flags, environment, configuration file; then the supervisor."""

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors import bus, events, lifeline, log
from actors.errors import TunnelError, UsageError
from actors.forked import forked
from actors.messages import CongestionControl, Curve, Origin, QuicEngine, Transport
from actors.supervisor.children import MODULES
from actors.supervisor.flags import make_parser
from actors.supervisor.restart import SPARE
from actors.supervisor.settings import Settings
from actors.supervisor.sources import WHAT, fill
from actors.url_file import default_state_folder

LOCAL_HOST: Final = "localhost"
"""Where `--port` is, by IPv4 or IPv6."""


def read_settings(arguments: Sequence[str], environment: dict[str, str]) -> Settings:
    """Turn flags, environment variables and the configuration file into settings.

    Raises:
        UsageError: with the flag or variable, and what is wrong with it.
    """
    parser = make_parser()
    given = parser.parse_args(arguments)
    fill(given, parser, environment)
    return _settings(given)


def _settings(given: argparse.Namespace) -> Settings:
    asked = [f"--{name.replace('_', '-')}" for name in WHAT if getattr(given, name)]
    if not asked:
        raise UsageError("give --port PORT, the local port to show (or --hello-world for a page of its own)")
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} exclude each other")
    if given.local_edge and (given.service_url or given.edge or given.edge_ca):
        raise UsageError("--local-edge brings its own --service-url, --edge and --edge-ca")
    if given.events is not None and given.events == given.metrics and not given.events.endswith((":0", ":*")):
        raise UsageError("--events and --metrics are the same: each needs an endpoint of its own")
    curve = _curve(given)
    for flag in ("events", "metrics"):
        if (endpoint := getattr(given, flag)) is not None:
            setattr(given, flag, bus.check_endpoint(endpoint, flag=f"--{flag}", guarded=curve is not None))
    wanted = {
        "local_edge": given.local_edge,
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
        "max_reconnect_attempts": given.max_reconnect_attempts,
        "spare": given.spare,
        "renew": given.renew,
        "probe": given.probe,
        # A program that starts this one learns the URL from its events; the usual folder is the command line's.
        "state_folder": None if given.lifeline and not given.state_dir else _state_folder(given),
        "events_endpoint": given.events,
        "metrics_endpoint": given.metrics,
        "curve": curve,
        "metrics_http": given.metrics_http,
        "events_format": given.events_format,
        "json": given.json,
        "qr": given.qr,
        "log_requests": given.log_requests,
        "log_level": given.log_level,
    }
    return Settings(
        origin=_origin(given),
        log_json=sys.stderr is None or not sys.stderr.isatty(),
        **{name: value for name, value in wanted.items() if value is not None},
    )


def _transport(given: argparse.Namespace) -> Transport:
    engine: QuicEngine = given.quic_engine or "aioquic"
    if engine == "qh3":
        if importlib.util.find_spec("qh3") is None:
            raise UsageError("--quic-engine qh3 needs the package qh3: pip install 'tunnel-supervisor[fast]'")
        if given.congestion_control not in (None, "cubic"):
            raise UsageError(f"--congestion-control {given.congestion_control} is not for qh3, which knows cubic only")
    congestion_control: CongestionControl = given.congestion_control or ("cubic" if engine == "qh3" else "bbr")
    return Transport(engine, congestion_control, bool(given.post_quantum))


def _state_folder(given: argparse.Namespace) -> Path:
    return Path(given.state_dir or default_state_folder()).absolute()


def _curve(given: argparse.Namespace) -> Curve | None:
    if given.curve_key is None and given.curve_clients is None:
        return None
    if given.curve_key is None or given.curve_clients is None:
        raise UsageError("--curve-key and --curve-clients go together")
    if not any(endpoint and endpoint.startswith("tcp://") for endpoint in (given.events, given.metrics)):
        raise UsageError("--curve-key is for --events tcp://… or --metrics tcp://…; neither was given")
    from actors.curve import read_curve  # here, since few ask for it

    return read_curve(given.curve_key, given.curve_clients)


def _origin(given: argparse.Namespace) -> Origin | None:
    origin = given.url or (Origin(host=LOCAL_HOST, port=given.port) if given.port else None)
    details = (
        *("host_header", "forwarded_host", "refuse_underscore_twins"),
        *("no_tls_verify", "origin_ca", "origin_server_name", "origin_response_timeout"),
    )
    if origin is None:
        if wrong := [name for name in details if getattr(given, name)]:
            raise UsageError(f"--{wrong[0].replace('_', '-')} needs --port or --url")
        return None
    for name in ("no_tls_verify", "origin_ca", "origin_server_name"):
        if getattr(given, name) and origin.scheme != "https":
            raise UsageError(f"--{name.replace('_', '-')} needs --url https://…")
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
    )


def main() -> int:
    """Run the program; return its exit status."""
    lifeline.protect_secrets()
    _open_standard_streams()
    try:
        settings = read_settings(sys.argv[1:], dict(os.environ))
    except TunnelError as error:
        print(f"tunnel-supervisor: {error}\nSee tunnel-supervisor --help.", file=sys.stderr)
        return int(error.exit_code)
    logger = log.configure(level=settings.log_level, as_json=settings.log_json, actor="supervisor")
    try:
        with forked(MODULES[name] for name in (SPARE, *settings.helpers)) as head_start:
            from actors.supervisor.runner import supervise  # here, so that the children import beside this process

            return int(supervise(settings, logger, head_start))
    except TunnelError as error:
        logger.error(str(error), reason=error.reason)
        if settings.json:  # it came before there was an event socket
            failed = events.StartFailed(reason=error.reason, message=str(error), seq=1, time=time.time())
            print(msgspec.json.encode(failed).decode(), flush=True)
        return int(error.exit_code)


def _open_standard_streams() -> None:
    """With a closed standard stream, the next file that is opened would take its number, and get its writes."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
