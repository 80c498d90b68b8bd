"""The metrics actor's sockets: reports in, queries answered.

Queries come to a ROUTER: a REP socket would be stuck for ever after one reply that was skipped. A query is one frame,
`prometheus` or `snapshot`, and its answer is one frame.
"""

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import msgspec
import zmq

from actors.bus import sockets
from actors.bus.addresses import HostPort
from actors.bus.messages import (
    DECODE_ERRORS,
    HEARTBEAT_INTERVAL,
    Drain,
    Heartbeat,
    KnownCounts,
    MetricsOrders,
    Ready,
    Stopped,
    Up,
    decode_down,
    decode_report,
    encode,
)
from actors.errors import TunnelError
from actors.metrics.exposition import exposition, snapshot
from actors.metrics.registry import CounterRegistry
from actors.processes import lifeline, log
from actors.processes.tasks import Tasks

if TYPE_CHECKING:
    from zmq.auth.asyncio import AsyncioAuthenticator


class MetricsActor:
    """Counts, and answers what it has counted."""

    def __init__(self, orders: MetricsOrders, context: sockets.Context, logger: log.Logger) -> None:
        self._log = logger
        self._registry = CounterRegistry()
        self._knows = asyncio.Event()
        """Set once the supervisor has said what was counted before."""
        self._control = sockets.make_socket(context, zmq.SocketType.DEALER, identity=orders.identity)
        self._control.connect(orders.control_endpoint)
        self._reports = sockets.make_socket(context, zmq.SocketType.PULL)
        self._queries = sockets.make_socket(context, zmq.SocketType.ROUTER)
        deltas = sockets.bind(self._reports, orders.deltas_endpoint)
        metrics = sockets.bind(self._queries, orders.metrics_endpoint)
        self._endpoints = {"deltas": deltas, "metrics": metrics}
        self._authenticator: AsyncioAuthenticator | None = None
        if orders.curve is not None and orders.guarded_endpoint is not None:
            from actors.bus.curve import bind_guarded  # here, since few ask for it

            judge, bound = bind_guarded(context, self._queries, orders.curve, orders.guarded_endpoint)
            self._authenticator, self._endpoints["guarded"] = judge, bound
        self._context = context
        self._orders = orders
        self._tasks = Tasks(self._fault)
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop` is set.

        Raises:
            LocalSetupError: the HTTP address cannot be bound.
        """
        async with contextlib.AsyncExitStack() as stack:
            if self._orders.http is not None:
                self._endpoints["http"] = await stack.enter_async_context(self._over_http(self._orders.http))
            await self._serve()

    def _over_http(self, address: HostPort) -> contextlib.AbstractAsyncContextManager[str]:
        from actors.metrics import http  # here, since few ask for it

        readiness = http.Readiness()
        self._tasks.start(readiness.follow(self._context, self._orders.events_endpoint), name="readiness")
        pages = http.make_pages(self._exposition, readiness, self._orders.connector_id)
        return http.serving(pages, address)

    def _exposition(self) -> str | None:
        return exposition(self._registry) if self._knows.is_set() else None

    async def _serve(self) -> None:
        self._say(Ready(self._endpoints))
        for work in (self._count, self._answer, self._listen, self._beat):
            self._tasks.start(work(), name=work.__name__)
        await self.stop.wait()
        await self._tasks.cancel()
        self._say(Stopped(reason="stopped", tally=self._registry.tally))
        for socket in (self._control, self._reports, self._queries):
            socket.close()
        if self._authenticator is not None:
            self._authenticator.stop()

    async def _count(self) -> None:
        while True:
            frames = await self._reports.recv_multipart()
            try:
                self._registry.apply(decode_report(frames[-1]))
            except DECODE_ERRORS as error:
                self._log.warning("report that cannot be read", error=type(error).__name__)

    async def _answer(self) -> None:
        await self._knows.wait()
        while True:
            *envelope, query = await self._queries.recv_multipart()
            match query:
                case b"prometheus":
                    answer = exposition(self._registry).encode()
                case b"snapshot":
                    answer = msgspec.json.encode(snapshot(self._registry))
                case _:
                    answer = b"error: unknown query; send `prometheus` or `snapshot`"
            if not sockets.try_send(self._queries, *envelope, answer):
                self._log.debug("answer not sent: who asked is gone, or reads nothing")

    async def _listen(self) -> None:
        while True:
            frames = await self._control.recv_multipart()
            try:
                order = decode_down(frames[-1])
            except DECODE_ERRORS as error:
                self._log.warning("order that cannot be read", error=type(error).__name__)
                continue
            match order:
                case KnownCounts():
                    self._registry.know(order)
                    self._knows.set()
                case Drain():
                    self.stop.set()

    async def _beat(self) -> None:
        while True:
            self._say(Heartbeat(tally=self._registry.tally))
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    def _say(self, message: Up) -> None:
        if not sockets.try_send(self._control, encode(message)):
            self._log.warning("the supervisor does not read", message=type(message).__name__)

    def _fault(self, error: BaseException) -> None:
        self._log.error("internal fault", exc_info=error)
        os._exit(1)


async def _main(orders: MetricsOrders) -> int:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)
    context = sockets.make_context()
    try:
        actor = MetricsActor(orders, context, logger)
    except TunnelError as error:
        logger.error(str(error))
        context.destroy()
        return int(error.exit_code)
    lifeline.on_parent_gone(lambda: os._exit(0))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, actor.stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, actor.stop.set)
    try:
        await actor.run()
    except TunnelError as error:
        logger.error(str(error))
        return int(error.exit_code)
    finally:
        context.destroy(linger=sockets.LINGER_MS)
    return 0


def main() -> int:
    """Run the actor to its end and return the process's exit status."""
    return asyncio.run(_main(lifeline.read_orders(MetricsOrders)))
