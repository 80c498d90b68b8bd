"""The supervisor process at work: `policy.py` says what is to be done, and this module does it."""

import asyncio
import datetime
import os
import random
import signal
import time

from actors import __version__, trust
from actors.bus import events, run_folder
from actors.bus.addresses import HostPort
from actors.bus.messages import (
    ConfigurationPushed,
    Credentials,
    Drain,
    Heartbeat,
    Ready,
    Stopped,
    Unregistered,
    Up,
)
from actors.bus.routes import Origin
from actors.bus.tally import Totals
from actors.errors import ExitCode, LocalSetupError, PermanentFailure, TunnelError
from actors.processes import log, means
from actors.processes.forked import Forked
from actors.processes.log import Logger
from actors.processes.nursery import Nursery
from actors.processes.tasks import Tasks, until_over
from actors.supervisor import policy, vocabulary
from actors.supervisor.announcer import Announcer
from actors.supervisor.bus_sockets import BusSockets
from actors.supervisor.children import CRASHES, Children, Name
from actors.supervisor.counts import Counts
from actors.supervisor.dice import Dice
from actors.supervisor.ending import EndRequests
from actors.supervisor.guard_file import GuardFile
from actors.supervisor.guards import OPEN_DOOR
from actors.supervisor.history import History
from actors.supervisor.keeper import Keeper
from actors.supervisor.orders import OrderBook
from actors.supervisor.origin_watch import OriginWatch
from actors.supervisor.policy import Policy
from actors.supervisor.readiness import Visibility
from actors.supervisor.recount import Worker
from actors.supervisor.restart import SPARE
from actors.supervisor.rules import Rules
from actors.supervisor.service_manager import ServiceManager
from actors.supervisor.settings import Settings
from actors.supervisor.start import TunnelSource
from actors.supervisor.state_folder import StateFolder
from actors.supervisor.statistics import Statistics
from actors.supervisor.terminal import stop_words
from actors.supervisor.watcher import Watcher


class _Ended(Exception):
    """The tunnel's life is over: as asked (`error` is None), or because of `error`."""

    def __init__(self, error: TunnelError | None) -> None:
        super().__init__()
        self.error = error


