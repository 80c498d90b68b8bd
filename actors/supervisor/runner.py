"""The supervisor process: children, sockets, signals. What to do is `policy.py`'s to say; this module does it."""

import asyncio
import contextlib
import os
import random
import secrets
import shutil
import signal
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

import zmq

from actors import __version__, bus, events, lifeline
from actors.errors import ExitCode, LocalSetupError, TunnelError
from actors.lifeline import Child
from actors.log import Logger
from actors.messages import (
    DECODE_ERRORS,
    ChildOrders,
    Credentials,
    Down,
    Drain,
    EdgeAddress,
    GenerationTotals,
    Heartbeat,
    HelloWorldOrders,
    Know,
    LifecycleCounts,
    LifecycleReport,
    LocalEdgeOrders,
    MetricsOrders,
    Origin,
    Ready,
    Registered,
    Stopped,
    Totals,
    Unregistered,
    Up,
    WorkerOrders,
    decode_up,
    encode,
)
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import policy
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.policy import Policy
from actors.supervisor.publisher import Publisher, StdoutWriter
from actors.supervisor.rate_limit import RateLimitMemory
from actors.supervisor.settings import Settings
from actors.supervisor.start import find_edges, obtain_credentials
from actors.supervisor.state_folder import StateFolder, TunnelState
from actors.tasks import Tasks

HELPER_READY_TIMEOUT: Final = 20.0
"""Seconds for another actor to come up at the start."""

LAST_WORD_TIMEOUT: Final = 0.3
"""Seconds for the last word of a worker that has exited by itself: it may still be on its way."""

END_PATIENCE: Final = 3.0
"""Seconds between TERM and KILL for a child at the end."""

ORIGIN_PROBE_TIMEOUT: Final = 1.0
"""Seconds for the look at the start whether anything listens on the port."""

STATS_INTERVAL: Final = 1.0
"""Seconds between `stats` events."""

LOCAL_HOST: Final = "127.0.0.1"

T = TypeVar("T")


class _Ended(Exception):
    """The tunnel's life is over: as asked (`error` is None), or because of `error`."""

    def __init__(self, error: TunnelError | None) -> None:
        super().__init__()
        self.error = error


