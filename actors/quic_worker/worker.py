"""The worker process: orders, then the life and the end of one connection.

dial → register → serve, with a PING, a heartbeat and a report at their intervals → unregister, drain, close.
It never reconnects: whatever ends the connection ends the worker, which says why, and the supervisor starts another.
"""

import asyncio
import contextlib
import errno
import os
import signal
import uuid
from typing import Final, NoReturn

import zmq

from actors.bus import sockets
from actors.bus.messages import (
    DECODE_ERRORS,
    HEARTBEAT_INTERVAL,
    Drain,
    EdgeAddress,
    Heartbeat,
    Ready,
    Recount,
    Registered,
    Stopped,
    Unregistered,
    Up,
    WorkerOrders,
    decode_down,
    encode,
)
from actors.bus.tally import Gauges
from actors.errors import EdgeProtocolError
from actors.exchange.exchange import Exchange, Surroundings
from actors.exchange.journal import Journal
from actors.exchange.ledger import Ledger
from actors.exchange.origin_pool import OriginPool
from actors.processes import event_loop, lifeline, log
from actors.processes.tasks import Tasks, until_over
from actors.quic_worker.connection import Connection, Owner, Stream
from actors.quic_worker.control import ControlStream
from actors.quic_worker.dial import address_of, open_connection
from actors.quic_worker.ends import EXIT_STATUS, WorkerEnd
from actors.quic_worker.engine import PING_INTERVAL, Closed
from actors.quic_worker.streams import IncomingStream
from actors.wire.registration import Refusal, Registration, local_configuration, read_result

DIAL_TIMEOUT: Final = 5.0
"""Seconds for the QUIC handshake; the Go client's own."""

NO_ROUTE_ERRORS: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL))
"""What the kernel says to a datagram for which it knows no way. (EPERM, a firewall's, is not among them.)"""

UNREGISTER_TIMEOUT: Final = 1.0
"""Seconds that the edge gets to answer the unregistration, even with a grace period of 0."""

MAX_TEXT: Final = 1000
"""Characters of the edge's words that are passed on."""

REPORT_INTERVAL: Final = 0.25
"""Seconds between reports to the metrics actor: what a worker that is killed can lose."""


