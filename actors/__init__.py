"""tunnel-supervisor: a public trycloudflare.com address for a local port, in pure Python.

The map of the system. Each folder is one actor, a process of its own:

    supervisor/   owns the tunnel: asks for it, finds the edge, starts the workers, judges their failures
    quic_worker/  one QUIC connection to the edge and the requests on it; its life is the connection's life
    metrics/      the counters of all connections, past and present, and their Prometheus text
    local_edge/   a stand-in for Cloudflare on loopback, for offline use, demos and tests
    hello_world/  a small page of its own, for a first look

beside them `tools/`, the programs that look at a running tunnel; and what they share:

    messages.py   the schema of everything that passes between processes
    tally.py      what is counted
    bus.py        endpoints and the one place where ZeroMQ sockets are made
    curve.py      keys for sockets that are offered to the network
    lifeline.py   how a child is started, gets its orders, and ends with its parent
    forked.py     how the first children are: as forks, by which they share what is imported
    nursery.py    a process that forks the later ones, from what was loaded at the start
    dispositions.py  what each signal does to a process of ours, whoever started it
    event_loop.py the event loop of a process that moves bytes
    tasks.py      asyncio tasks that are held, and whose failures are seen
    errors.py     every error a user can meet, with its reason label and exit code
    events.py     what the supervisor tells the world
    means.py      what each process needs of its machine, and what is said when it is refused
    environment.py  variables as they were meant
    text.py       text on streams of any encoding
    child.py      what every simple child does
    trust.py      whom the worker takes for the edge
    log.py        structured logs on stderr
    run_folder.py the private place for an instance's sockets
    url_file.py   the URL file, for any program that wants to know the address

and the Python API, whose names are importable from here:

    manager.py    TunnelManager: how a tunnel is to be
    handle.py     TunnelHandle: a tunnel that a program has
    supervisor_process.py  the supervisor process of a program: its start, its output, its end
    tether.py     the pipe that ties its supervisor to the program
    program_log.py  what the supervisor logs, by the program's own `logging`
    shared.py     one tunnel for all processes of a server: reloaders, several workers
    notebook.py   a cell that is run again ends what its earlier run started
    blocking.py   Tunnel, the same without `await`
    asgi.py       lifespan, for FastAPI, Starlette and the like
    pytest_plugin.py  a fixture for tests of webhooks
    compat/       other names of the same

docs/design.md has the picture.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from actors.asgi import lifespan
    from actors.blocking import Tunnel
    from actors.errors import PermanentFailure, RateLimited, TunnelError
    from actors.handle import TunnelHandle, TunnelMetrics
    from actors.manager import TunnelManager
    from actors.url_file import clear_url_file, read_url_file, write_url_file

__version__: Final = "0.1.0"

DEFAULT_HANDSHAKE_TIMEOUT: Final = 30.0
"""Seconds from the first dial until the first registration; past it the start has failed."""

DEFAULT_GRACE_PERIOD: Final = 30.0
"""Seconds that streams in flight get to finish after a stop was asked for."""

MAX_RECONNECT_ATTEMPTS: Final = 10
"""Consecutive failures of a worker slot after which, with no connection up, the tunnel is given up."""

_HOMES: Final = {
    "Tunnel": "blocking",
    "lifespan": "asgi",
    "TunnelHandle": "handle",
    "TunnelManager": "manager",
    "TunnelMetrics": "handle",
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
