"""The supervisor process: children, sockets, signals. What to do is `policy.py`'s to say; this module does it."""

import asyncio
import datetime
import os
import random
import secrets
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import zmq

from actors import __version__, trust
from actors.bus import events, messages, run_folder, sockets
from actors.bus.messages import (
    Credentials,
    Drain,
    Heartbeat,
    HostPort,
    Origin,
    Ready,
    Registered,
    Stopped,
    Unregistered,
    Up,
    encode,
)
from actors.bus.tally import Totals
from actors.errors import ExitCode, LocalSetupError, TunnelError
from actors.processes import log, means
from actors.processes.dispositions import is_wanted
from actors.processes.forked import Forked
from actors.processes.log import Logger
from actors.processes.nursery import Nursery
from actors.processes.tasks import Tasks, beside, kept, until_over
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import policy, vocabulary
from actors.supervisor.announcer import Announcer
from actors.supervisor.children import Children, Name
from actors.supervisor.counts import Counts
from actors.supervisor.discovery import EDGE_SERVICE
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.lifeline_input import LifelineInput
from actors.supervisor.lookout import Lookout
from actors.supervisor.orders import OrderBook
from actors.supervisor.origin_watch import OriginWatch
from actors.supervisor.output import OutputWriter
from actors.supervisor.owner import until_ended
from actors.supervisor.policy import Policy
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL
from actors.supervisor.publisher import Publisher
from actors.supervisor.rate_limit import RateLimitMemory
from actors.supervisor.readiness import State, Visibility
from actors.supervisor.recount import Recount
from actors.supervisor.restart import SPARE
from actors.supervisor.service_manager import ServiceManager
from actors.supervisor.settings import Settings
from actors.supervisor.start import ask_ahead, find_edges, obtain_credentials
from actors.supervisor.state_folder import StateFolder, TunnelState
from actors.supervisor.terminal import Terminal, stop_words

if TYPE_CHECKING:
    from zmq.auth.asyncio import AsyncioAuthenticator

STATS_INTERVAL: Final = 1.0
"""Seconds between `stats` events."""


class _Ended(Exception):
    """The tunnel's life is over: as asked (`error` is None), or because of `error`."""

    def __init__(self, error: TunnelError | None) -> None:
        super().__init__()
        self.error = error


class _Internal(TunnelError):
    """A fault of this program's own."""


