"""The supervisor's own sockets: what it binds, what it offers to clients with a key, and what it removes at the end."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from actors.bus import sockets
from actors.bus.messages import Curve, LifecycleReport, encode
from actors.processes.log import Logger
from actors.supervisor.settings import Settings

if TYPE_CHECKING:
    from zmq.auth.asyncio import AsyncioAuthenticator


class BusSockets:
    """They are open for the life of a supervisor. Their endpoints are in its run folder, if no others are named."""

    def __init__(self, context: sockets.Context, settings: Settings, folder: Path, logger: Logger) -> None:
        """
        Raises:
            TunnelError: an endpoint is taken, or a key cannot be read.
        """
        self.context = context
        self._bound: list[str] = []
        self._authenticator: AsyncioAuthenticator | None = None
        self.curve: Curve | None = None
        if settings.curve_files is not None:
            from actors.bus.curve import read_curve  # here, since few ask for it

            self.curve = read_curve(*settings.curve_files)
        self.events = sockets.make_socket(context, zmq.SocketType.PUB)
        events_here, events_guarded = _split(settings, settings.events_endpoint, f"ipc://{folder}/events")
        self.metrics_endpoint, self.guarded_metrics_endpoint = _split(
            settings, settings.metrics_endpoint, f"ipc://{folder}/metrics"
        )
        self.events_endpoint = sockets.bind(self.events, events_here)
        self.is_ours(self.events_endpoint)
        if self.curve is not None and events_guarded is not None:
            from actors.bus.curve import bind_guarded

            self._authenticator, bound = bind_guarded(context, self.events, self.curve, events_guarded)
            logger.info("events for clients with a key", endpoint=bound)
        self.deltas_endpoint = f"ipc://{folder}/deltas"
        self._deltas = sockets.make_socket(context, zmq.SocketType.PUSH)
        self._deltas.connect(self.deltas_endpoint)
        self.control_endpoint = f"ipc://{folder}/control"

    @classmethod
    @contextlib.contextmanager
    def opened(cls, settings: Settings, folder: Path, logger: Logger) -> Iterator["BusSockets"]:
        """Have them open for the length of the block.

        Raises:
            TunnelError: an endpoint is taken, or a key cannot be read.
        """
        context, made = sockets.make_context(), None
        try:
            yield (made := cls(context, settings, folder, logger))
        finally:
            if made is not None and made._authenticator is not None:
                made._authenticator.stop()
            context.destroy(linger=sockets.LINGER_MS)
            if made is not None:
                made.remove_files()

    def is_ours(self, endpoint: str) -> None:
        """Somebody of this instance has bound `endpoint`: its file is to be removed at the end."""
        self._bound.append(endpoint)

    def remove_files(self) -> None:
        """Remove the files of the endpoints that were bound; one that is another instance's stays."""
        for endpoint in self._bound:
            sockets.remove_socket_file(endpoint)

    def report(self, report: LifecycleReport) -> bool:
        """Send a report to the metrics actor; return whether the socket took it."""
        return sockets.try_send(self._deltas, encode(report))

    def stop_reporting(self) -> None:
        """Whoever read the reports is gone: nothing that waits need be delivered."""
        self._deltas.close(linger=0)


def _split(settings: Settings, wanted: str | None, usual: str) -> tuple[str, str | None]:
    """What is bound for programs of this machine, and what besides for clients with a key."""
    if settings.curve_files is not None and wanted is not None and wanted.startswith("tcp://"):
        return usual, wanted
    return wanted or usual, None
