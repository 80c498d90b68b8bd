"""What the inspector is shown of exchanges. Pure: it is given a clock, a timer and somebody who sends.

What happens to an exchange is gathered in its `Part`, and all parts leave together a moment later, or as soon as they
are many: a message for each event would cost more than the rest of a small request. Nobody waits for the inspector:
what it does not take is counted, and is gone.

A secret of the guard's must not be seen. So the head of a request is taken once the request is let in, when the guard
has taken out what was its own; of one that is not let in, what may be a secret never leaves this process.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from actors.bus.inspection import (
    BATCH_BYTES,
    MAX_BATCH_BYTES,
    Answered,
    Batch,
    Ended,
    Head,
    Kind,
    Part,
    Reached,
    Replay,
    encode,
    pack,
)
from actors.exchange import request
from actors.exchange.backend import Target
from actors.exchange.observers import Observed, Observer
from actors.exchange.request import Field, Request

INTERVAL: Final = 0.05
"""Seconds until what was seen leaves: nobody who looks at a page notices, and under load it is hundreds at once."""

MAX_PARTS: Final = 500
"""Parts after which it leaves at once."""

KINDS: Final[dict[request.Kind, Kind]] = {
    request.Kind.HTTP: "http",
    request.Kind.WEBSOCKET: "websocket",
    request.Kind.TCP: "tcp",
}

_SECRET_FIELDS: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie"))

_PARAMETER: Final = re.compile(rb"([?&;][^=&;?]*=)[^&;]*")
"""One of a query. No byte can begin two of them, so that the longest target costs no more than its length."""

STRIPPED: Final = b"[taken out: the guard did not let this in]"
"""What stands in the place of a secret that may be the guard's."""


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None: ...


class _Seen:
    """One exchange, as far as it has to be remembered here."""

    __slots__ = (
        *("begun", "exchange", "has_head", "is_raw", "is_torn", "kept_in", "kept_out", "number", "part"),
        *("received", "replay"),
    )

    def __init__(self, exchange: Observed, number: int, received: float, begun: float) -> None:
        self.exchange = exchange
        self.number = number
        self.received = received
        self.begun = begun
        self.replay: Replay | None = None
        self.part: Part | None = None
        """What has not left yet."""
        self.kept_in = self.kept_out = 0
        """Bytes of the bodies that were kept."""
        self.has_head = self.is_raw = self.is_torn = False


