"""The Python API: a tunnel from a program of one's own.

    handle = await TunnelManager(8080).with_timeout(30).start()
    print(handle.url)
    …
    await handle.shutdown()

It starts the same supervisor process as the command line does, hears its events on a pipe, and asks the metrics actor.
The supervisor ends with the program, however that ends: its stdin is a lifeline. `Tunnel` is the same without `await`.
"""

import asyncio
import contextlib
import dataclasses
import os
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

import msgspec
import zmq

from actors import DEFAULT_GRACE_PERIOD, bus
from actors import events as facts
from actors.errors import BY_REASON, ExitCode, PermanentFailure, RateLimited, TunnelError, of_exit_code
from actors.messages import DECODE_ERRORS, Drain
from actors.metrics import process_wide
from actors.supervisor.cli import read_settings
from actors.supervisor.flags import ENVIRONMENT_PREFIX
from actors.tally import Totals
from actors.tasks import Tasks

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for an answer of the metrics actor; one that is just being started again takes two."""

END_MARGIN: Final = 10.0
"""Seconds beyond the grace period after which a supervisor that should have ended is killed."""

MAX_EVENT_LINE: Final = 1024 * 1024
"""Bytes of an event as a line of JSON; the largest is a few kilobytes."""

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


@dataclass(frozen=True)
class TunnelManager:
    """How a tunnel is to be. Each `with_…` gives a changed copy; `start` makes the tunnel."""

    origin: int | str | None = None
    """A local port; or `http://HOST:PORT`, `https://HOST:PORT`, `unix:/PATH`; None: a page of its own."""
    _flags: dict[str, str | tuple[str, ...] | bool] = field(default_factory=dict)
    _entered: list["TunnelHandle"] = field(default_factory=list, init=False, repr=False, compare=False)
    """Those of `async with`, the innermost last."""

    @classmethod
    def of(cls, what: "TunnelManager | int | str | None") -> "TunnelManager":
        """A manager as it is; or one for a port or a URL."""
        return what if isinstance(what, TunnelManager) else cls(what)

    def _with(self, **flags: str | tuple[str, ...] | bool) -> Self:
        return dataclasses.replace(self, _flags={**self._flags, **flags})

    def with_timeout(self, timeout: Seconds) -> Self:
        """How long the first registration may take (default: `DEFAULT_HANDSHAKE_TIMEOUT`, 30 s)."""
        return self._with(timeout=_seconds(timeout))

    def with_service_url(self, url: str) -> Self:
        """Another tunnel API than Cloudflare's."""
        return self._with(service_url=url)

    def with_user_agent(self, text: str) -> Self:
        """What the tunnel API is told about who asks."""
        return self._with(user_agent=text)

    def with_connections(self, count: int) -> Self:
        """Connections to the edge, 1 to 4 (default: 2)."""
        return self._with(connections=str(count))

    def with_edge(self, *addresses: str) -> Self:
        """Addresses of the edge (`HOST:PORT`), not those that DNS knows."""
        return self._with(edge=addresses)

    def with_edge_ca(self, file: str | os.PathLike[str]) -> Self:
        """A PEM file with other trust roots for the edge."""
        return self._with(edge_ca=os.fspath(file))

    def with_local_edge(self) -> Self:
        """An edge on this machine instead of Cloudflare: offline, for demos and tests."""
        return self._with(local_edge=True)

    def with_state_dir(self, folder: str | os.PathLike[str]) -> Self:
        """A folder for the state files (default: a private one, removed at the end)."""
        return self._with(state_dir=os.fspath(folder))

    def with_host_header(self, host: str) -> Self:
        """Host that the origin gets; `rewrite`: its own. Origin, Referer, redirects and cookies change with it."""
        return self._with(host_header=host)

    def with_forwarded_host(self) -> Self:
        """With `with_host_header`: tell the origin the public name too, as X-Forwarded-Host."""
        return self._with(forwarded_host=True)

    def with_refuse_underscore_twins(self) -> Self:
        """Answer 400 to a request with both `X_A` and `X-A`, for origins that take the two for one (CGI, old WSGI)."""
        return self._with(refuse_underscore_twins=True)

    def with_max_reconnect_attempts(self, count: int) -> Self:
        """Consecutive failures before it gives up; 0: never (default: `MAX_RECONNECT_ATTEMPTS`, 10)."""
        return self._with(max_reconnect_attempts=str(count))

    def with_renew(self) -> Self:
        """Ask for another tunnel, with another URL, when the service drops this one."""
        return self._with(renew=True)

    def with_quic_engine(self, engine: str) -> Self:
        """`aioquic` (default) or `qh3`, which moves more where the line is no limit (`tunnel-supervisor[fast]`)."""
        return self._with(quic_engine=engine)

    def with_congestion_control(self, name: str) -> Self:
        """`bbr` (default), `cubic` or `reno`: what sets the pace towards the edge. qh3 knows `cubic` only."""
        return self._with(congestion_control=name)

    def with_post_quantum(self) -> Self:
        """Insist on a post-quantum key exchange; it is offered anyway."""
        return self._with(post_quantum=True)

    def with_log_level(self, level: str) -> Self:
        """`debug`, `info`, `warning` or `error`, on this program's stderr (default: `warning`)."""
        return self._with(log_level=level)

    async def start(self) -> "TunnelHandle":
        """Make the tunnel; return once it serves.

        Raises:
            TunnelError: of the kind that says why it did not come up. `RateLimited` comes at once, with `retry_after`.
        """
        handle = TunnelHandle()
        try:
            await handle._start(self._arguments())
        except TunnelError as error:
            process_wide.start_failed(error.reason)
            raise
        process_wide.started()
        return handle

    async def __aenter__(self) -> "TunnelHandle":
        self._entered.append(await self.start())
        return self._entered[-1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._entered.pop().shutdown()

    def _arguments(self) -> list[str]:
        flags: dict[str, Any] = {"log_level": "warning"} | self._flags
        match self.origin:
            case None:
                flags["hello_world"] = True
            case int():
                flags["port"] = str(self.origin)
            case str():
                flags["url"] = self.origin
        arguments = []
        for name, value in flags.items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                arguments.append(flag)
            else:
                arguments += [f"{flag}={one}" for one in ([value] if isinstance(value, str) else value)]
        return arguments


class Lifeline:
    """A pipe to the supervisor's stdin, which ends with this program, and with no copy of it."""

    _all: ClassVar[weakref.WeakSet["Lifeline"]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._far, self._near = os.pipe()
        os.set_blocking(self._near, False)
        self._all.add(self)

    @contextlib.contextmanager
    def far_end(self) -> Iterator[int]:
        """What becomes the supervisor's stdin, and is its own after the block."""
        try:
            yield self._far
        except BaseException:
            self.cut()
            raise
        finally:
            os.close(self._far)

    def say(self, line: bytes) -> None:
        """Give an order. A supervisor that has ended hears none, and one that reads nothing is killed in the end."""
        with contextlib.suppress(OSError):
            os.write(self._near, line)

    def cut(self) -> None:
        """Let go."""
        if self._near >= 0:
            os.close(self._near)
            self._near = -1

    @classmethod
    def forked(cls) -> None:
        """In a child that was forked: it holds copies, and could outlive the program."""
        for lifeline in cls._all:
            lifeline.cut()


os.register_at_fork(after_in_child=Lifeline.forked)


class TunnelHandle:
    """A tunnel that serves, and its end."""

    def __init__(self) -> None:
        self._tasks = Tasks(self._fault)
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: Lifeline | None = None
        self._state = facts.StateChanged(state="starting", serves=False, url="", connections=0, slots=0)
        self._tunnel_id = self._location = self._metrics_endpoint = ""
        self._stopped: facts.Stopped | None = None
        self._error: TunnelError | None = None
        self._up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._listeners: list[asyncio.Queue[facts.AnyEvent | None]] = []
        self._shut_down = False

    # --- what it is ---

    @property
    def url(self) -> str:
        """The public address."""
        return self._state.url

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
        """What passed by now; after the end, what passed in all.

        Raises:
            PermanentFailure: the supervisor has given up. TunnelError: it ended for another reason of its own.
        """
        if not self._over.is_set() and self._error is None:
            answer = await self._ask_metrics()
            if answer is not None:
                return answer
            async with asyncio.timeout(ANSWER_TIMEOUT):  # no answer: it ends, or the metrics actor is started again
                await self._over.wait()
        return self.last_metrics()

    def last_metrics(self) -> TunnelMetrics:
        """What passed in all, once it has ended.

        Raises:
            PermanentFailure: the supervisor had given up. TunnelError: it ended for another reason of its own.
        """
        if self._error is not None:
            raise self._error
        if self._stopped is None:
            return TunnelMetrics()
        return _metrics(self._stopped.totals, self._stopped.reconnects)

    async def _ask_metrics(self) -> TunnelMetrics | None:
        context = bus.make_context()
        try:
            socket = bus.make_socket(context, zmq.SocketType.REQ)
            socket.connect(self._metrics_endpoint)
            bus.try_send(socket, b"snapshot")
            asking = asyncio.ensure_future(socket.recv())  # noqa: TID251 - awaited or cancelled right here
            ended = asyncio.ensure_future(self._over.wait())  # noqa: TID251
            await asyncio.wait((asking, ended), timeout=ANSWER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not asking.done():
                asking.cancel()
                return None
            told = msgspec.json.decode(asking.result())
            present = told["tunnels"][told["tunnel_id"]]
            return _metrics(msgspec.convert(present["totals"], Totals), present["reconnects"])
        finally:
            context.destroy(linger=0)

    async def events(self) -> AsyncIterator[facts.AnyEvent]:
        """What happens from now on, until the end."""
        queue: asyncio.Queue[facts.AnyEvent | None] = asyncio.Queue(MAX_WAITING_EVENTS)
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
        process = self._process
        if process is None:
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
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await self._over.wait()

    def _tell(self, order: Drain) -> None:
        if self._lifeline is not None:
            self._lifeline.say(msgspec.json.encode(order) + b"\n")

    # --- the process ---

    async def _start(self, arguments: list[str]) -> None:
        read_settings(arguments, {})  # a mistake is best explained here
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        # However this program found `actors`, its processes find it too.
        places = [str(Path(__file__).parents[1]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        self._lifeline = Lifeline()
        with self._lifeline.far_end() as stdin:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "actors.supervisor", "--json", "--lifeline", *arguments),
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=MAX_EVENT_LINE,
                env=environment,
            )
        self._tasks.start(self._listen(self._process), name="tunnel events")
        try:
            await asyncio.shield(self._up)
        except BaseException:
            self._tell(Drain(0.0))
            await self._over.wait()
            raise

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                try:
                    self._take(msgspec.json.decode(line, type=facts.AnyEvent))
                except DECODE_ERRORS:
                    continue  # of a newer version than this one
        finally:  # cancelled: the event loop ends, and the tunnel with it
            assert self._lifeline is not None
            self._lifeline.cut()
            self._ended(await process.wait())

    def _take(self, event: facts.AnyEvent) -> None:
        match event:
            case facts.Starting():
                self._metrics_endpoint = event.metrics_endpoint
            case facts.RateLimited() if not self._up.done():
                message = f"the tunnel API refuses new tunnels for now; try again in {event.retry_after:.0f} s or later"
                self._up.set_exception(RateLimited(message, retry_after=event.retry_after))
            case facts.Assigned():
                self._tunnel_id = event.tunnel_id
            case facts.Registered():
                self._location = self._location or event.location
                self._come_up()
            case facts.UrlChanged():
                self._tunnel_id, self._location = event.tunnel_id, ""
            case facts.StateChanged():
                self._state = event
                self._come_up()
            case facts.StartFailed():
                self._error = BY_REASON.get(event.reason, TunnelError)(event.message)
            case facts.GaveUp(reason=PermanentFailure.reason):
                self._error = PermanentFailure(event.attempts, event.message)
            case facts.GaveUp():
                self._error = BY_REASON.get(event.reason, TunnelError)(event.message)
            case facts.Stopped():
                self._stopped = event
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    def _come_up(self) -> None:
        if self._state.serves and self._location and not self._up.done():
            self._up.set_result(None)

    def _ended(self, status: int) -> None:
        if self._error is None and status != ExitCode.STOPPED:
            self._error = of_exit_code(status)
        if not self._up.done():
            self._up.set_exception(self._error or TunnelError("the tunnel was stopped while it started"))
        self._up.exception()  # seen here, in case nobody waits for it
        self._state = msgspec.structs.replace(self._state, state="stopped", serves=False, connections=0)
        self._over.set()
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    def _fault(self, error: BaseException) -> None:
        if not self._up.done():
            self._up.set_exception(error)


def _metrics(totals: Totals, reconnects: int) -> TunnelMetrics:
    return TunnelMetrics(totals.streams, totals.bytes_in, totals.bytes_out, reconnects)


def _seconds(value: Seconds) -> str:
    return f"{value.total_seconds() if isinstance(value, timedelta) else value:g}"
