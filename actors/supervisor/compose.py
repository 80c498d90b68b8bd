"""What a supervisor is made of is put together here, and taken apart again at its end."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from actors import __version__, trust
from actors.bus import run_folder
from actors.errors import ExitCode
from actors.processes.forked import Forked
from actors.processes.log import Logger
from actors.processes.nursery import Nursery
from actors.supervisor.announcer import Announcer
from actors.supervisor.bus_sockets import BusSockets
from actors.supervisor.guard_file import GuardFile
from actors.supervisor.keeper import Keeper
from actors.supervisor.kept import CLIENT_ID_BYTES
from actors.supervisor.orders import OrderBook
from actors.supervisor.output import OutputWriter
from actors.supervisor.publisher import Publisher
from actors.supervisor.readiness import State
from actors.supervisor.runner import Supervisor
from actors.supervisor.service_manager import ServiceManager
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import StateFolder, TunnelState
from actors.supervisor.terminal import Terminal


def supervise(settings: Settings, logger: Logger, head_start: dict[str, Forked], nursery: Nursery | None) -> ExitCode:
    """Run a supervisor in this process to its end.

    It takes its first children from `head_start`, by their modules, and later ones from `nursery`.

    Raises:
        TunnelError: it could not begin (a held state folder, an endpoint that is taken).
    """
    with asyncio.Runner() as runner:
        runner.get_loop()  # where there can be none, nothing has begun yet
        return runner.run(_supervise(settings, logger, head_start, nursery))


async def _supervise(
    settings: Settings, logger: Logger, head_start: dict[str, Forked], nursery: Nursery | None
) -> ExitCode:
    with (
        run_folder.private() as folder,
        _held_state_folder(settings, folder, logger) as state,
        BusSockets.opened(settings, folder, logger) as bus,
        contextlib.closing(OutputWriter("stdout")) as stdout,
        _terminal(settings) as terminal,
    ):
        manager = ServiceManager(os.environ, os.getpid())
        announce = Announcer(
            Publisher(bus.events, payload=settings.events_format, stdout=stdout if settings.json else None),
            logger,
            state,
            manager,
            None if settings.json else stdout,
            terminal,
            _about(settings, bus),
        )
        if settings.inspecting is not None:
            _hand_token(settings.inspecting.token, state, logger)
        keeper = None if settings.keep_for is None else Keeper(state, settings.service_url, settings.keep_for, logger)
        client_id = keeper.client_id if keeper is not None else secrets.token_bytes(CLIENT_ID_BYTES)
        orders = _order_book(settings, bus, folder, client_id)
        guard_file = GuardFile(folder) if settings.guards.counts_together else None
        orders.guard_file = None if guard_file is None else str(guard_file.path)
        return await Supervisor(
            settings, logger, bus, announce, manager, orders, state, keeper, guard_file, head_start, nursery
        ).run()


@contextlib.contextmanager
def _held_state_folder(settings: Settings, folder: Path, logger: Logger) -> Iterator[StateFolder]:
    state = StateFolder(settings.state_folder or folder / "state")
    if not settings.state_folder_is_usual:
        state.acquire()
    else:
        usual = state.path
        state.acquire_usual()
        if state.path != usual:
            where = f"the files of this one are in {state.path} (tunnel-status --state-dir {state.path})"
            logger.warning(f"another tunnel holds {usual}: {where}")
    try:
        yield state
    finally:
        state.release()


def _hand_token(token: str, state: StateFolder, logger: Logger) -> None:
    """Let this user's programs have the inspector's token."""
    try:
        state.write_token(token)
    except OSError as error:
        logger.warning(f"tunnel-requests cannot replay: there is no file for the inspector's token: {error.strerror}")


@contextlib.contextmanager
def _terminal(settings: Settings) -> Iterator[Terminal | None]:
    if settings.log_json or settings.json:  # with --json stdout may be the same terminal: a program reads it there
        yield None
        return
    who = ["on this machine only: the edge is the local one"] if settings.local_edge else settings.guards.in_words()
    with contextlib.closing(Terminal(with_code=settings.qr, who=who)) as terminal:
        yield terminal


def _about(settings: Settings, bus: BusSockets) -> TunnelState:
    """`tunnel.json`, as it begins."""
    return TunnelState(
        url="",
        tunnel_id="",
        pid=os.getpid(),
        started_at=time.time(),
        version=__version__,
        origin="",
        events_endpoint=bus.events_endpoint,
        metrics_endpoint="",
        state=State.STARTING,
        serves=False,
        connections=0,
        slots=settings.connections,
        owner=settings.owner,
    )


def _order_book(settings: Settings, bus: BusSockets, folder: Path, client_id: bytes) -> OrderBook:
    return OrderBook(
        control_endpoint=bus.control_endpoint,
        deltas_endpoint=bus.deltas_endpoint,
        events_endpoint=bus.events_endpoint,
        metrics_endpoint=bus.metrics_endpoint,
        guarded_metrics_endpoint=bus.guarded_metrics_endpoint,
        curve=bus.curve,
        metrics_http=settings.metrics_http,
        run_folder=folder,
        client_id=client_id,
        max_streams=settings.max_streams,
        log_requests=settings.log_requests,
        transport=settings.transport,
        log_level=settings.log_level,
        log_json=settings.log_json,
        edge_ca=_edge_ca(settings, folder),
        local_edge_tls=settings.local_edge_tls,
        as_cloudflare=settings.as_cloudflare,
        takes_configuration=settings.takes_configuration,
        proxies=settings.proxies,
        own=settings.tunnel.credentials if settings.tunnel is not None else None,
        inspecting=settings.inspecting,
        origin_ports=settings.origin_ports,
    )


def _edge_ca(settings: Settings, folder: Path) -> str | None:
    """The file with all whom workers trust, if they do not find it themselves. The local edge names its own."""
    if settings.edge_ca is not None:
        return str(settings.edge_ca)
    if settings.transport.engine != "picoquic" or settings.local_edge:
        return None
    return str(trust.in_one_file(folder))