class Tap(Observer):
    """Tells the inspector of the exchanges of one connection."""

    keeps_bodies = True

    def __init__(
        self,
        send: Callable[[bytes], bool],
        *,
        body_limit: int,
        now: Callable[[], float],
        wall: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        """`send` takes a message without waiting, or does not take it. `body_limit`: bytes that are shown of each body.
        `now` is in seconds of any steady clock, `wall` in Unix time."""
        self._send = send
        self._body_limit = body_limit
        self._now = now
        self._wall = wall
        self._call_later = call_later
        self._numbers = itertools.count(1)
        self._live: dict[Observed, _Seen] = {}
        self._due: list[_Seen] = []
        """Those with a part that has not left."""
        self._bytes = 0
        """Of bodies in them."""
        self._timer: Timer | None = None
        self._lost = 0

    def is_replay(self, exchange: Observed, replay: Replay) -> None:
        """An exchange that is about to begin is a replay."""
        self._see(exchange).replay = replay

    # --- events (Observer) ---

    def opened(self, exchange: Observed) -> None:
        seen = self._live.get(exchange) or self._see(exchange)
        self._part(seen)

    def _see(self, exchange: Observed) -> _Seen:
        seen = self._live[exchange] = _Seen(exchange, next(self._numbers), self._wall(), self._now())
        return seen

    def reached(self, exchange: Observed, target: Target) -> None:
        if (seen := self._live.get(exchange)) is not None:
            after = self._now() - seen.begun
            self._part(seen).reached = Reached(max(0.0, after), target.name, exchange.is_repeated)

    def request_data(self, exchange: Observed, data: bytes) -> None:
        if (seen := self._live.get(exchange)) is not None:
            part = self._part(seen)
            if seen.is_raw:
                self._say(seen, part, data, from_visitor=True)
            else:
                self._gather(seen, part, data)

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        if (seen := self._live.get(exchange)) is not None and exchange.status is not None:
            self._part(seen).answered = Answered(exchange.seconds, exchange.status, pack(fields))
            seen.is_raw = exchange.status == 101

    def response_data(self, exchange: Observed, data: bytes) -> None:
        if (seen := self._live.get(exchange)) is not None:
            part = self._part(seen)
            if seen.is_raw:
                self._say(seen, part, data, from_visitor=False)
            elif kept := self._kept(seen, data, seen.kept_out):
                seen.kept_out += len(kept)
                part.response.append(kept)
                self._gathered(len(kept))

    def _gather(self, seen: _Seen, part: Part, data: bytes) -> None:
        """Bytes of the request's body."""
        if kept := self._kept(seen, data, seen.kept_in):
            seen.kept_in += len(kept)
            part.request.append(kept)
            self._gathered(len(kept))

    def _say(self, seen: _Seen, part: Part, data: bytes, *, from_visitor: bool) -> None:
        """Bytes of a WebSocket: the inspector keeps the latest messages, and needs all bytes to find them."""
        if not seen.is_torn:
            part.raw.append((max(0.0, self._now() - seen.begun), from_visitor, data))
            self._gathered(len(data))

    def _kept(self, seen: _Seen, data: bytes, before: int) -> bytes:
        """What of these bytes is shown."""
        if seen.is_torn or seen.exchange.request.kind is request.Kind.TCP:
            return b""
        return data[: max(0, self._body_limit - before)]

    def ended(self, exchange: Observed) -> None:
        if (seen := self._live.pop(exchange, None)) is None:
            return
        part, reason, held = self._part(seen), exchange.reason, exchange.held
        part.request_bytes, part.response_bytes = exchange.bytes_in + len(held), exchange.bytes_out
        part.ended = Ended(
            exchange.seconds,
            exchange.status,
            *(("", "", "") if reason is None else (reason.label, exchange.error, reason.hint)),
            exchange.is_substitute,
            is_cut=not exchange.is_heard_out,
        )
        if not seen.has_head:
            self._take_head(seen, part)
        if held:  # last of all: what is much makes the part leave, and nothing can be added to it then
            self._gather(seen, part, held)

    # --- what leaves ---

    def _part(self, seen: _Seen) -> Part:
        if (part := seen.part) is None:
            replay = seen.replay
            if replay is None:
                part = Part(seen.number, seen.received)
            else:
                part = Part(seen.number, seen.received, replay.of, replay.number)
            seen.part = part
            part.is_torn = seen.is_torn
            self._due.append(seen)
            if self._timer is None:
                self._timer = self._call_later(INTERVAL, self.flush)
            elif len(self._due) >= MAX_PARTS:
                self.flush_soon()
        return part

    def _gathered(self, count: int) -> None:
        """So many bytes more. The part may have left when this returns."""
        self._bytes += count
        if self._bytes >= BATCH_BYTES:
            self.flush()

    def flush_soon(self) -> None:
        """Send in the next turn of the event loop: whoever called is still at it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._call_later(0.0, self.flush)

    def _take_head(self, seen: _Seen, part: Part) -> None:
        exchange = seen.exchange
        seen.has_head = True
        part.head = head(exchange.request, is_stripped=not exchange.is_admitted)
        part.rule = exchange.rule

    def flush(self, *, alive: bool = False) -> None:
        """Send what was seen; `alive`: if that is nothing, a sign of life."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due, self._due, self._bytes = self._due, [], 0
        leaving = []
        for seen in due:
            part, exchange = seen.part, seen.exchange
            if part is None:
                continue
            if not seen.has_head and exchange.is_admitted:
                self._take_head(seen, part)
            if not seen.has_head:
                self._due.append(seen)  # a gate has not made up its mind
                continue
            if part.ended is None:
                part.request_bytes, part.response_bytes = exchange.bytes_in, exchange.bytes_out
            seen.part = None
            leaving.append((seen, part))
        if leaving or alive:
            self._leave(leaving)
        if self._due:
            self._timer = self._call_later(INTERVAL, self.flush)

    def _leave(self, leaving: list[tuple[_Seen, Part]]) -> None:
        message = encode(Batch([part for _, part in leaving], self._lost))
        if len(message) > MAX_BATCH_BYTES and len(leaving) > 1:
            half = len(leaving) // 2
            self._leave(leaving[:half])
            self._leave(leaving[half:])
        elif len(message) > MAX_BATCH_BYTES or not self._send(message):
            self._lost += len(leaving)
            for seen, part in leaving:
                seen.is_torn = True
                if part.head is not None:  # nobody knows of it: the rest would say nothing
                    self._live.pop(seen.exchange, None)

    def close(self) -> None:
        """Send what is left."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def head(asked: Request, *, is_stripped: bool) -> Head:
    """A request's head as the inspector gets it. `is_stripped`: without what may be a secret of the guard's."""
    kind, method, target, host, fields = asked
    if not is_stripped:
        return Head(KINDS[kind], method, target, host, pack(fields))
    kept = [(name, STRIPPED if name.lower() in _SECRET_FIELDS else value) for name, value in fields]
    return Head(KINDS[kind], method, _PARAMETER.sub(_stripped, target), host, pack(kept), is_stripped=True)


def _stripped(parameter: re.Match[bytes]) -> bytes:
    return parameter[1] + b"[taken out]" if b"token" in parameter[1].lower() else parameter[0]