class _End(Exception):
    """The connection's life is over, for a reason."""

    def __init__(self, end: WorkerEnd, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.end = end
        self.retry_after = retry_after


def _cannot_send(edge: EdgeAddress, error: OSError) -> _End:
    end = WorkerEnd.NO_ROUTE if error.errno in NO_ROUTE_ERRORS else WorkerEnd.DIAL_FAILED
    return _End(end, f"cannot send UDP to {edge}: {error.strerror}")


class Worker:
    """One connection to the edge."""

    def __init__(self, orders: WorkerOrders, context: sockets.Context, logger: log.Logger) -> None:
        self._orders = orders
        self._log = logger
        self._control_socket = sockets.make_socket(context, zmq.SocketType.DEALER, identity=orders.identity)
        self._control_socket.connect(orders.control_endpoint)
        self._deltas = sockets.make_socket(context, zmq.SocketType.PUSH)
        self._deltas.connect(orders.deltas_endpoint)
        self._ledger = Ledger(tunnel_id=orders.credentials.tunnel_id, slot=orders.slot, generation=orders.generation)
        self._tasks = Tasks(self._fault)
        self._exchanges: set[Exchange] = set()
        self._pool = OriginPool(orders.origin)
        self._surroundings = Surroundings(
            self._pool,
            self._ledger,
            self._tasks,
            lambda: len(self._exchanges) > orders.max_streams,
            self._exchange_ended,
            Journal(logger, url=orders.credentials.url, all_requests=orders.log_requests),
        )
        self._idle = asyncio.Event()
        self._handshake = asyncio.Event()
        self._over: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
        self._drain: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._registered = False
        self._recount = 0
        """The latest that was asked for."""
        self._connection: Connection | None = None

    # --- life ---

    async def run(self) -> WorkerEnd:
        """Live, and return how it ended. The last word has been sent then."""
        self._say(Ready())
        self._tasks.start(self._listen(), name="listen")
        self._tasks.start(self._beat(), name="heartbeat")
        try:
            await self._live()
        except _End as end:
            reason, message, retry_after = end.end, str(end), end.retry_after
        else:
            reason, message, retry_after = WorkerEnd.DRAINED, "", 0.0
        await self._tasks.cancel()
        self._pool.close()
        self._report()
        message = message[:MAX_TEXT]  # a longer one would not fit on the bus
        self._say(Stopped(reason=reason, message=message, tally=self._ledger.tally, retry_after=retry_after))
        if self._connection is not None:
            # However it ended: an edge that is not told holds the connection index for five more seconds.
            self._connection.close(0, "")
        self._control_socket.close()
        self._deltas.close()
        return reason

    async def _live(self) -> None:
        connection = await self._dial()
        control = self._open_control(connection)
        details = await until_over(self._register(control), self._over)
        grace = await until_over(self._drain, self._over)
        self._log.info("draining", grace=grace, streams=len(self._exchanges), connection=details)
        await self._leave(connection, control, grace)

    async def _dial(self) -> Connection:
        edge = self._orders.edge
        owner = Owner(self._accept, self._handshake.set, self._closed, self._engine_failed)
        try:
            connection = open_connection(edge, self._orders.edge_ca_file, self._orders.transport, owner)
        except OSError as error:
            raise _cannot_send(edge, error) from error
        self._connection = connection
        connection.connect(address_of(edge))
        if connection.last_error is not None:
            raise _cannot_send(edge, connection.last_error)  # there is nothing to wait for
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await until_over(self._handshake.wait(), self._over)
        except TimeoutError:
            failed = connection.last_error
            hint = f"; sending failed: {failed.strerror}" if failed is not None else ""
            raise _End(
                WorkerEnd.DIAL_FAILED,
                f"no answer from {edge} over UDP within {DIAL_TIMEOUT:.0f} s{hint}. "
                f"Is UDP to port {edge.port} allowed on this network?",
            ) from None
        except _End as end:
            if end.end is WorkerEnd.DRAINED:
                raise
            hint = ""
            if self._orders.transport.post_quantum:
                hint = ". --post-quantum takes no key exchange but X25519MLKEM768: does the edge know it?"
            raise _End(WorkerEnd.DIAL_FAILED, f"the QUIC handshake with {edge} failed: {end}{hint}") from None
        return connection

    def _engine_failed(self, error: BaseException) -> None:
        """A fault in the engine leaves a connection that nobody can trust: the worker ends."""
        self._log.error("internal fault in the QUIC engine", exc_info=error)
        self._end_with(_End(WorkerEnd.CONNECTION_LOST, f"internal fault in the QUIC engine: {error!r}"))

    def _open_control(self, connection: Connection) -> ControlStream:
        controls: list[ControlStream] = []

        def make(stream: Stream) -> ControlStream:
            controls.append(ControlStream(stream))
            return controls[0]

        connection.open_stream(make)
        self._tasks.start(self._keep_alive(connection), name="ping")
        return controls[0]

    async def _register(self, control: ControlStream) -> str:
        orders = self._orders
        registration = Registration(
            account_tag=orders.credentials.account_tag,
            secret=orders.credentials.secret,
            tunnel_id=uuid.UUID(orders.credentials.tunnel_id),
            connection_index=orders.slot,
            client_id=orders.client_id,
            previous_attempts=orders.previous_attempts,
            replace_existing=orders.replace_existing,
        )
        try:
            result = read_result(await control.call("registerConnection", registration.params()))
        except EdgeProtocolError as error:
            raise _End(WorkerEnd.REGISTRATION_FAILED, str(error)) from error
        if isinstance(result, Refusal):
            kind = (
                WorkerEnd.DUPLICATE_CONNECTION
                if result.is_duplicate
                else WorkerEnd.REFUSED_FOR_GOOD
                if result.is_permanent
                else WorkerEnd.REGISTRATION_REFUSED
            )
            raise _End(kind, result.cause or "the edge gave no cause", retry_after=result.retry_after)
        self._registered = True
        assert self._connection is not None
        self._say(
            Registered(
                location=result.location[:MAX_TEXT],
                connection_id=result.connection_id,
                key_exchange=self._connection.engine.key_exchange(),
            )
        )
        if orders.slot == 0 and not result.remotely_managed:
            self._tasks.start(self._configure(control), name="configure")
        return result.connection_id

    async def _configure(self, control: ControlStream) -> None:
        """Tell the edge where requests go. It is informative: a failure is no reason to end a connection that works."""
        configuration = local_configuration(self._orders.origin.url)
        try:
            await control.call("updateLocalConfiguration", {"config": configuration})
        except EdgeProtocolError as error:
            self._log.warning("the edge did not take the local configuration", error=str(error))

    async def _leave(self, connection: Connection, control: ControlStream, grace: float) -> None:
        """Unregister, and let what is in flight finish; within `grace`, or what the unregistration takes."""
        end = asyncio.get_running_loop().time() + grace
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(grace, UNREGISTER_TIMEOUT)):
                self._say(Unregistered(acknowledged=await self._unregister(control)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                if self._exchanges:
                    self._idle.clear()
                    await until_over(self._idle.wait(), self._over)
                await connection.flushed(besides=control.stream)

    async def _unregister(self, control: ControlStream) -> bool:
        """Ask the edge for no more requests; return whether it answered."""
        try:
            await until_over(control.call("unregisterConnection", {}), self._over)
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

    def drain(self, grace: float) -> None:
        """End as soon as what is in flight has ended, or `grace` seconds have passed."""
        if not self._registered:
            self._end_with(_End(WorkerEnd.DRAINED))
        elif not self._drain.done():
            self._drain.set_result(grace)

    def _end_with(self, end: _End) -> None:
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
                origin_failures=self._pool.failures,
                recount=self._recount,
            )
        )

    def _gauges(self) -> Gauges:
        rtt = self._connection.engine.path().round_trip_time if self._connection is not None else 0.0
        return Gauges(streams_in_flight=len(self._exchanges), rtt=rtt)

    async def _keep_alive(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            connection.ping()

    def _report(self) -> None:
        """Push what passed; what a full queue does not take goes with the next report."""
        if self._connection is not None:
            path = self._connection.engine.path()
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

    def _accept(self, stream: Stream) -> None:
        stream.handler = IncomingStream(stream, self._surroundings, self._log, self._exchanges.add)

    def _exchange_ended(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)
        if not self._exchanges:
            self._idle.set()

    def _closed(self, why: Closed) -> None:
        who = "application" if why.is_application else "QUIC"
        reason = why.reason or ("closed without a reason" if why.is_application else "no reason given")
        self._end_with(_End(WorkerEnd.CONNECTION_LOST, f"{reason} ({who} error {why.error_code:#x})"))

    def _fault(self, error: BaseException) -> None:
        """A background task failed: that is a fault of this program, and the worker ends."""
        self._log.error("internal fault", exc_info=error)
        os._exit(1)


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