class Supervisor:
    """One tunnel, from start to end."""

    def __init__(self, settings: Settings, log: Logger) -> None:
        self._settings = settings
        self._log = log
        self._rng = random.Random()
        self._tasks = Tasks(self._fault)
        self._children: dict[str, Child] = {}
        self._doomed: set[str] = set()
        """Workers to be killed that are only just being started."""
        self._last_words: dict[str, asyncio.Event] = {}
        self._helpers: dict[str, asyncio.Future[dict[str, str]]] = {}
        self._helper_generation: dict[str, int] = {}
        self._current: dict[int, GenerationTotals] = {}
        """The newest generation of each slot, with the last totals it told."""
        self._ended_totals = Totals()
        """The sum of all generations before those."""
        self._beats: dict[int, Heartbeat] = {}
        self._lifecycle = LifecycleCounts()
        self._lifecycle_sequence = 0
        self._lifecycle_reported = 0
        self._final_totals: Totals | None = None
        self._metrics_ended = asyncio.Event()
        self._policy: Policy | None = None
        self._credentials: Credentials | None = None
        self._origin: Origin | None = None
        self._edge_ca: str | None = str(settings.edge_ca) if settings.edge_ca else None
        self._client_id = secrets.token_bytes(16)
        self._state = StateFolder(settings.state_folder)
        self._started_at = time.time()

    # --- life ---

    async def run(self) -> ExitCode:
        """Run the tunnel to its end.

        Raises:
            TunnelError: it could not even begin (a held state folder, an endpoint that is taken).
        """
        self._state.acquire()
        try:
            self._run_folder = bus.make_run_folder()
            self._context = bus.make_context()
            try:
                return await self._run()
            finally:
                self._context.destroy(linger=bus.LINGER_MS)
                shutil.rmtree(self._run_folder, ignore_errors=True)
        finally:
            self._state.release()

    async def _run(self) -> ExitCode:
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bind_sockets()
        self._stdout = StdoutWriter()
        self._publisher = Publisher(
            self._events_socket,
            payload=self._settings.events_format,
            stdout=self._stdout if self._settings.json else None,
        )
        self._install_signals()
        self._tasks.start(self._listen(), name="control")
        error: TunnelError | None = None
        try:
            await self._until_over(self._start())
            await self._until_over(asyncio.Event().wait())
        except _Ended as ended:
            error = ended.error
        except TunnelError as failure:
            error = failure
        return await self._end(error)

    def _bind_sockets(self) -> None:
        settings, folder = self._settings, self._run_folder
        self._control = bus.make_socket(self._context, zmq.SocketType.ROUTER)
        self._control_endpoint = bus.bind(self._control, f"ipc://{folder}/control")
        self._events_socket = bus.make_socket(self._context, zmq.SocketType.PUB)
        self._events_endpoint = bus.bind(self._events_socket, settings.events_endpoint or f"ipc://{folder}/events")
        self._metrics_endpoint = settings.metrics_endpoint or f"ipc://{folder}/metrics"
        self._deltas_endpoint = f"ipc://{folder}/deltas"
        self._deltas = bus.make_socket(self._context, zmq.SocketType.PUSH)
        self._deltas.connect(self._deltas_endpoint)

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        """The first signal asks for an orderly end, a second one for an end at once."""
        if self._stop_asked:
            self._log.warning("second signal: ending at once")
            self._end_at_once(128 + number)
        self._stop_asked = True
        grace = self._settings.grace_period
        self._log.info("stopping", signal=number.name, grace=grace)
        self._publisher.publish(events.Stopping(grace=grace))
        self._count(shutdowns=self._lifecycle.shutdowns + 1)
        self._clear_state()
        if self._policy is None:
            self._finish(None)
        else:
            self._handle(policy.StopAsked(grace))

    _stop_asked = False

    def _end_at_once(self, status: int) -> None:
        for child in self._children.values():
            child.send_signal(signal.SIGKILL)
        self._clear_state()
        shutil.rmtree(self._run_folder, ignore_errors=True)
        os._exit(status)

    # --- start ---

    async def _start(self) -> None:
        settings = self._settings
        names = ["metrics"]
        names += ["hello_world"] if settings.port is None else []
        names += ["local_edge"] if settings.local_edge else []
        ready = await asyncio.gather(*(self._start_helper(name) for name in names))
        endpoints = dict(zip(names, ready, strict=True))
        self._metrics_endpoint = endpoints["metrics"]["metrics"]
        self._origin = self._find_origin(endpoints)
        self._publisher.publish(
            events.Starting(
                version=__version__,
                pid=os.getpid(),
                origin=str(self._origin),
                events_endpoint=self._events_endpoint,
                metrics_endpoint=self._metrics_endpoint,
            )
        )
        self._tasks.start(self._probe_origin(self._origin), name="origin")
        edge = endpoints.get("local_edge")
        if edge is not None:
            host, _, port = edge["edge"].rpartition(":")
            self._edge_ca = edge["ca"]
            settings = replace(settings, service_url=edge["api"], edges=((host.strip("[]"), int(port)),))
        memory = RateLimitMemory(settings.state_folder)
        self._log.info("asking for a tunnel", service=settings.service_url)
        credentials = await obtain_credentials(
            settings.service_url, memory, self._publisher.publish, self._log, rng=self._rng
        )
        self._credentials = credentials
        self._publisher.publish(events.Assigned(url=credentials.hostname, tunnel_id=credentials.tunnel_id))
        self._log.info("tunnel assigned", url=credentials.hostname)
        self._count()
        addresses = await find_edges(settings.edges, settings.edge_ip_version)
        self._begin(credentials, addresses)

    def _find_origin(self, endpoints: dict[str, dict[str, str]]) -> Origin:
        if self._settings.port is not None:
            return Origin(host=LOCAL_HOST, port=self._settings.port)
        host, _, port = endpoints["hello_world"]["http"].rpartition(":")
        return Origin(host=host, port=int(port))

    async def _probe_origin(self, origin: Origin) -> None:
        """Say so if nothing listens yet; the tunnel starts all the same."""
        try:
            async with asyncio.timeout(ORIGIN_PROBE_TIMEOUT):
                _, writer = await asyncio.open_connection(origin.host, origin.port)
        except (OSError, TimeoutError) as error:
            message = f"nothing answers on {origin} yet; requests get 502 until something does"
            self._log.warning(message, error=getattr(error, "strerror", None) or type(error).__name__)
            self._publisher.publish(events.OriginUnreachable(origin=str(origin), message=message))
            return
        writer.close()

    def _begin(self, credentials: Credentials, addresses: list[EdgeAddress]) -> None:
        limits = policy.Limits(
            connections=self._settings.connections,
            start_timeout=self._settings.timeout,
            max_attempts=self._settings.max_reconnect_attempts,
        )
        self._policy = Policy(
            limits,
            EdgeAddresses(addresses, self._rng),
            self._rng,
            url=credentials.hostname,
            tunnel_id=credentials.tunnel_id,
        )
        self._handle(policy.Begin())
        self._tasks.start(self._tick(), name="tick")
        self._tasks.start(self._keep_saying_stats(), name="stats")

    # --- judgement and its execution ---

    def _handle(self, event: policy.PolicyEvent) -> None:
        if self._policy is None:
            return
        reconnects = self._policy.reconnects
        for command in self._policy.handle(event, asyncio.get_running_loop().time()):
            self._execute(command)
        if self._policy.reconnects != reconnects:
            self._count(reconnects=self._policy.reconnects)

    def _execute(self, command: policy.Command) -> None:
        match command:
            case policy.SpawnWorker():
                self._tasks.start(self._run_worker(command), name=f"worker-{command.slot}.{command.generation}")
            case policy.KillWorker(slot, generation):
                identity = f"worker-{slot}.{generation}"
                self._log.warning("killing a worker that does not answer", worker=identity)
                if (child := self._children.get(identity)) is not None:
                    child.send_signal(signal.SIGKILL)
                else:
                    self._doomed.add(identity)
            case policy.DrainWorker(slot, generation, grace):
                self._tell(f"worker-{slot}.{generation}", Drain(grace))
            case policy.SpawnHelper(name):
                self._tasks.start(self._start_helper(name), name=name)
            case policy.Announce(fact):
                self._announce(fact)
            case policy.Finish(error):
                self._finish(error)

    def _finish(self, error: TunnelError | None) -> None:
        if not self._over.done():
            self._over.set_exception(_Ended(error))
            self._over.exception()  # seen here, in case nobody waits for it

    def _announce(self, fact: events.Event) -> None:
        self._publisher.publish(fact)
        match fact:
            case events.Connecting():
                self._log.info("connecting", slot=fact.slot, edge=fact.edge, attempt=fact.attempt)
            case events.Registered():
                self._log.info(
                    "connection registered", slot=fact.slot, location=fact.location, connections=fact.connections
                )
                if not self._lifecycle.starts:
                    self._up(fact)
            case events.ConnectionEnded():
                self._log.warning(
                    "connection ended",
                    slot=fact.slot,
                    reason=fact.reason,
                    message=fact.message,
                    failures=fact.failures,
                    retry_in=None if fact.retry_in is None else round(fact.retry_in, 1),
                )
            case events.ConnectionRefused():
                self._log.error("the edge refused a connection for good", slot=fact.slot, cause=fact.cause)
            case events.ActorRestarted():
                self._log.error("an actor ended and is started again", actor=fact.actor, status=fact.exit_status)

    def _up(self, fact: events.Registered) -> None:
        """The first registration: the address serves."""
        self._count(starts=1)
        state = TunnelState(
            url=fact.url,
            tunnel_id=fact.tunnel_id,
            pid=os.getpid(),
            started_at=self._started_at,
            version=__version__,
            origin=str(self._origin),
            events_endpoint=self._events_endpoint,
            metrics_endpoint=self._metrics_endpoint,
            location=fact.location,
        )
        try:
            self._state.write(state)
        except OSError as error:
            self._state_failed(error)
        if not self._settings.json:
            self._stdout.line(fact.url)

    def _clear_state(self) -> None:
        try:
            self._state.clear()
        except OSError as error:
            self._state_failed(error)

    def _state_failed(self, error: OSError) -> None:
        path = str(error.filename or self._settings.state_folder)
        message = f"cannot write the state files: {error.strerror}; the tunnel is not harmed"
        self._log.warning(message, path=path)
        self._publisher.publish(events.StateFileFailed(path=path, message=message))

    # --- counts ---

    def _count(self, **changes: Any) -> None:
        """Change the lifecycle counts, and report them."""
        fields = {name: getattr(self._lifecycle, name) for name in LifecycleCounts.__struct_fields__}
        self._lifecycle = LifecycleCounts(**(fields | changes))
        self._lifecycle_sequence += 1
        self._report_lifecycle()

    def _report_lifecycle(self) -> None:
        report = LifecycleReport(self._tunnel_id, self._lifecycle_sequence, self._lifecycle)
        with contextlib.suppress(zmq.Again):  # the next one says it all again
            self._deltas.send(encode(report), zmq.DONTWAIT)
            self._lifecycle_reported = self._lifecycle_sequence

    @property
    def _tunnel_id(self) -> str | None:
        return self._credentials.tunnel_id if self._credentials is not None else None

    @property
    def _totals(self) -> Totals:
        return sum((entry.totals for entry in self._current.values()), self._ended_totals)

    def _note_totals(self, slot: int, generation: int, totals: Totals) -> None:
        known = self._current.get(slot)
        if known is not None and generation < known.generation:
            return
        if known is not None and generation > known.generation:
            self._ended_totals += known.totals
        self._current[slot] = GenerationTotals(slot, generation, totals)

    def _knowledge(self) -> Know:
        return Know(
            self._tunnel_id,
            self._ended_totals,
            list(self._current.values()),
            self._lifecycle,
            self._lifecycle_sequence,
        )

    # --- children ---

    async def _run_worker(self, command: policy.SpawnWorker) -> None:
        """Start a worker and wait for its end."""
        assert self._credentials is not None
        assert self._origin is not None
        slot, generation = command.slot, command.generation
        identity = f"worker-{slot}.{generation}"
        self._note_totals(slot, generation, Totals())
        orders = WorkerOrders(
            *self._child_basics(identity),
            slot=slot,
            generation=generation,
            credentials=self._credentials,
            edge=command.edge,
            edge_ca_file=self._edge_ca,
            client_id=self._client_id,
            previous_attempts=command.previous_attempts,
            replace_existing=command.replace_existing,
            origin=self._origin,
            deltas_endpoint=self._deltas_endpoint,
        )
        said = self._last_words[identity] = asyncio.Event()
        status = await self._run_child("actors.quic_worker", orders)
        if status >= 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_TIMEOUT):
                    await said.wait()
        del self._last_words[identity]
        self._doomed.discard(identity)
        self._beats.pop(slot, None)
        self._handle(policy.WorkerExited(slot, generation, status))

    async def _run_child(self, module: str, orders: ChildOrders) -> int:
        """Start a child, wait for its end, return its exit status."""
        try:
            child = await Child.start(module, orders)
        except OSError as error:
            self._log.error("cannot start a process", module=module, error=error.strerror)
            return int(ExitCode.LOCAL_SETUP)
        self._children[orders.identity] = child
        self._log.debug("child started", child=orders.identity, pid=child.pid)
        if orders.identity in self._doomed:
            child.send_signal(signal.SIGKILL)
        try:
            return await child.wait()
        finally:
            self._children.pop(orders.identity, None)

    async def _start_helper(self, name: str) -> dict[str, str]:
        """Start another actor; return the endpoints that it bound.

        Raises:
            LocalSetupError: it does not come up.
        """
        generation = self._helper_generation[name] = self._helper_generation.get(name, 0) + 1
        ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._helpers[name] = ready
        orders = self._helper_orders(name, f"{name}-0.{generation}")
        self._tasks.start(self._run_helper(name, orders), name=f"watch-{name}")
        try:
            async with asyncio.timeout(HELPER_READY_TIMEOUT):
                return await ready
        except TimeoutError:
            raise LocalSetupError(f"the {name} actor did not come up within {HELPER_READY_TIMEOUT:.0f} s") from None

    def _helper_orders(self, name: str, identity: str) -> ChildOrders:
        basics = self._child_basics(identity)
        match name:
            case "metrics":
                return MetricsOrders(
                    *basics, metrics_endpoint=self._metrics_endpoint, deltas_endpoint=self._deltas_endpoint
                )
            case "local_edge":
                return LocalEdgeOrders(*basics, run_folder=str(self._run_folder))
            case _:
                return HelloWorldOrders(*basics)

    def _child_basics(self, identity: str) -> tuple[str, str, str, bool]:
        return identity, self._control_endpoint, self._settings.log_level, self._settings.log_json

    async def _run_helper(self, name: str, orders: ChildOrders) -> None:
        status = await self._run_child(f"actors.{name}", orders)
        ready = self._helpers[name]
        if not ready.done():
            ready.set_exception(
                LocalSetupError(f"the {name} actor ended with status {status} before it was up; see the log above")
            )
            ready.exception()  # seen here, in case nobody waits for it
        if self._policy is not None:
            self._handle(policy.HelperExited(name, status))
        elif not self._over.done():
            self._finish(LocalSetupError(f"the {name} actor ended with status {status} during the start"))

    # --- the control socket ---

    async def _listen(self) -> None:
        while True:
            identity, *_, payload = await self._control.recv_multipart()
            try:
                message = decode_up(payload)
                name, _, number = identity.decode().rpartition("-")
                slot, generation = (int(part) for part in number.split("."))
            except (*DECODE_ERRORS, ValueError) as error:
                self._log.warning("message that cannot be read", error=type(error).__name__)
                continue
            if name == "worker":
                self._worker_said(slot, generation, message)
            else:
                self._helper_said(name, generation, message)

    def _worker_said(self, slot: int, generation: int, message: Up) -> None:
        match message:
            case Ready():
                self._handle(policy.WorkerReady(slot, generation))
            case Registered():
                self._handle(policy.WorkerRegistered(slot, generation, message.location, message.connection_id))
            case Heartbeat():
                self._note_totals(slot, generation, message.totals)
                self._beats[slot] = message
                self._handle(policy.WorkerBeat(slot, generation))
            case Unregistered():
                fact = events.Unregistered(slot=slot, generation=generation, acknowledged=message.acknowledged)
                self._publisher.publish(fact)
            case Stopped():
                self._note_totals(slot, generation, message.totals)
                end = WorkerEnd(message.reason) if message.reason in set(WorkerEnd) else WorkerEnd.CRASHED
                self._handle(policy.WorkerStopped(slot, generation, end, message.message, message.retry_after))
                if (said := self._last_words.get(f"worker-{slot}.{generation}")) is not None:
                    said.set()

    def _helper_said(self, name: str, generation: int, message: Up) -> None:
        if generation != self._helper_generation.get(name):
            return
        match message:
            case Ready(endpoints):
                if name == "metrics":
                    self._tell(f"metrics-0.{generation}", self._knowledge())
                if not self._helpers[name].done():
                    self._helpers[name].set_result(endpoints)
            case Stopped() if name == "metrics":
                self._final_totals = message.totals
                self._metrics_ended.set()

    def _tell(self, identity: str, message: Down) -> None:
        try:
            self._control.send_multipart([identity.encode(), encode(message)], zmq.DONTWAIT)
        except zmq.ZMQError as error:  # it is gone, and its exit is seen elsewhere
            self._log.debug("order not sent", to=identity, error=error.strerror)

    # --- time ---

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(policy.TICK)
            self._handle(policy.Tick())
            if self._lifecycle_reported != self._lifecycle_sequence:
                self._report_lifecycle()

    async def _keep_saying_stats(self) -> None:
        while True:
            self._publisher.publish(self._stats())
            await asyncio.sleep(STATS_INTERVAL)

    def _stats(self) -> events.Stats:
        assert self._policy is not None
        beats = self._beats.values()
        return events.Stats(
            url=self._policy.url,
            tunnel_id=self._policy.tunnel_id,
            connections=self._policy.connections,
            slots=len(self._policy.slots),
            streams_in_flight=sum(beat.streams_in_flight for beat in beats),
            totals=self._totals,
            reconnects=self._policy.reconnects,
            rtt=min((beat.rtt for beat in beats if beat.rtt), default=0.0),
        )

    # --- end ---

    async def _end(self, error: TunnelError | None) -> ExitCode:
        """Stop what runs, workers first and the metrics actor after their last reports; say the last word."""
        if error is not None:
            self._failed(error)
        self._clear_state()
        workers = [child for identity, child in self._children.items() if identity.startswith("worker-")]
        await asyncio.gather(*(child.end(patience=END_PATIENCE) for child in workers))
        await self._end_metrics()
        await asyncio.gather(*(child.end(patience=END_PATIENCE) for child in list(self._children.values())))
        code = ExitCode.STOPPED if error is None else error.exit_code
        totals = self._final_totals or self._totals
        self._publisher.publish(
            events.Stopped(
                reason="stopped" if error is None else error.reason,
                exit_code=code,
                tunnel_id=self._tunnel_id or "",
                totals=totals,
                reconnects=self._policy.reconnects if self._policy is not None else 0,
            )
        )
        self._log.info(
            "stopped", streams=totals.streams, bytes_in=totals.bytes_in, bytes_out=totals.bytes_out, exit_code=int(code)
        )
        await self._tasks.cancel()
        self._stdout.close()
        return code

    def _failed(self, error: TunnelError) -> None:
        self._log.error(str(error), reason=error.reason)
        if self._lifecycle.starts:
            attempts = getattr(error, "attempts", 0)
            self._publisher.publish(events.GaveUp(reason=error.reason, attempts=attempts, message=str(error)))
        else:
            failed = self._lifecycle.starts_failed
            self._count(starts_failed=failed | {error.reason: failed.get(error.reason, 0) + 1})
            self._publisher.publish(events.StartFailed(reason=error.reason, message=str(error)))

    async def _end_metrics(self) -> None:
        identity = f"metrics-0.{self._helper_generation.get('metrics', 0)}"
        child = self._children.get(identity)
        if child is None:
            return
        self._tell(identity, self._knowledge())
        self._tell(identity, Drain(0.0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                await self._metrics_ended.wait()
                await child.wait()

    # --- helpers ---

    async def _until_over(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, or raise the end of the tunnel if that comes first."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait((task, self._over), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._over.result()
            return await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _fault(self, error: BaseException) -> None:
        """A background task failed."""
        if isinstance(error, TunnelError):
            self._finish(error)
        else:
            self._log.error("internal fault", exc_info=error)
            self._finish(_Internal("an internal fault ended the tunnel; the log has the traceback"))


class _Internal(TunnelError):
    """A fault of this program's own."""


def supervise(settings: Settings, log: Logger) -> ExitCode:
    """Run a supervisor in this process to its end.

    Raises:
        TunnelError: it could not begin.
    """
    lifeline.protect_secrets()
    return asyncio.run(Supervisor(settings, log).run())
