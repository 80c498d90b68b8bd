"""The worker process: orders, then the life and the end of one connection.

dial → register → serve, with a heartbeat and a report at their intervals → unregister, drain, close.
It never reconnects: whatever ends the connection ends the worker, which says why, and the supervisor starts another.
"""

import asyncio
import contextlib
import os
import signal
import uuid
from typing import TYPE_CHECKING, Final, NoReturn

import zmq

from actors.bus import sockets
from actors.bus.messages import (
    DECODE_ERRORS,
    HEARTBEAT_INTERVAL,
    MAX_CONTROL_BYTES,
    ConfigurationAnswered,
    Drain,
    Heartbeat,
    Inspection,
    Leaving,
    Ready,
    Recount,
    Registered,
    Reroute,
    Stopped,
    Unregistered,
    Up,
    WorkerOrders,
    decode_down,
    encode,
)
from actors.bus.tally import Gauges
from actors.errors import EdgeProtocolError
from actors.exchange.exchanges import Exchanges
from actors.exchange.journal import Journal
from actors.exchange.ledger import Counting, Ledger
from actors.exchange.observers import Observers
from actors.exchange.router import Router
from actors.processes import event_loop, lifeline, log
from actors.processes.tasks import Tasks, until_over
from actors.quic_worker.edge_connection import Told
from actors.quic_worker.ends import EXIT_STATUS, Ended, WorkerEnd
from actors.quic_worker.pushes import Pushes
from actors.quic_worker.ways import edge_connection
from actors.wire.registration import Refusal, Registration

if TYPE_CHECKING:
    from actors.quic_worker.inspected import Inspected

UNREGISTER_TIMEOUT: Final = 1.0
"""Seconds that the edge gets to answer the unregistration, even with a grace period of 0."""

MAX_TEXT: Final = 1000
"""Characters of the edge's words that are passed on."""

FIRST_RULES_TIMEOUT: Final = 3.0
"""Seconds after the registration for which requests wait for the first rules: the edge sends them at once, and sends
requests at once, too. A tunnel for which none were made answers 503 from then on."""

REPORT_INTERVAL: Final = 0.25
"""Seconds between reports to the metrics actor: what a worker that is killed can lose."""


