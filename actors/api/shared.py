"""One tunnel for all processes of a server, with one URL.

A reloader (`uvicorn --reload`, Flask's and Django's debug mode) starts its child anew at each save, and a server with
`--workers N` has N of them. Each runs the line that starts a tunnel. Their tunnel belongs to the process that started
them: whichever of them is first starts it, the others find it by its files, and it ends with that process.
"""

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import zmq

from actors.api import handle as handles
from actors.api.handle import Seconds, TunnelHandle, TunnelMetrics
from actors.api.program_log import LOGGER
from actors.api.supervisor_process import SupervisorProcess
from actors.bus import events, run_folder, sockets
from actors.bus.events import read_payload
from actors.bus.messages import DECODE_ERRORS
from actors.errors import LocalSetupError, TunnelError, of_exit_code
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import TunnelState, is_held, read_state

RELOADED: Final = ("WERKZEUG_RUN_MAIN", "RUN_MAIN")
"""The variables by which the reloaders of Flask (Werkzeug) and Django tell their child that it is one."""

POLL_INTERVAL: Final = 0.05
"""Seconds between two tries to take the lock that another process has while it starts the tunnel."""

LOCK_MARGIN: Final = 20.0
"""Seconds beyond `--timeout` for that: the tunnel API is asked before it begins to count."""

_launched: Final[list[SupervisorProcess]] = []
"""Supervisors that outlive this process. They are held, since `Popen` complains of one that is dropped."""


def owner() -> int:
    """The process that a tunnel of this one belongs to: this one, unless a reloader or a server started it."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and (parent := processes.parent_process()) is not None:
        return int(parent.pid)  # uvicorn, hypercorn, granian
    if any(os.environ.get(name) == "true" for name in RELOADED) or _is_gunicorns():
        return os.getppid()
    return os.getpid()


def _is_gunicorns() -> bool:
    """Whether this is a worker of gunicorn: a fork of its master, and so of the same command line or title."""
    if not os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        return False
    with contextlib.suppress(OSError):
        theirs, ours = (Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (os.getppid(), os.getpid()))
        return theirs.startswith(b"gunicorn: master") or theirs == ours
    return False


async def join(settings: Settings, arguments: list[str], pid: int) -> TunnelHandle:
    """The tunnel of process `pid` for this origin; it is started if there is none yet.

    Raises:
        TunnelError: of the kind that says why it did not come up.
    """
    async with _lock(settings.timeout + LOCK_MARGIN):
        found = _find(settings, pid)
        if found is None:
            await _launch(arguments, pid)
            found = _find(settings, pid)
    if found is None:
        raise LocalSetupError(f"the tunnel of process {pid} started, and its files are not to be found")
    return SharedHandle(*found)


@contextlib.asynccontextmanager
async def _lock(patience: float) -> AsyncIterator[None]:
    """One process at a time looks for a tunnel, and starts it.

    Raises:
        LocalSetupError: it cannot be had.
    """
    path = next(run_folder.places()) / f".tunnel-supervisor-{os.getuid()}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LocalSetupError(f"cannot open {path}: {error.strerror}") from error
    try:
        try:
            async with asyncio.timeout(patience):
                while not _locked(descriptor):  # noqa: ASYNC110 - a lock tells nobody that it is free
                    await asyncio.sleep(POLL_INTERVAL)
        except TimeoutError:
            message = f"another process of this server starts the tunnel, for {patience:.0f} s now"
            raise LocalSetupError(message) from None
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _find(settings: Settings, pid: int) -> tuple[Path, TunnelState] | None:
    named = [settings.state_folder] if settings.state_folder is not None else []
    for folder in (*named, *(folder / "state" for folder in run_folder.others())):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            state = read_state(folder)
            if state is not None and (state.owner, state.origin) == (pid, str(settings.origin)) and state.location:
                return folder, state
    return None


async def _launch(arguments: list[str], pid: int) -> None:
    """Start a supervisor that ends with process `pid`, and wait until it serves."""
    process = SupervisorProcess(f"--owner={pid}", *arguments, log=subprocess.DEVNULL)
    _launched.append(process)
    told = TunnelHandle()
    try:
        stdout, _ = await process.connect()
        async for line in stdout:
            with contextlib.suppress(*DECODE_ERRORS):
                told.take(msgspec.json.decode(line, type=events.AnyEvent))
            if told.is_up:
                return
        raise told.error or of_exit_code(await process.wait())
    except BaseException:
        process.terminate()
        raise
    finally:
        process.close()


class SharedHandle(TunnelHandle):
    """A tunnel that other processes have too. It is heard on its event socket; a shutdown only leaves it."""

    def __init__(self, folder: Path, about: TunnelState) -> None:
        super().__init__()
        self._folder = folder
        self._tunnel_id, self._location = about.tunnel_id, about.location
        self._local_url, self._local_ca = about.local_url, about.local_ca
        self._inspector_url = about.inspector_url
        self._state = events.StateChanged(
            state=about.state, serves=about.serves, url=about.url, connections=about.connections, slots=about.slots
        )
        self._following = self._tasks.start(self._follow(about.events_endpoint), name="tunnel events")

    async def _follow(self, endpoint: str) -> None:
        context = sockets.make_context()
        try:
            socket = sockets.make_socket(context, zmq.SocketType.SUB)
            socket.subscribe(b"")
            socket.connect(endpoint)
            while not isinstance(self._stopped, events.Stopped):
                try:
                    async with asyncio.timeout(handles.ANSWER_TIMEOUT):
                        payload = (await socket.recv_multipart())[-1]
                except TimeoutError:
                    if not is_held(self._folder):
                        break
                    continue
                with contextlib.suppress(*DECODE_ERRORS):
                    self._hear(read_payload(payload, cast("Any", events.AnyEvent)))
        finally:
            context.destroy(linger=0)
            self._ended(0)

    def _hear(self, event: events.AnyEvent) -> None:
        self.take(event)
        if isinstance(event, events.Offline | events.Unreachable | events.GaveUp):
            LOGGER.warning("tunnel: %s", event.message)

    async def _recount(self) -> TunnelMetrics | None:
        """What its workers said within the last second."""
        try:
            async with asyncio.timeout(handles.ANSWER_TIMEOUT):
                async for event in self.events():
                    if isinstance(event, events.Stats):
                        return handles.metrics_of(event.totals, event.reconnects)
        except TimeoutError:
            raise TunnelError(f"the supervisor of {self.name} does not answer: it is stopped, or stuck") from None
        return None

    async def shutdown_with(self, grace: Seconds) -> None:
        """Leave it: it ends with the process that it belongs to."""
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following