class Supervisor:
    """One tunnel, from start to end."""

    def __init__(
        self, settings: Settings, logger: Logger, head_start: dict[str, Forked], nursery: Nursery | None
    ) -> None:
        self._settings = settings
        self._head_start = head_start
        self._nursery = nursery
        self._log = logger
        self._rng = random.Random()
        self._tasks = Tasks(self._fault)
        self._counts = Counts(started_at=time.time())
        self._policy = Policy(
            policy.Limits(
                settings.connections, settings.timeout, settings.max_reconnect_attempts, settings.renew, settings.spare
            ),
            self._rng,
        )
        self._lookout = Lookout(self._policy, self._handle, logger)
        self._helpers: dict[str, Name] = {}
        """The present generation of each actor that is no worker."""
        self._beats: dict[tuple[int, int], Heartbeat] = {}
        """The latest of each slot and generation that lives."""
        self._recount = Recount(self._ask_for_counts, lambda: self._announce(self._stats()))
        self._final_totals: Totals | None = None
        self._origin_watch: OriginWatch | None = None
        self._service_url = settings.service_url
        self._asked: asyncio.Future[Credentials] | None = None
        """The first request to the API, if it is made beside the rest of the start."""
        self._edges = settings.edges
        self._authenticator: AsyncioAuthenticator | None = None
        self._bound: list[str] = []
        """Endpoints that are ours: one that is another instance's must not be removed at the end."""
        self._stop_asked = False
        self._failed_lookouts: set[str] = set()

    # --- life ---

    async def run(self) -> ExitCode:
        """Run the tunnel to its end.

        Raises:
            TunnelError: it could not even begin (a held state folder, an endpoint that is taken).
        """
        with run_folder.private() as self._run_folder:
            self._state = StateFolder(self._settings.state_folder or self._run_folder / "state")
            self._acquire_state_folder()
            try:
                self._context = sockets.make_context()
                try:
                    return await self._run()
                finally:
                    if self._authenticator is not None:
                        self._authenticator.stop()
                    self._context.destroy(linger=sockets.LINGER_MS)
                    for endpoint in self._bound:
                        sockets.remove_socket_file(endpoint)
            finally:
                self._state.release()

    def _acquire_state_folder(self) -> None:
        if not self._settings.state_folder_is_usual:
            return self._state.acquire()
        usual = self._state.path
        self._state.acquire_usual()
        if (folder := self._state.path) != usual:
            where = f"the files of this one are in {folder} (tunnel-status --state-dir {folder})"
            self._log.warning(f"another tunnel holds {usual}: {where}")
        return None

    async def _run(self) -> ExitCode:
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open_sockets()
        log.watch(asyncio.get_running_loop(), self._log)
        self._install_signals()
        error: TunnelError | None = None
        try:
            await until_over(self._start(), self._over)
            await until_over(asyncio.Event().wait(), self._over)
        except _Ended as ended:
            error = ended.error
        except TunnelError as failure:
            error = failure
        except Exception as fault:
            error = self._explained(fault)
        return await self._end(error)

    def _open_sockets(self) -> None:
        settings, folder = self._settings, self._run_folder
        curve = None
        if settings.curve_files is not None:
            from actors.bus.curve import bind_guarded, read_curve  # here, since few ask for it

            curve = read_curve(*settings.curve_files)
        events_socket = sockets.make_socket(self._context, zmq.SocketType.PUB)
        events_here, events_guarded = _split(settings, settings.events_endpoint, f"ipc://{folder}/events")
        metrics_here, metrics_guarded = _split(settings, settings.metrics_endpoint, f"ipc://{folder}/metrics")
        self._events_endpoint = sockets.bind(events_socket, events_here)
        self._bound.append(self._events_endpoint)
        if curve is not None and events_guarded is not None:
            judge, bound = bind_guarded(self._context, events_socket, curve, events_guarded)
            self._authenticator = judge
            self._log.info("events for clients with a key", endpoint=bound)
        deltas_endpoint = f"ipc://{folder}/deltas"
        self._deltas = sockets.make_socket(self._context, zmq.SocketType.PUSH)
        self._deltas.connect(deltas_endpoint)
        self._stdout = OutputWriter("stdout")
        # With --json stdout may be the same terminal: a program reads it there.
        at_terminal = not settings.log_json and not settings.json
        self._terminal = Terminal(with_code=settings.qr, on_this_machine=settings.local_edge) if at_terminal else None
        self._manager = ServiceManager(os.environ, os.getpid())
        self._announce = Announcer(
            Publisher(events_socket, payload=settings.events_format, stdout=self._stdout if settings.json else None),
            self._log,
            self._state,
            self._manager,
            None if settings.json else self._stdout,
            self._terminal,
            TunnelState(
                url="",
                tunnel_id="",
                pid=os.getpid(),
                started_at=time.time(),
                version=__version__,
                origin="",
                events_endpoint=self._events_endpoint,
                metrics_endpoint="",
                state=State.STARTING,
                serves=False,
                connections=0,
                slots=settings.connections,
                owner=settings.owner,
            ),
        )
        self._children = Children(
            self._context,
            f"ipc://{folder}/control",
            self._tasks,
            self._log,
            self._head_start,
            self._nursery,
            said=self._said,
            exited=self._exited,
        )

        self._orders = OrderBook(
            control_endpoint=self._children.endpoint,
            deltas_endpoint=deltas_endpoint,
            events_endpoint=self._events_endpoint,
            metrics_endpoint=metrics_here,
            guarded_metrics_endpoint=metrics_guarded,
            curve=curve,
            metrics_http=settings.metrics_http,
            run_folder=folder,
            client_id=secrets.token_bytes(16),
            max_streams=settings.max_streams,
            log_requests=settings.log_requests,
            transport=settings.transport,
            log_level=settings.log_level,
            log_json=settings.log_json,
            edge_ca=self._edge_ca(),
            local_edge_tls=settings.local_edge_tls,
            as_cloudflare=settings.as_cloudflare,
        )

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if is_wanted(number):
                loop.add_signal_handler(number, self._signalled, number)
        if self._settings.lifeline:
            LifelineInput(self._ordered, self._owner_gone)
        if self._settings.owner:
            self._tasks.start(self._watch_owner(self._settings.owner), name="owner")

    def _signalled(self, number: signal.Signals) -> None:
        """The first signal asks for an orderly end, a second one for an end at once."""
        if self._stop_asked:
            self._end_at_once(128 + number)
        self._stop(self._settings.grace_period, number)

    def _ordered(self, order: Drain | messages.Recount) -> None:
        match order:
            case Drain(grace):
                self._stop(grace)
            case messages.Recount(number):
                self._recount.begin(number, list(self._beats))

    def _owner_gone(self) -> None:
        """Whoever waited for answers of what it served is gone too: there is nothing to wait for, or no longer."""
        if self._stop_asked:
            self._end_at_once(ExitCode.STOPPED)
        self._stop(0.0)

    async def _watch_owner(self, pid: int) -> None:
        await until_ended(pid)
        self._owner_gone()

    def _ask_for_counts(self, worker: tuple[int, int], number: int) -> None:
        self._children.tell(Name("worker", *worker), messages.Recount(number))

    def _stop(self, grace: float, number: signal.Signals | None = None) -> None:
        if self._stop_asked:
            return
        self._stop_asked = True
        in_flight = sum(beat.gauges.streams_in_flight for beat in self._beats.values())
        waits = bool(in_flight and grace)
        (self._log.warning if waits else self._log.info)(stop_words(in_flight, grace, number))
        self._announce(events.Stopping(grace=grace))
        self._counts.stop_asked()
        self._handle(vocabulary.StopAsked(grace))

    def _end_at_once(self, status: int) -> None:
        self._children.kill_all()
        self._announce.clear_files()
        for endpoint in self._bound:
            sockets.remove_socket_file(endpoint)
        run_folder.remove(self._run_folder)
        os._exit(status)

    # --- start ---

    async def _start(self) -> None:
        settings = self._settings
        self._start_helper(SPARE)  # the first worker: it comes up while the tunnel is asked for
        started = [self._start_helper(name) for name in settings.helpers]
        if not settings.local_edge:  # behind the children: their imports run beside those that it costs
            self._asked = ask_ahead(self._service_url, settings.user_agent, self._rate_limit_memory(), self._tasks)
        ready = await asyncio.gather(*map(self._children.ready, started))
        endpoints = dict(zip(settings.helpers, ready, strict=True))
        orders = self._orders
        orders.metrics_endpoint = endpoints["metrics"]["metrics"]
        if (guarded := endpoints["metrics"].get("guarded")) is not None:
            orders.guarded_metrics_endpoint = guarded
            self._log.info("metrics for clients with a key", endpoint=guarded)
        if (http := endpoints["metrics"].get("http")) is not None:
            orders.metrics_http = HostPort(http.rpartition(":")[0].strip("[]"), int(http.rpartition(":")[2]))
            self._log.info("metrics over HTTP", address=f"http://{http}/metrics")
        origin = orders.origin = self._find_origin(endpoints)
        local_url = local_ca = ""
        if (edge := endpoints.get("local_edge")) is not None:
            host, _, port = edge["edge"].rpartition(":")
            orders.edge_ca, self._service_url, self._edges = edge["ca"], edge["api"], ((host, int(port)),)
            local_url, local_ca = edge["http"], edge["ca"] if settings.local_edge_tls else ""
            self._log.info("the local edge, where its name cannot be resolved", url=local_url)
            if local_ca:
                self._log.info("the local edge is signed for by an authority of its own", certificate=local_ca)
        self._announce(
            events.Starting(
                version=__version__,
                pid=os.getpid(),
                origin=str(origin),
                events_endpoint=self._events_endpoint,
                metrics_endpoint=orders.metrics_endpoint,
                local_url=local_url,
                local_ca=local_ca,
            )
        )
        self._origin_watch = OriginWatch(origin, self._tell, self._log)
        self._look_out("origin", self._origin_watch.run)
        self._look_out("package", self._lookout.watch_package)
        self._tasks.start(self._tick(), name="tick")
        if (warning := trust.expiry_warning(datetime.date.today())) is not None:
            self._log.warning(warning)
        self._look_out("stats", self._keep_saying_stats)
        await self._obtain_tunnel()
        if settings.probe:
            self._look_out("probe", lambda: self._lookout.keep_probing(orders.edge_ca))

    def _edge_ca(self) -> str | None:
        """The file with all whom workers trust, if they do not find it themselves. The local edge names its own."""
        settings = self._settings
        if settings.edge_ca is not None:
            return str(settings.edge_ca)
        if settings.transport.engine != "picoquic" or settings.local_edge:
            return None
        return str(trust.in_one_file(self._run_folder))

    def _find_origin(self, endpoints: dict[str, dict[str, str]]) -> Origin:
        if self._settings.origin is not None:
            return self._settings.origin
        host, _, port = endpoints["hello_world"]["http"].rpartition(":")
        return Origin(host=host, port=int(port))

    async def _obtain_tunnel(self) -> None:
        """Ask for a tunnel and for the edge's addresses, and begin with them.

        Raises:
            TunnelError: there is no tunnel to be had, or no edge.
        """
        self._log.info("asking for a tunnel", service=self._service_url)
        asked, self._asked = self._asked, None
        async with beside(find_edges(self._edges, self._settings.edge_ip_version)) as found:
            credentials = self._orders.credentials = await obtain_credentials(
                self._service_url,
                self._settings.user_agent,
                self._rate_limit_memory(),
                self._announce,
                self._log,
                rng=self._rng,
                asked=asked,
            )
            if not self._counts.tunnel_id:
                self._announce(events.Assigned(url=credentials.url, tunnel_id=credentials.tunnel_id))
            self._counts.assigned(credentials.tunnel_id)
            addresses = await found
        edges = EdgeAddresses(addresses, self._rng)
        asks_for_name = self._service_url == DEFAULT_SERVICE_URL
        seen = Visibility.UNSEEN if asks_for_name else Visibility.NOT_ASKED
        self._handle(vocabulary.Begin(credentials.url, credentials.tunnel_id, edges, seen))
        # With addresses that were given no resolver is needed: one that is dead explains nothing.
        asks = None if self._edges else EDGE_SERVICE
        self._look_out("network", lambda: self._lookout.watch_network(addresses, resolver_knows=asks))

    def _rate_limit_memory(self) -> RateLimitMemory:
        # One refusal is all tunnels' of this user: the usual folder remembers it for those beside it too.
        return RateLimitMemory(self._settings.state_folder or self._state.path, self._service_url)

    async def _renew(self) -> None:
        """The service dropped the tunnel: get another."""
        try:
            await self._obtain_tunnel()
        except TunnelError as error:
            self._handle(vocabulary.RenewFailed(error))

    # --- judgement, and what comes of it ---

    def _handle(self, event: vocabulary.PolicyEvent) -> None:
        reconnects = self._policy.reconnects
        for command in self._policy.handle(event, asyncio.get_running_loop().time()):
            self._execute(command)
        if self._policy.reconnects != reconnects:
            self._counts.reconnected(self._policy.reconnects)

    def _execute(self, command: vocabulary.Command) -> None:
        match command:
            case vocabulary.SpawnWorker():
                self._start_worker(command)
            case vocabulary.KillWorker(slot, generation):
                self._log.debug("killing a worker", slot=slot, generation=generation)
                self._children.kill(Name("worker", slot, generation))
            case vocabulary.DrainWorker(slot, generation, grace):
                self._children.tell(Name("worker", slot, generation), Drain(grace))
            case vocabulary.SpawnHelper(name):
                self._start_helper(name)
            case vocabulary.KillHelper(name):
                self._log.warning("killing an actor that does not answer", name=name)
                self._children.kill(self._helpers[name])
            case vocabulary.Renew():
                self._tasks.start(self._renew(), name="renew")
            case vocabulary.Announce(fact):
                self._tell(fact)
                if isinstance(fact, events.Registered):
                    self._registered(fact)
            case vocabulary.Finish(error):
                self._finish(error)

    def _tell(self, fact: events.Event) -> None:
        """Count it and pass it on."""
        self._counts.happened(fact)
        self._announce(fact)

    def _finish(self, error: TunnelError | None) -> None:
        if not self._over.done():
            self._over.set_exception(_Ended(error))
            self._over.exception()  # seen here, in case nobody waits for it
        self._handle(vocabulary.Over())

    def _registered(self, fact: events.Registered) -> None:
        if not self._counts.lifecycle.starts:
            self._counts.started()
            self._report()
        if fact.connections == 1 and self._policy.visibility is Visibility.UNSEEN:
            self._look_out("visibility", self._lookout.look_for_name)

    # --- children ---

    def _start_worker(self, command: vocabulary.SpawnWorker) -> None:
        name = Name("worker", command.slot, command.generation)
        self._counts.spawned(name.slot, name.generation)
        orders = self._orders.worker(name, command)
        if command.from_spare:
            self._children.adopt(self._helpers[SPARE], name, orders)
        else:
            self._children.start(name, orders)

    def _start_helper(self, actor: str) -> Name:
        generation = self._helpers[actor].generation + 1 if actor in self._helpers else 1
        name = self._helpers[actor] = Name(actor, 0, generation)
        self._children.start(name, self._orders.helper(name))
        return name

    def _exited(self, name: Name, status: int) -> None:
        if name.actor == "worker":
            self._beats.pop((name.slot, name.generation), None)
            self._recount.gone((name.slot, name.generation))
            self._handle(vocabulary.WorkerExited(name.slot, name.generation, status))
        elif not self._over.done():  # else it ended as it was told to
            self._handle(vocabulary.HelperExited(name.actor, status))

    def _said(self, name: Name, message: Up) -> None:
        if name.actor == "worker":
            self._worker_said(name.slot, name.generation, message)
        elif name == self._helpers.get(name.actor):
            match message:
                case Ready():
                    if name.actor == "metrics":
                        self._bound.append(message.endpoints.get("metrics", ""))
                        self._children.tell(name, self._counts.knowledge())
                    self._handle(vocabulary.HelperReady(name.actor))
                case Heartbeat():
                    self._handle(vocabulary.HelperBeat(name.actor))
                case Stopped() if name.actor == "metrics" and self._over.done():
                    self._final_totals = message.tally.totals

    def _worker_said(self, slot: int, generation: int, message: Up) -> None:
        match message:
            case Ready():
                self._handle(vocabulary.WorkerReady(slot, generation))
            case Registered():
                self._handle(
                    vocabulary.WorkerRegistered(
                        slot, generation, message.location, message.connection_id, message.key_exchange
                    )
                )
            case Heartbeat():
                self._counts.note(slot, generation, message.tally)
                self._beats[slot, generation] = message
                self._recount.heard((slot, generation), message.recount)
                if self._origin_watch is not None:
                    self._origin_watch.failures(slot, generation, message.origin_failures)
                self._handle(vocabulary.WorkerBeat(slot, generation))
            case Unregistered():
                fact = events.Unregistered(slot=slot, generation=generation, acknowledged=message.acknowledged)
                self._tell(fact)
            case Stopped():
                self._counts.note(slot, generation, message.tally)
                end = WorkerEnd(message.reason) if message.reason in set(WorkerEnd) else WorkerEnd.CRASHED
                self._handle(vocabulary.WorkerStopped(slot, generation, end, message.message, message.retry_after))

    # --- time ---

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self._manager.watchdog_interval
        fed = loop.time()
        while True:
            await asyncio.sleep(policy.TICK)
            self._handle(vocabulary.Tick())
            self._report()
            if interval is not None and loop.time() - fed >= interval and self._policy.all_answer(loop.time()):
                self._manager.alive()
                fed = loop.time()

    def _report(self) -> None:
        """Give the metrics actor the counts of the tunnel as a whole, when they have changed."""
        if self._counts.is_reported:
            return
        report = self._counts.report()
        if sockets.try_send(self._deltas, encode(report)):
            self._counts.taken(report)

    async def _keep_saying_stats(self) -> None:
        while True:
            self._announce(self._stats())
            await asyncio.sleep(STATS_INTERVAL)

    def _stats(self) -> events.Stats:
        gauges = [beat.gauges for beat in self._beats.values()]
        return events.Stats(
            url=self._policy.url,
            tunnel_id=self._policy.tunnel_id,
            connections=self._policy.connections,
            slots=len(self._policy.slots),
            streams_in_flight=sum(gauge.streams_in_flight for gauge in gauges),
            totals=self._counts.totals,
            reconnects=self._policy.reconnects,
            rtt=min((gauge.rtt for gauge in gauges if gauge.rtt), default=0.0),
            key_exchanges=self._counts.key_exchanges,
            state=self._policy.state,
            serves=self._policy.serves,
            origin_reachable=self._origin_watch is None or self._origin_watch.reachable,
            origin=str(self._orders.origin),
            pid=os.getpid(),
            version=__version__,
            recount=self._recount.answered,
        )

    # --- end ---

    async def _end(self, error: TunnelError | None) -> ExitCode:
        """Stop what runs, workers first and the metrics actor after their last reports; say the last word."""
        self._finish(error)
        if error is not None:
            self._failed(error)
        self._announce.clear_files()
        await self._children.end("worker")
        if (metrics := self._helpers.get("metrics")) is not None:
            self._children.tell(metrics, self._counts.knowledge())
            self._children.tell(metrics, Drain(0.0))
            await self._children.last_word(metrics)
        await self._children.end("metrics", SPARE, "hello_world", "local_edge")
        self._deltas.close(linger=0)  # who read them is gone
        code = ExitCode.STOPPED if error is None else error.exit_code
        # Each may know more than the other: the actor of late reports, this one if the actor said nothing.
        totals = self._counts.totals.highest(self._final_totals or Totals())
        self._announce(
            events.Stopped(
                reason="stopped" if error is None else error.reason,
                exit_code=code,
                tunnel_id=self._counts.tunnel_id,
                totals=totals,
                reconnects=self._counts.reconnects,
            )
        )
        self._log.info(
            "stopped", streams=totals.streams, bytes_in=totals.bytes_in, bytes_out=totals.bytes_out, exit_code=int(code)
        )
        await self._tasks.cancel()
        self._stdout.close()
        if self._terminal is not None:
            self._terminal.close()
        return code

    def _failed(self, error: TunnelError) -> None:
        self._log.error(str(error), reason=error.reason)
        if self._counts.lifecycle.starts:
            attempts = getattr(error, "attempts", 0)
            self._announce(events.GaveUp(reason=error.reason, attempts=attempts, message=str(error)))
        else:
            self._counts.start_failed(error.reason)
            self._announce(events.StartFailed(reason=error.reason, message=str(error)))

    def _look_out(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` beside the tunnel, which does not depend on it: a fault in it is said once, and it begins again."""

        def failed(error: Exception) -> None:
            if name not in self._failed_lookouts:
                self._failed_lookouts.add(name)
                self._log.error("internal fault in a look-out; the tunnel goes on", what=name, exc_info=error)

        self._tasks.replace(kept(work, failed), name=name)

    def _fault(self, error: BaseException) -> None:
        """A background task failed, and the tunnel depends on it."""
        self._finish(self._explained(error))

    def _explained(self, fault: BaseException) -> TunnelError:
        """What is said of a fault that nobody foresaw."""
        if (line := means.refusal(fault)) is not None:
            return LocalSetupError(line)
        self._log.error("internal fault", exc_info=fault)
        return _Internal("an internal fault ended the tunnel; the log has the traceback")


def _split(settings: Settings, wanted: str | None, usual: str) -> tuple[str, str | None]:
    """What is bound for programs of this machine, and what besides for clients with a key."""
    if settings.curve_files is not None and wanted is not None and wanted.startswith("tcp://"):
        return usual, wanted
    return wanted or usual, None


def supervise(settings: Settings, logger: Logger, head_start: dict[str, Forked], nursery: Nursery | None) -> ExitCode:
    """Run a supervisor in this process to its end.

    It takes its first children from `head_start`, by their modules, and later ones from `nursery`.

    Raises:
        TunnelError: it could not begin.
    """
    with asyncio.Runner() as runner:
        runner.get_loop()  # where there can be none, nothing has begun yet
        return runner.run(Supervisor(settings, logger, head_start, nursery).run())
