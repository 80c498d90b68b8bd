"""A tunnel that a program has: its supervisor process, what that tells on a pipe, and its end."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from actors import DEFAULT_GRACE_PERIOD
from actors.api.program_log import relay
from actors.api.supervisor_process import SupervisorProcess
from actors.api.tether import Tether
from actors.bus import events as bus_events
from actors.bus.messages import DECODE_ERRORS, Drain, Recount
from actors.bus.tally import Totals
from actors.errors import BY_REASON, ExitCode, LocalSetupError, PermanentFailure, RateLimited, TunnelError, of_exit_code
from actors.metrics import process_wide
from actors.processes.tasks import Tasks
from actors.supervisor.readiness import SERVING, called

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the supervisor to say what was counted: it gives its workers one (`supervisor/recount.py`)."""

END_MARGIN: Final = 10.0
"""Seconds beyond the grace period after which a supervisor that should have ended is killed."""

MAX_WAITING_EVENTS: Final = 1000
"""Events that wait for a reader of `events()`; the oldest are dropped for one that does not read."""

Seconds = float | timedelta


class TunnelMetrics(msgspec.Struct, frozen=True):
    """What passed on a tunnel since it began."""

    streams_total: int = 0
    """Requests."""
    bytes_in: int = 0
    """Edge → local, of bodies and raw tunnels."""
    bytes_out: int = 0
    """Local → edge."""
    reconnects: int = 0
    """Connections that replaced a lost one."""


