"""tunnel-supervisor: a public trycloudflare.com address for a local port, in pure Python.

The map of the system. These folders are actors, each a process of its own:

    supervisor/   owns the tunnel: asks for it, finds the edge, starts the workers, judges their failures
    quic_worker/  one connection to the edge and the streams on it; its life is the connection's life
    metrics/      the counters of all connections, past and present, and their Prometheus text
    inspector/    what came and what was answered, on a page of this machine; sends it again
    local_edge/   a stand-in for Cloudflare on loopback, for offline use, demos and tests
    hello_world/  a small page of its own, for a first look

what they are made of:

    exchange/     what happens to a request, whatever brought it
    guard/        who may come, and how often
    wire/         the bytes of the tunnel's protocol
    web/          HTTP towards clients: small pages, and the front of the local edge
    ingress/      the rules by which requests are told apart, as people and dashboards write them
    bus/          how the actors talk: schema, sockets, keys
    processes/    how processes of ours begin and end, and what they need of the machine

and what is around them:

    api/          what Python programs use: its names are importable from here
    pytest_plugin.py  fixtures for tests of webhooks
    tools/        programs that look at a running tunnel
    compat/       other names of the same
    errors.py     every error a user can meet, with its reason label and exit code
    trust.py      whom the worker takes for the edge
    url_file.py   the URL file, for any program that wants to know the address

docs/design.md has the picture.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from actors.api.asgi import lifespan
    from actors.api.blocking import Tunnel
    from actors.api.handle import TunnelHandle, TunnelMetrics
    from actors.api.manager import TunnelManager
    from actors.errors import PermanentFailure, RateLimited, TunnelError
    from actors.url_file import clear_url_file, read_url_file, write_url_file

__version__: Final = "0.1.0"

DEFAULT_HANDSHAKE_TIMEOUT: Final = 30.0
"""Seconds from the first dial until the first registration; past it the start has failed."""

DEFAULT_GRACE_PERIOD: Final = 30.0
"""Seconds that streams in flight get to finish after a stop was asked for."""

MAX_RECONNECT_ATTEMPTS: Final = 10
"""Consecutive failures of a worker slot after which, with no connection up, the tunnel is given up."""

_HOMES: Final = {
    "Tunnel": "api.blocking",
    "lifespan": "api.asgi",
    "TunnelHandle": "api.handle",
    "TunnelManager": "api.manager",
    "TunnelMetrics": "api.handle",
    "PermanentFailure": "errors",
    "RateLimited": "errors",
    "TunnelError": "errors",
    "clear_url_file": "url_file",
    "read_url_file": "url_file",
    "write_url_file": "url_file",
}
"""Where the names of the API live. They are loaded when they are asked for: the actors themselves need none of them."""

__all__ = [
    "DEFAULT_GRACE_PERIOD",
    "DEFAULT_HANDSHAKE_TIMEOUT",
    "MAX_RECONNECT_ATTEMPTS",
    "PermanentFailure",
    "RateLimited",
    "Tunnel",
    "TunnelError",
    "TunnelHandle",
    "TunnelManager",
    "TunnelMetrics",
    "__version__",
    "clear_url_file",
    "lifespan",
    "read_url_file",
    "write_url_file",
]


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
