"""What drives the exchanges of one connection to the edge: the event loop's part of them."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from actors.exchange.backend import OriginError, Target
from actors.exchange.exchange import Exchange
from actors.exchange.gate import Gate, Verdict, Way
from actors.exchange.holding import Holding
from actors.exchange.observers import Observers
from actors.exchange.request import Request, Responder
from actors.exchange.router import Router
from actors.processes.tasks import Tasks


class Exchanges:
    """The exchanges that run, and the `Driver` of each."""

    def __init__(self, router: Router, observers: Observers, tasks: Tasks, *, at_once: int) -> None:
        """`at_once`: how many may run; what comes beyond that is refused."""
        self.observers = observers
        self.holding = Holding()
        self._router = router
        self._tasks = tasks
        self._at_once = at_once
        self._running: set[Exchange] = set()
        self._await_rules: list[Exchange] = []
        self._idle: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] = self._loop.call_later
        self.route: Callable[[Request], Way | None] = router.route
        self.now = monotonic

    def open(self, responder: Responder, request: Request) -> Exchange:
        """An exchange for `request`; it counts from now on, and begins with its `start`."""
        exchange = Exchange(responder, request, self)
        self._running.add(exchange)
        return exchange

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def rules_came(self) -> None:
        """There are rules now, or none are to be expected: those that waited for them go on."""
        waiting, self._await_rules = self._await_rules, []
        for exchange in waiting:
            if (way := self.route(exchange.request)) is None:
                self._await_rules.append(exchange)
            else:
                exchange.routed(way)

    async def idle(self) -> None:
        """Wait until none runs."""
        if self._running:
            self._idle = self._loop.create_future()
            await self._idle

    # --- for exchanges (Driver) ---

    @property
    def is_full(self) -> bool:
        return len(self._running) > self._at_once

    def await_rules(self, exchange: Exchange) -> None:
        self._await_rules.append(exchange)

    def connect(self, exchange: Exchange, target: Target) -> None:
        self._tasks.start(self._connect(exchange, target), name="connect")

    async def _connect(self, exchange: Exchange, target: Target) -> None:
        try:
            backend = await target.connect(exchange.request, exchange.head)
        except OriginError as error:
            exchange.connect_failed(error)
        except Exception as error:
            exchange.fault(error)
        else:
            exchange.connected(backend)

    def judge(self, exchange: Exchange, gate: Gate, body: bytes | None) -> None:
        verdict = gate.judge(exchange.request, body)
        if isinstance(verdict, Coroutine):
            self._tasks.start(self._judge(exchange, verdict), name="judge")
        else:
            exchange.judged(verdict)

    async def _judge(self, exchange: Exchange, waiting: Coroutine[Any, Any, Verdict]) -> None:
        try:
            verdict = await waiting
        except Exception as error:
            exchange.fault(error)
        else:
            exchange.judged(verdict)

    def ended(self, exchange: Exchange) -> None:
        self._running.discard(exchange)
        if not self._running and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def fault(self, exchange: Exchange, error: Exception) -> None:
        what = f"fault in the exchange for {exchange.request.method!r}"
        self._loop.call_exception_handler({"message": what, "exception": error})
