"""The inspector's sockets: what workers saw comes in, replays go out, and people are answered over HTTP.

The tunnel does not depend on it. Workers speak to its ROUTER by themselves, and go on with the next one if it dies;
what it had seen is gone then, since nothing of it is ever written to a disk.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import zmq

from actors import __version__
from actors.bus import inspection, sockets
from actors.bus.addresses import HostPort
from actors.bus.messages import DECODE_ERRORS, HEARTBEAT_INTERVAL, InspectorOrders
from actors.errors import LocalSetupError, TunnelError
from actors.inspector import ngrok
from actors.inspector.api import Api, Rules, make_serve
from actors.inspector.door import Door
from actors.inspector.edits import CannotReplay, Edits, replay_of
from actors.inspector.feed import Feeds
from actors.inspector.foreign import Foreign
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded, Store
from actors.inspector.tunnel import Tunnel
from actors.inspector.views import View
from actors.processes import lifeline, log
from actors.processes.child import serve_until_told
from actors.processes.tasks import Tasks
from actors.web import pages
from actors.web.pages import Serve

PORTS: Final = 10
"""Ports that are tried, from the first one on: 4040 to 4049."""

SILENT: Final = 3 * HEARTBEAT_INTERVAL
"""Seconds without a word after which a worker counts as gone."""

REPLAY_PATIENCE: Final = 5.0
"""Seconds until a replay must have begun: the worker tells of it at once."""

NICENESS: Final = 10
"""Where all cores are busy, whatever is on a request's way comes first; a tenth of a core is left, which is enough."""

STOP_TIMEOUT: Final = 0.2
"""Seconds for requests in flight at the end."""


class Inspector:
    """Keeps what was seen, and has replays sent (a `Source`)."""

    def __init__(self, orders: InspectorOrders, context: sockets.Context, logger: log.Logger) -> None:
        """
        Raises:
            LocalSetupError: the workers' endpoint cannot be bound.
        """
        self._orders = orders
        self._log = logger
        self._socket = sockets.make_socket(
            context,
            zmq.SocketType.ROUTER,
            limit=inspection.MAX_BATCH_BYTES,
            queue=inspection.QUEUED_BATCHES,
        )
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        sockets.bind(self._socket, orders.endpoint)
        # Numbers of this one are above those of any before, of whose replays some may still run: nobody makes a million
        # changes a second for long.
        first = time.time_ns() // 1000
        self.store = Store(first=first, body_limit=orders.body_limit)
        self.masks: Final = Masks(orders.mask)
        self.tunnel = Tunnel(origin=orders.origin, hostnames=orders.hostnames)
        self._heard: dict[bytes, float] = {}
        """When each worker that lives was heard of last."""
        self._numbers = itertools.count(first)
        self._waiting: dict[int, asyncio.Future[str]] = {}
        """Who waits for a replay to begin."""
        self.replays = 0
        """That were sent so far."""

    # --- from workers ---

    async def listen(self) -> None:
        """Take in what workers say, for as long as this process lives."""
        while True:
            identity, *_, payload = await self._socket.recv_multipart()
            try:
                batch = inspection.decode_batch(payload)
            except DECODE_ERRORS as error:
                self._log.warning("batch that cannot be read", error=type(error).__name__)
                continue
            self._heard[identity] = asyncio.get_running_loop().time()
            worker = identity.decode("ascii", "replace").rpartition("-")[2]
            for _ in self.store.take(worker, batch):
                await asyncio.sleep(0)
            for part in batch.parts if self._waiting else ():
                if (waits := self._waiting.get(part.replay)) is not None and not waits.done():
                    waits.set_result(f"{worker}.{part.number}")
            await asyncio.sleep(0)  # a socket that always has more would let nobody else have a turn

    def _workers(self) -> list[bytes]:
        """Those that live, the one that was heard of last first."""
        now = asyncio.get_running_loop().time()
        self._heard = {name: at for name, at in self._heard.items() if now - at <= SILENT}
        return sorted(self._heard, key=lambda name: -self._heard[name])

    # --- for the API (Source) ---

    def status(self) -> View:
        store, said = self.store, self.tunnel.said
        return {
            "url": said.url,
            "hostnames": self.tunnel.hostnames,
            "state": said.state,
            "serves": said.serves,
            "origin": said.origin,
            "version": __version__,
            "count": len(store),
            "bytes": store.held,
            "limits": {"count": store.max_exchanges, "bytes": store.max_bytes, "body": self._orders.body_limit},
            "body_limit": self._orders.body_limit,
            "dropped": store.dropped,
            "masked": list(self.masks.names),
            "replays": self.replays,
            **ngrok.status(said.serves, __version__),
        }

    def urls(self) -> list[str]:
        return self.tunnel.urls

    async def replay(self, entry: Recorded, edits: Edits) -> str:
        number = next(self._numbers)
        replay = replay_of(entry, edits, self.masks, number)
        message = inspection.encode(replay)
        begun = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            if not any(sockets.try_send(self._socket, worker, message) for worker in self._workers()):
                raise CannotReplay("no connection of the tunnel is there to send it: is it starting, or down?", 503)
            async with asyncio.timeout(REPLAY_PATIENCE):
                name: str = await begun
        except TimeoutError:
            raise CannotReplay("the tunnel's connection did not send it in time; try again", 504) from None
        finally:
            del self._waiting[number]
        self.replays += 1
        return name


