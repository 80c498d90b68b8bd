"""Replays: requests of the past that go to the origin once more, and to nobody else.

They are exchanges like any other, over the same targets, but past no gate: whoever asks for one has the inspector's
token. Ledger and log know nothing of them; the tap alone is told, and the answer's bytes are thrown away behind it.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from actors.bus.inspection import Replay
from actors.exchange import reasons
from actors.exchange.exchange import Exchange
from actors.exchange.exchanges import Exchanges
from actors.exchange.gate import Way
from actors.exchange.observers import Observers
from actors.exchange.request import Field, Kind, Request
from actors.exchange.router import NO_RULE, Router
from actors.exchange.tap import Tap
from actors.processes.tasks import Tasks

MAX_REPLAYS: Final = 10
"""That run at once on one connection: a person asks for them, or a program that has lost count."""

REPLAY_TIMEOUT: Final = 60.0
"""Seconds for which one runs: a stream of events would go on for ever."""

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
"""Of the answer, after which it is broken off: what is shown of it came long before."""


class Nobody:
    """Takes a response (`Responder`), and throws it away."""

    id: Final = 0
    takes_trailers: Final = True

    def __init__(self) -> None:
        self.sending = True
        self._left = MAX_RESPONSE_BYTES
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, exchange: Exchange) -> None:
        """See to it that it ends."""
        self._exchange = exchange
        self._timer = asyncio.get_running_loop().call_later(REPLAY_TIMEOUT, self._cut)

    def _cut(self) -> None:
        if self._exchange is not None:
            self._exchange.abandon(reasons.REPLAY_CUT)

    def _passed(self, count: int) -> None:
        self._left -= count
        if self._left < 0 and self.sending:
            self.sending = False
            asyncio.get_running_loop().call_soon(self._cut)

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        self._passed(len(body))

    def accept(self) -> None: ...
    def refuse(self, message: str) -> None: ...

    def write(self, data: bytes, *, fin: bool = False) -> None:
        self._passed(len(data))

    def end(self, trailers: Sequence[Field] = ()) -> None: ...

    def reset(self) -> None:
        self.sending = False

    def stop(self) -> None:
        """The exchange is over, or wants no more of the body: all of that is there from the beginning."""
        if self._timer is not None:
            self._timer.cancel()
        self._exchange = None

    def consumed(self, count: int) -> None: ...


class Replays:
    """Those of one worker."""

    def __init__(self, router: Router, tap: Tap, tasks: Tasks) -> None:
        self._tap = tap
        self._exchanges = Exchanges(router, Observers(tap), tasks, at_once=MAX_REPLAYS)
        self._exchanges.route = lambda request: _ungated(router.route(request))

    def begin(self, replay: Replay) -> None:
        """Send it to where a request like it goes now."""
        head = replay.head
        request = Request(Kind.HTTP, head.method, head.target, head.host, tuple(head.fields))
        nobody = Nobody()
        exchange = self._exchanges.open(nobody, request)
        self._tap.is_replay(exchange, replay)
        nobody.watch(exchange)
        exchange.start(replay.body)
        exchange.eof_received()


def _ungated(way: Way | None) -> Way:
    return NO_RULE if way is None else Way(way.target, rule=way.rule)