class Supervisor:
    """One tunnel, from start to end. It is made in a running event loop, of parts that `compose.py` puts together."""

    def __init__(
        self,
        settings: Settings,
        logger: Logger,
        bus: BusSockets,
        announce: Announcer,
        manager: ServiceManager,
        orders: OrderBook,
        state: StateFolder,
        keeper: Keeper | None,
        guard_file: GuardFile | None,
        head_start: dict[str, Forked],
        nursery: Nursery | None,
    ) -> None:
        self._settings = settings
        self._log = logger
        self._bus = bus
        self._announce = announce
        self._manager = manager
        self._orders = orders
        self._guard_file = guard_file
        self._source = TunnelSource(settings, state.path, keeper, announce, logger)
        self._tasks = Tasks(self._fault)
        self._children = Children(
            bus.context,
            bus.control_endpoint,
            self._tasks,
            logger,
            head_start,
            nursery,
            said=self._said,
            exited=self._exited,
        )
        self._counts = Counts(time.time(), settings.transport.engine)
        self._policy = Policy(settings.limits, Dice(random.getrandbits(32)))
        self._history = History(self._policy)
        self._statistics = Statistics(self._policy, self._counts, bus, announce, self._children)
        self._rules = Rules(
            settings,
            state,
            orders,
            self._children,
            page=self._page,
            tell=self._tell,
            handle=self._handle,
            log=logger,
        )
        self._watcher = Watcher(self._policy, self._handle, self._tasks, logger)
        self._origin_watch: OriginWatch | None = None
        self._helpers: dict[str, Name] = {}
        """The present generation of each actor that is no worker."""
        self._requests = EndRequests(
            settings, logger, stop=self._stop, end_at_once=self._end_at_once, recount=self._statistics.recount
        )
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._final_totals = Totals()
        """What the metrics actor said last."""

    # --- life ---

    async def run(self) -> ExitCode:
        """Run the tunnel to its end."""
        log.watch(asyncio.get_running_loop(), self._log)
        self._requests.listen(self._tasks, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
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

    def _stop(self, grace: float, number: signal.Signals | None) -> None:
        in_flight = self._statistics.in_flight
        waits = bool(in_flight and grace)
        (self._log.warning if waits else self._log.info)(stop_words(in_flight, grace, number))
        self._announce(events.Stopping(grace=grace))
        self._counts.stop_asked()
        self._handle(vocabulary.StopAsked(grace))

    def _end_at_once(self, status: int) -> None:
        self._children.kill_all()
        self._announce.clear_files()
        self._bus.remove_files()
        run_folder.remove(self._orders.run_folder)
        os._exit(status)

    # --- start ---

    async def _start(self) -> None:
        settings = self._settings
        self._start_helper(SPARE)  # the first worker: it comes up while the tunnel is asked for
        started = [self._start_helper(name) for name in settings.helpers]
        if not settings.local_edge:  # behind the children: their imports run beside those that it costs
            self._source.ask_ahead(self._tasks)
        ready = await asyncio.gather(*map(self._children.ready, started))
        endpoints = dict(zip(settings.helpers, ready, strict=True))
        orders = self._orders
        orders.learn(endpoints)
        await self._rules.begin()
        origin = orders.routes.only_origin
        if orders.guarded_metrics_endpoint is not None:
            self._log.info("metrics for clients with a key", endpoint=orders.guarded_metrics_endpoint)
        if orders.metrics_http is not None:
            self._log.info("metrics over HTTP", address=f"http://{orders.metrics_http}/metrics")
        inspector_url = f"http://{orders.inspector}" if orders.inspector is not None else ""
        if inspector_url:
            self._log.info("the inspector: requests, and a button that sends them again", url=inspector_url)
        local_url = local_ca = ""
        if (edge := endpoints.get("local_edge")) is not None:
            self._source.use_local_edge(edge["api"], HostPort.parse(edge["edge"]))
            local_url, local_ca = edge["http"], edge["ca"] if settings.local_edge_tls else ""
            self._log.info("the local edge, where its name cannot be resolved", url=local_url)
            if local_ca:
                self._log.info("the local edge is signed for by an authority of its own", certificate=local_ca)
        self._announce(
            events.Starting(
                version=__version__,
                pid=os.getpid(),
                origin=str(origin or ""),
                events_endpoint=self._bus.events_endpoint,
                metrics_endpoint=orders.metrics_endpoint,
                local_url=local_url,
                local_ca=local_ca,
                inspector_url=inspector_url,
            )
        )
        if origin is not None:
            self._watch_origin(origin)
        self._rules.announce()
        if not settings.local_edge and orders.routes.routes and settings.guards.is_open(orders.routes):
            self._log.info(OPEN_DOOR)
        self._watcher.keep("package", self._watcher.watch_package)
        self._tasks.start(self._tick(), name="tick")
        if (warning := trust.expiry_warning(datetime.date.today())) is not None:
            self._log.warning(warning)
        self._watcher.keep("stats", self._statistics.keep_saying_stats)
        await self._obtain_tunnel()
        if settings.probe:
            self._watcher.keep("probe", lambda: self._watcher.keep_probing(orders.edge_ca))

    def _watch_origin(self, origin: Origin) -> None:
        watch = self._origin_watch = OriginWatch(origin, self._tell, self._log)
        self._statistics.origin = str(origin)
        self._statistics.origin_reachable = lambda: watch.reachable
        self._watcher.keep("origin", watch.run)

    async def _page(self) -> Origin:
        """Where the page of our own is. It is started, if it does not run."""
        if self._orders.page is not None:
            return self._orders.page
        name = self._helpers.get("hello_world") or self._start_helper("hello_world")
        return self._orders.learn_page(await self._children.ready(name))

    async def _obtain_tunnel(self) -> None:
        """Get a tunnel, and begin with it.

        Raises:
            TunnelError: there is no tunnel to be had, or no edge.
        """
        kept = self._source.has_kept
        addresses = await self._source.obtain(self._assigned)
        credentials = self._orders.credentials
        assert credentials is not None
        seen = Visibility.UNSEEN if self._source.names_are_public else Visibility.NOT_ASKED
        self._handle(vocabulary.Begin(credentials.url, credentials.tunnel_id, tuple(addresses), seen, kept))
        proxies = await self._source.proxy_addresses(addresses)
        direct = [address for address in addresses if not address.is_name]
        asks = self._source.service if self._source.asks_dns and direct else None
        if direct or proxies:  # else only the proxy knows the way
            self._watcher.keep("network", lambda: self._watcher.watch_network(direct, proxies, resolver_knows=asks))

    def _assigned(self, credentials: Credentials) -> None:
        self._orders.credentials = credentials
        if not self._counts.tunnel_id:
            self._announce(events.Assigned(url=credentials.url, tunnel_id=credentials.tunnel_id))
        self._counts.assigned(credentials.tunnel_id)

    async def _renew(self) -> None:
        """The service dropped the tunnel: get another."""
        try:
            await self._obtain_tunnel()
        except TunnelError as error:
            self._handle(vocabulary.RenewFailed(error))

    # --- judgement, and what comes of it ---

    def _handle(self, event: vocabulary.PolicyEvent) -> None:
        reconnects = self._policy.reconnects
        try:
            for command in self._history.handle(event, asyncio.get_running_loop().time()):
                self._execute(command)
        except Exception as fault:  # whoever called, a signal perhaps: a tunnel that nobody judges must end
            self._fault(fault)
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
            case vocabulary.UseEngine(engine):
                self._orders.use_engine(engine)
            case vocabulary.Renew():
                self._tasks.start(self._renew(), name="renew")
            case vocabulary.Announce(event):
                self._tell(event)
                if isinstance(event, events.Registered):
                    self._registered(event)
            case vocabulary.Finish(error):
                self._finish(error)

    def _tell(self, event: events.Event) -> None:
        """Count it and pass it on."""
        self._counts.happened(event)
        self._announce(event)

    def _finish(self, error: TunnelError | None) -> None:
        if self._over.done():
            return
        self._over.set_exception(_Ended(error))
        self._over.exception()  # seen here, in case nobody waits for it
        self._handle(vocabulary.Over())

    def _registered(self, event: events.Registered) -> None:
        if not self._counts.lifecycle.starts:
            self._counts.started()
            self._statistics.report()
            self._watcher.keep("kept", lambda: self._source.keep_touching(lambda: self._policy.connections > 0))
        if event.connections == 1 and self._policy.visibility is Visibility.UNSEEN:
            self._watcher.keep("visibility", self._watcher.look_for_name)

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
            self._statistics.gone((name.slot, name.generation))
            self._counts.gone(name.slot, name.generation)
            if self._guard_file is not None:
                self._guard_file.gone(name.slot, name.generation)
            self._handle(vocabulary.WorkerExited(name.slot, name.generation, status, status in CRASHES))
        elif not self._over.done():  # else it ended as it was told to
            self._handle(vocabulary.HelperExited(name.actor, status, status in CRASHES))

    def _said(self, name: Name, message: Up) -> None:
        if name.actor == "worker":
            self._worker_said((name.slot, name.generation), message)
        elif name == self._helpers.get(name.actor):
            match message:
                case Ready():
                    if name.actor == "metrics":
                        self._bus.is_ours(message.endpoints.get("metrics", ""))
                        self._children.tell(name, self._counts.knowledge())
                    self._handle(vocabulary.HelperReady(name.actor))
                case Heartbeat():
                    self._handle(vocabulary.HelperBeat(name.actor))
                case Stopped() if name.actor == "metrics" and self._over.done():
                    self._final_totals = message.tally.totals

    def _worker_said(self, worker: Worker, message: Up) -> None:
        match message:
            case Heartbeat():
                self._counts.note(*worker, message.tally)
                self._statistics.heard(worker, message)
                if self._origin_watch is not None:
                    self._origin_watch.failures(*worker, message.origin_failures)
            case Stopped():
                self._counts.note(*worker, message.tally)
            case Ready():
                self._rules.remind(Name("worker", *worker))
            case ConfigurationPushed():
                self._tasks.start(self._rules.pushed(Name("worker", *worker), message), name="push")
            case Unregistered():
                slot, generation = worker
                self._tell(events.Unregistered(slot=slot, generation=generation, acknowledged=message.acknowledged))
        if (event := vocabulary.said(worker, message)) is not None:
            self._handle(event)

    # --- time ---

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        interval = self._manager.watchdog_interval
        fed = loop.time()
        while True:
            await asyncio.sleep(policy.TICK)
            self._handle(vocabulary.Tick())
            self._statistics.report()
            if interval is not None and loop.time() - fed >= interval and self._policy.all_answer(loop.time()):
                self._manager.alive()
                fed = loop.time()

    # --- end ---

    async def _end(self, error: TunnelError | None) -> ExitCode:
        """Stop what runs, workers first and the metrics actor after their last reports; say the last word."""
        self._finish(error)
        if error is not None:
            self._failed(error)
        self._announce.clear_files()
        self._source.ended(error)
        await self._children.end("worker")
        if (metrics := self._helpers.get("metrics")) is not None:
            self._children.tell(metrics, self._counts.knowledge())
            self._children.tell(metrics, Drain(0.0))
            await self._children.last_word(metrics)
        await self._children.end("metrics", SPARE, "inspector", "hello_world", "local_edge")
        self._bus.stop_reporting()
        code = ExitCode.STOPPED if error is None else error.exit_code
        # Each may know more than the other: the actor of late reports, this one if the actor said nothing.
        totals = self._counts.totals.highest(self._final_totals)
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
        return code

    def _failed(self, error: TunnelError) -> None:
        if isinstance(error, PermanentFailure):
            self._log.debug("what the policy was told before it", history=self._history.text())
        self._log.error(str(error), reason=error.reason)
        if self._counts.lifecycle.starts:
            attempts = getattr(error, "attempts", 0)
            self._announce(events.GaveUp(reason=error.reason, attempts=attempts, message=str(error)))
        else:
            self._counts.start_failed(error.reason)
            self._announce(events.StartFailed(reason=error.reason, message=str(error)))

    def _fault(self, error: BaseException) -> None:
        """A background task failed, and the tunnel depends on it."""
        self._finish(self._explained(error))

    def _explained(self, fault: BaseException) -> TunnelError:
        """What is said of a fault that nobody foresaw."""
        if (line := means.refusal(fault)) is not None:
            return LocalSetupError(line)
        self._log.error("internal fault", exc_info=fault)
        self._log.error("what the policy was told before it", history=self._history.text())
        return TunnelError("an internal fault ended the tunnel; the log has the traceback")