class TunnelHandle:
    """A tunnel that serves, and its end."""

    def __init__(self) -> None:
        self._tasks = Tasks(self._fault)
        self._process: SupervisorProcess | None = None
        self._tether: Tether | None = None
        self._state = bus_events.StateChanged(state="starting", serves=False, url="", connections=0, slots=0)
        self._tunnel_id = self._location = self._local_url = self._local_ca = self._inspector_url = ""
        self._hostnames: list[str] = []
        self._configuration_version = -1
        self._stopped: bus_events.Stopped | None = None
        self._error: TunnelError | None = None
        self._up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._listeners: list[asyncio.Queue[bus_events.AnyEvent | None]] = []
        self._recounts: dict[int, asyncio.Future[TunnelMetrics | None]] = {}
        """Number → who waits for that recount; None: it will not come."""
        self._recounts_asked = 0
        self._shut_down = False

    def __repr__(self) -> str:
        return f"<TunnelHandle {self.name} ({self.state})>"

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.url, self._tunnel_id) or "without a URL"

    # --- what it is ---

    @property
    def url(self) -> str:
        """The public address; empty for a tunnel of one's own, which has `hostnames`."""
        return self._state.url

    @property
    def hostnames(self) -> list[str]:
        """Those that the rules name, as they have them (`*.example.com` too); at most `MAX_TOLD_HOSTNAMES`."""
        return self._hostnames

    @property
    def configuration_version(self) -> int:
        """Of the rules that the service sent; -1: it has sent none, or they are this machine's own."""
        return self._configuration_version

    @property
    def local_url(self) -> str:
        """With `with_local_edge`: the same by its number, `http://127.0.0.1:PORT`, since not every resolver knows
        `*.localhost`. Else empty."""
        return self._local_url

    @property
    def local_ca(self) -> str:
        """Path of the PEM file to trust with `with_local_edge_tls`; else empty."""
        return self._local_ca

    @property
    def inspector_url(self) -> str:
        """Where requests are shown, with `with_inspector`: `http://127.0.0.1:4040`. Else empty."""
        return self._inspector_url

    @property
    def location(self) -> str:
        """The edge's point of presence of the connection that was registered first."""
        return self._location

    @property
    def tunnel_id(self) -> str:
        """The tunnel's id, a UUID."""
        return self._tunnel_id

    @property
    def state(self) -> str:
        """`registered`, `visible`, `degraded`, `down`, …: see the README."""
        return self._state.state

    @property
    def serves(self) -> bool:
        """Whether a visitor who opens the URL now gets an answer."""
        return self._state.serves and not self._over.is_set()

    async def metrics(self) -> TunnelMetrics:
        """What passed by now, a request that was answered just before included; after the end, what passed in all.

        Raises:
            PermanentFailure: the supervisor has given up. TunnelError: it ended for another reason of its own, or does
                not answer within `ANSWER_TIMEOUT`.
        """
        told = await self._recount() if not self._over.is_set() and self._error is None else None
        return self.last_metrics() if told is None else told

    def last_metrics(self) -> TunnelMetrics:
        """What passed in all, once it has ended.

        Raises:
            PermanentFailure: the supervisor had given up. TunnelError: it ended for another reason of its own.
        """
        if self._error is not None:
            raise self._error
        if self._stopped is None:
            return TunnelMetrics()
        return metrics_of(self._stopped.totals, self._stopped.reconnects)

    async def _recount(self) -> TunnelMetrics | None:
        """What the workers have counted by now; None if the tunnel ends meanwhile."""
        self._recounts_asked += 1
        number = self._recounts_asked
        answer: asyncio.Future[TunnelMetrics | None] = asyncio.get_running_loop().create_future()
        self._recounts[number] = answer
        self._tell(Recount(number))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await answer
        except TimeoutError:
            assert self._process is not None
            raise TunnelError(
                f"the supervisor of {self.name} (process {self._process.pid}) does not answer: it is stopped, or stuck"
            ) from None
        finally:
            del self._recounts[number]

    def _recounted(self, number: int, told: TunnelMetrics | None) -> None:
        """Whoever waits for a recount up to this one has it."""
        for asked, answer in self._recounts.items():
            if asked <= number and not answer.done():
                answer.set_result(told)

    async def events(self) -> AsyncIterator[bus_events.AnyEvent]:
        """What happens from now on, until the end."""
        queue: asyncio.Queue[bus_events.AnyEvent | None] = asyncio.Queue(MAX_WAITING_EVENTS)
        if self._over.is_set():
            return
        self._listeners.append(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.remove(queue)

    # --- its end ---

    async def shutdown(self) -> None:
        """Stop in order, within `DEFAULT_GRACE_PERIOD`; clean also when it has ended by itself."""
        await self.shutdown_with(DEFAULT_GRACE_PERIOD)

    async def shutdown_with(self, grace: Seconds) -> None:
        """Stop in order: no new requests, and `grace` for those in flight. Returns when all has ended."""
        if self._process is None:
            return
        if not self._shut_down:
            self._shut_down = True
            process_wide.stopped()
        seconds = grace.total_seconds() if isinstance(grace, timedelta) else float(grace)
        self._tell(Drain(seconds))
        try:
            async with asyncio.timeout(seconds + END_MARGIN):
                await self._over.wait()
        except TimeoutError:
            self._kill()
            await self._over.wait()

    @property
    def is_up(self) -> bool:
        """Whether its start is over, well or not.

        Raises:
            TunnelError: it did not come up.
        """
        if self._up.done():
            self._up.result()
        return self._up.done()

    @property
    def error(self) -> TunnelError | None:
        """Why it ended by itself, or did not come up."""
        return self._error

    def let_go(self) -> None:
        """End it at once, and wait for nothing. Any thread may call."""
        if self._tether is not None:
            self._tether.cut()

    def _tell(self, order: Drain | Recount) -> None:
        if self._tether is not None:
            self._tether.say(msgspec.json.encode(order) + b"\n")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    # --- the process ---

    async def start(self, arguments: list[str], descriptors: Sequence[int] = ()) -> None:
        """Start a supervisor with these flags, which inherits these descriptors; return once it serves.

        Raises:
            TunnelError: of the kind that says why it did not come up.
        """
        try:
            self._tether = Tether()
            with self._tether.far_end() as stdin:
                self._process = SupervisorProcess(
                    "--lifeline", f"--owner={os.getpid()}", *arguments, stdin=stdin, keep=descriptors
                )
        except OSError as error:
            raise LocalSetupError(
                f"cannot start the supervisor process: {error.strerror}. Has this program too many open files, or this "
                "user too many processes?"
            ) from error
        listening = self._tasks.start(self._listen(self._process, self._tether), name="tunnel events")
        listening.add_done_callback(self._unheard)
        try:
            await asyncio.shield(self._up)
        except BaseException:
            self._tell(Drain(0.0))
            try:
                async with asyncio.timeout(END_MARGIN):
                    await self._over.wait()
            except (TimeoutError, asyncio.CancelledError):  # it is stuck; or whoever waits has no more patience
                self._kill()
                await self._over.wait()
            raise

    async def _listen(self, process: SupervisorProcess, tether: Tether) -> None:
        try:
            stdout, stderr = await process.connect()
            assert stderr is not None
            self._tasks.start(relay(stderr), name="tunnel log")
            async for line in stdout:
                try:
                    self.take(msgspec.json.decode(line, type=bus_events.AnyEvent))
                except DECODE_ERRORS:
                    continue  # of a newer version than this one
        finally:  # cancelled: the event loop ends, and the tunnel with it
            tether.cut()
            try:
                async with asyncio.timeout(END_MARGIN):
                    status = await process.wait()
            except TimeoutError:
                status = process.reap()
            self._ended(status)

    def _unheard(self, listening: asyncio.Task[None]) -> None:
        """Nobody listens any more: an event loop that ends cancels a task that has not begun, and none of it runs."""
        if not self._over.is_set():
            assert self._process is not None
            self._ended(self._process.reap())

    def take(self, event: bus_events.AnyEvent) -> None:
        """The supervisor told something."""
        match event:
            case bus_events.Starting():
                self._local_url, self._local_ca = event.local_url, event.local_ca
                self._inspector_url = event.inspector_url
            case bus_events.RateLimited() if not self._up.done():
                message = f"the tunnel API refuses new tunnels for now; try again in {event.retry_after:.0f} s or later"
                self._up.set_exception(RateLimited(message, retry_after=event.retry_after))
            case bus_events.Assigned():
                self._tunnel_id = event.tunnel_id
            case bus_events.ConfigurationApplied():
                self._hostnames, self._configuration_version = event.hostnames, event.version
            case bus_events.Registered():
                self._location = self._location or event.location
                self._come_up()
            case bus_events.UrlChanged():
                self._tunnel_id, self._location = event.tunnel_id, ""
            case bus_events.StateChanged():
                self._state = event
                self._come_up()
            case bus_events.Stats():
                self._recounted(event.recount, metrics_of(event.totals, event.reconnects))
            case bus_events.StartFailed():
                self._error = BY_REASON.get(event.reason, TunnelError)(event.message)
            case bus_events.GaveUp():
                self._error = (
                    PermanentFailure(event.attempts, event.message)
                    if event.reason == PermanentFailure.reason
                    else BY_REASON.get(event.reason, TunnelError)(event.message)
                )
                self._recounted(self._recounts_asked, None)
            case bus_events.Stopped():
                self._stopped = event
        self._pass_on(event)

    def _pass_on(self, event: bus_events.AnyEvent | None) -> None:
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def _come_up(self) -> None:
        # A tunnel of one's own gets its rules when the service sends them: that is no part of its start.
        is_up = self._state.serves if self._state.url else self._state.state in SERVING
        if is_up and self._location and not self._up.done():
            self._up.set_result(None)

    def _ended(self, status: int) -> None:
        if self._error is None and status != ExitCode.STOPPED:
            self._error = of_exit_code(status)
        if not self._up.done():
            self._up.set_exception(self._error or TunnelError("the tunnel was stopped while it started"))
        self._up.exception()  # seen here, in case nobody waits for it
        self._state = msgspec.structs.replace(self._state, state="stopped", serves=False, connections=0)
        self._over.set()
        self._recounted(self._recounts_asked, None)
        self._pass_on(None)

    def _fault(self, error: BaseException) -> None:
        if not self._up.done():
            self._up.set_exception(error)


def metrics_of(totals: Totals, reconnects: int) -> TunnelMetrics:
    """Counts, as this API names them."""
    return TunnelMetrics(totals.streams, totals.bytes_in, totals.bytes_out, reconnects)