class Worker:
    """One connection to the edge."""

    def __init__(self, orders: WorkerOrders, context: sockets.Context, logger: log.Logger) -> None:
        self._orders = orders
        self._log = logger
        self._control_socket = sockets.make_socket(
            context, zmq.SocketType.DEALER, identity=orders.identity, limit=MAX_CONTROL_BYTES
        )
        self._control_socket.connect(orders.control_endpoint)
        self._deltas = sockets.make_socket(context, zmq.SocketType.PUSH)
        self._deltas.connect(orders.deltas_endpoint)
        self._ledger = Ledger(tunnel_id=orders.credentials.tunnel_id, slot=orders.slot, generation=orders.generation)
        self._tasks = Tasks(self._fault)
        inspected = orders.inspection
        self._router = Router(
            orders.routes,
            awaits_rules=orders.takes_configuration,
            closed=None if inspected is None else inspected.http,
            guard_file=orders.guard_file,
            slot=orders.slot,
            generation=orders.generation,
        )
        journal = Journal(logger, url=orders.credentials.url, all_requests=orders.log_requests)
        self._inspected = None if inspected is None else _inspected(inspected, orders.identity, context, logger)
        taps = [] if self._inspected is None else [self._inspected.tap]
        observers = Observers(Counting(self._ledger), journal, *taps)
        self._exchanges = Exchanges(self._router, observers, self._tasks, at_once=orders.max_streams)
        self._over: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._drain: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._registered = False
        self._recount = 0
        """The latest that was asked for."""
        self._pushes = Pushes(self._say, lambda: self._router.version, takes=orders.takes_configuration)
        told = Told(self._lost, self._leaving, self._pushes.push)
        self._edge = edge_connection(orders, self._exchanges, told, logger)
        self._is_leaving = False

    # --- life ---

    async def run(self) -> WorkerEnd:
        """Live, and return how it ended. The last word has been sent then."""
        self._say(Ready())
        self._tasks.start(self._listen(), name="listen")
        self._tasks.start(self._beat(), name="heartbeat")
        if self._inspected is not None:
            self._inspected.begin(self._router, self._tasks)
        try:
            await self._live()
        except Ended as end:
            reason, message, retry_after = end.end, str(end), end.retry_after
        else:
            reason, message, retry_after = WorkerEnd.DRAINED, "", 0.0
        await self._tasks.cancel()
        self._router.close()
        self._report()
        message = message[:MAX_TEXT]  # a longer one would not fit on the bus
        self._say(Stopped(reason=reason, message=message, tally=self._ledger.tally, retry_after=retry_after))
        # However it ended: an edge that is not told holds the connection index for five more seconds.
        self._edge.close()
        self._control_socket.close()
        self._deltas.close()
        if self._inspected is not None:
            self._inspected.close()
        return reason

    async def _live(self) -> None:
        await until_over(self._edge.dial(), self._over)
        self._tasks.start(self._edge.keep_alive(), name="ping")
        details = await until_over(self._register(), self._over)
        grace = await until_over(self._drain, self._over)
        self._log.info("draining", grace=grace, streams=len(self._exchanges), connection=details)
        await self._leave(grace)

    async def _register(self) -> str:
        orders = self._orders
        registration = Registration(
            account_tag=orders.credentials.account_tag,
            secret=orders.credentials.secret,
            tunnel_id=uuid.UUID(orders.credentials.tunnel_id),
            connection_index=orders.slot,
            client_id=orders.client_id,
            previous_attempts=orders.previous_attempts,
            replace_existing=orders.replace_existing,
            takes_configuration=orders.takes_configuration,
        )
        try:
            result = await self._edge.register(registration)
        except EdgeProtocolError as error:
            raise Ended(WorkerEnd.REGISTRATION_FAILED, str(error)) from error
        if isinstance(result, Refusal):
            kind = (
                WorkerEnd.DUPLICATE_CONNECTION
                if result.is_duplicate
                else WorkerEnd.REFUSED_FOR_GOOD
                if result.is_permanent
                else WorkerEnd.REGISTRATION_REFUSED
            )
            raise Ended(kind, result.cause or "the edge gave no cause", retry_after=result.retry_after)
        self._registered = True
        self._say(
            Registered(
                location=result.location[:MAX_TEXT],
                connection_id=result.connection_id,
                key_exchange=self._edge.key_exchange(),
                protocol=self._edge.protocol,
            )
        )
        if self._router.awaits_rules:
            asyncio.get_running_loop().call_later(FIRST_RULES_TIMEOUT, self._wait_for_no_rules)
        if orders.slot == 0 and not result.remotely_managed:
            self._tasks.start(self._configure(), name="configure")
        return result.connection_id

    def _wait_for_no_rules(self) -> None:
        self._router.awaits_rules = False
        self._exchanges.rules_came()

    async def _configure(self) -> None:
        """Tell the edge where requests go. It is informative: a failure is no reason to end a connection that works."""
        try:
            await self._edge.configure(self._orders.ingress)
        except EdgeProtocolError as error:
            self._log.warning("the edge did not take the local configuration", error=str(error))

    async def _leave(self, grace: float) -> None:
        """Unregister, and let what is in flight finish; within `grace`, or what the unregistration takes."""
        end = asyncio.get_running_loop().time() + grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(grace, UNREGISTER_TIMEOUT)):
                self._say(Unregistered(acknowledged=await self._unregister()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                if self._exchanges:
                    await until_over(self._exchanges.idle(), self._over)
                await self._edge.flushed()

    async def _unregister(self) -> bool:
        """Ask the edge for no more requests; return whether it answered."""
        try:
            await until_over(self._edge.unregister(), self._over)
        except EdgeProtocolError as error:
            self._log.warning("the edge did not acknowledge the unregistration", error=str(error))
            return False
        return True

    # --- what runs beside ---

    async def _listen(self) -> None:
        """Read what the supervisor says."""
        while True:
            frames = await self._control_socket.recv_multipart()
            try:
                order = decode_down(frames[-1])
            except DECODE_ERRORS as error:
                self._log.warning("order that cannot be read", error=type(error).__name__)
                continue
            match order:
                case Drain():
                    self.drain(order.grace)
                case Recount():
                    self._recount = order.number
                    self._tell_counts()
                case Reroute():
                    self._router.replace(order.routes)
                    self._exchanges.rules_came()
                case ConfigurationAnswered():
                    self._pushes.answered(order)

    def drain(self, grace: float) -> None:
        """End as soon as what is in flight has ended, or `grace` seconds have passed."""
        if not self._registered:
            self._end_with(Ended(WorkerEnd.DRAINED))
        elif not self._drain.done():
            self._drain.set_result(grace)

    def _end_with(self, end: Ended) -> None:
        if not self._over.done():
            self._over.set_exception(end)
            self._over.exception()  # seen here, in case nobody waits for it

    async def _beat(self) -> None:
        """Heartbeats, and reports with them: what one says to the supervisor the other says to the metrics actor.

        Every second, so that both know that this worker lives and what it has counted, even if they lost an earlier
        word; and sooner when something passed.
        """
        last = 0.0
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            if now - last >= HEARTBEAT_INTERVAL or not self._ledger.is_reported:
                last = now
                self._tell_counts()
            await asyncio.sleep(REPORT_INTERVAL)

    def _tell_counts(self) -> None:
        self._report()
        self._say(
            Heartbeat(
                tally=self._ledger.tally,
                gauges=self._gauges(),
                origin_failures=self._router.failures,
                recount=self._recount,
            )
        )

    def _gauges(self) -> Gauges:
        return Gauges(streams_in_flight=len(self._exchanges), rtt=self._edge.path().round_trip_time)

    def _report(self) -> None:
        """Push what passed; what a full queue does not take goes with the next report."""
        path = self._edge.path()
        self._ledger.packets_sent, self._ledger.packets_lost = path.packets_sent, path.packets_lost
        report = self._ledger.draft(self._gauges())
        if sockets.try_send(self._deltas, encode(report)):
            self._ledger.taken(report)
        else:
            self._ledger.refused()

    def _say(self, message: Up) -> None:
        """Tell the supervisor. Only one that has stopped reading for minutes makes the queue full."""
        if not sockets.try_send(self._control_socket, encode(message)):
            self._log.warning("the supervisor does not read", message=type(message).__name__)

    # --- events ---

    def _lost(self, why: str) -> None:
        self._end_with(Ended(WorkerEnd.CONNECTION_LOST, why))

    def _leaving(self, why: str) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            self._log.info("the edge wants to end this connection", reason=why[:MAX_TEXT])
            self._say(Leaving(why[:MAX_TEXT]))

    def _fault(self, error: BaseException) -> None:
        """A background task failed: that is a fault of this program, and the worker ends."""
        self._log.error("internal fault", exc_info=error)
        os._exit(1)


def _inspected(how: Inspection, identity: str, context: sockets.Context, logger: log.Logger) -> "Inspected":
    from actors.quic_worker.inspected import Inspected  # here, since few ask for it

    return Inspected(how, identity, context, logger)


async def _main(orders: WorkerOrders) -> WorkerEnd:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)
    context = sockets.make_context()
    worker = Worker(orders, context, logger)
    lifeline.on_parent_gone(lambda: os._exit(0))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.drain, 0.0)
    try:
        return await worker.run()
    except Exception as fault:
        logger.error("internal fault", exc_info=fault)  # here: the tasks find their sockets closed next
        os._exit(1)
    finally:
        context.destroy(linger=sockets.LINGER_MS)


def live(orders: WorkerOrders) -> int:
    """Run one worker to its end and return the process's exit status."""
    return EXIT_STATUS.get(event_loop.run(_main(orders)), 1)


def main() -> int:
    """Read the orders and carry them out."""
    return live(lifeline.read_orders(WorkerOrders))