@contextlib.asynccontextmanager
async def serving(serve: Callable[[HostPort], Serve], orders: InspectorOrders) -> AsyncIterator[HostPort]:
    """Serve for the length of the block, where the orders say; yields the address as it came out; `serve` gets it too.

    Raises:
        LocalSetupError: it cannot be bound.
    """
    made: list[Serve] = []
    async with contextlib.AsyncExitStack() as stack:
        refused: OSError | None = None
        for port in _ports(orders):
            try:
                opened = pages.serving(
                    lambda client, request: made[0](client, request), orders.http.host, port, stop_timeout=STOP_TIMEOUT
                )
                address = HostPort(*(await stack.enter_async_context(opened)))
                break
            except OSError as error:
                refused = refused or error
        else:
            why = refused.strerror if refused is not None else "no port is left"
            raise LocalSetupError(f"cannot bind --inspect {orders.http}: {why}. Choose another port.") from refused
        made.append(serve(address))
        yield address


def _ports(orders: InspectorOrders) -> Iterator[int]:
    first = orders.http.port
    if not orders.may_move:
        yield first
        return
    yield from (port for port in range(first, first + PORTS) if port not in orders.avoid)
    yield 0


async def _main(orders: InspectorOrders) -> int:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)

    def fault(error: BaseException) -> None:
        logger.error("internal fault", exc_info=error)
        os._exit(1)

    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    gc.freeze()  # what was imported stays: the collector, which is busy under load, need not look at it each time
    context, tasks = sockets.make_context(), Tasks(fault)
    try:
        inspector = Inspector(orders, context, logger)
        feeds = Feeds(inspector.store, inspector.status)

        def serve(address: HostPort) -> Serve:
            door = Door(address, token=orders.token, password=orders.password, named=orders.http.host)
            rules = Rules(door, inspector.masks, orders.token)
            api = Api(inspector, rules)
            return make_serve(rules, feeds, [*api.routes(), *Foreign(inspector, rules, api).routes()])

        tasks.start(inspector.listen(), name="listen")
        tasks.start(inspector.tunnel.follow(context, orders.events_endpoint), name="tunnel")
        async with serving(serve, orders) as address:
            await serve_until_told(orders, {"http": str(address)})
            feeds.close()
        await tasks.cancel()
    except TunnelError as error:
        logger.error(str(error))
        return int(error.exit_code)
    finally:
        context.destroy(linger=0)
    return 0


def main() -> int:
    """Run the actor to its end and return the process's exit status."""
    return asyncio.run(_main(lifeline.read_orders(InspectorOrders)))
