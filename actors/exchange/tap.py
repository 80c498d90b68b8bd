"""What the inspector is shown of exchanges. Pure: it is given a clock, a timer and somebody who sends.

What happens to an exchange is gathered in its `Part`, and all parts leave together a moment later, or as soon as they
are many: a message for each event would cost more than the rest of a small request. Once it has ended its part is
packed, together with some others. Nobody waits for the inspector: what it does not take is counted, and is gone.

A secret of the guard's must not be seen. So the head of a request is taken once the request is let in, when the guard
has taken out what was its own; of one that is not let in, what may be a secret never leaves this process.
"""

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from actors.bus.inspection import (
    BATCH_BYTES,
    MAX_BATCH_BYTES,
    Answered,
    Batch,
    Ended,
    Head,
    Kind,
    Packed,
    Part,
    Reached,
    Replay,
    encode,
    pack_part,
)
from actors.exchange import request
from actors.exchange.backend import Target
from actors.exchange.observers import Observed, Observer
from actors.exchange.request import Field, Request

INTERVAL: Final = 0.05
"""Seconds until what was seen leaves: nobody who looks at a page notices, and under load it is hundreds at once."""

YOUNG: Final = 0.25
"""Seconds for which nothing is told of an exchange unless it ends: nearly all do, and are one part."""

GROUP: Final = 16
"""Exchanges that have ended until they are packed, in one go: between two requests nothing of what that needs is in the
processor's caches. Hundreds at once would drive out what the next requests need."""

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


class _Seen(msgspec.Struct, eq=False, gc=False):
    """One exchange, as far as it has to be remembered here."""

    exchange: Observed
    begun: float
    part: Part
    """What has not left yet."""
    room_in: int
    room_out: int
    """Bytes of the bodies that are still to be shown."""
    gathered: int = 0
    """Bytes in `part`."""
    has_head: bool = False
    """Whether its head has left, or does with its part."""
    is_new: bool = False
    """Whether its head is in what leaves next."""
    is_raw: bool = False


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
        self._due: dict[_Seen, None] = {}
        """Those that have not ended, and of which something has not left."""
        self._over: list[_Seen] = []
        """Those that have ended, and are not packed yet."""
        self._gathered = 0
        """Bytes of bodies in the parts of both."""
        self._packed: list[Packed] = []
        """What leaves next."""
        self._packed_bytes = 0
        self._leaving: list[_Seen] = []
        """Those in it that have not ended."""
        self._timer: Timer | None = None
        self._lost = 0

    def is_replay(self, exchange: Observed, replay: Replay) -> None:
        """An exchange that is about to begin is a replay."""
        self._see(exchange, replay.of, replay.number)

    # --- events (Observer) ---

    def opened(self, exchange: Observed) -> None:
        self._becomes_due(self._live.get(exchange) or self._see(exchange))

    def _see(self, exchange: Observed, replay_of: str = "", replay: int = 0) -> _Seen:
        part = Part(next(self._numbers), self._wall(), replay_of, replay)
        room = 0 if exchange.request.kind is request.Kind.TCP else self._body_limit
        seen = self._live[exchange] = _Seen(exchange, self._now(), part, room, room)
        return seen

    def reached(self, exchange: Observed, target: Target) -> None:
        if (seen := self._live.get(exchange)) is not None:
            seen.part.reached = Reached(self._now() - seen.begun, target.name, exchange.is_repeated)
            if seen not in self._due:
                self._becomes_due(seen)

    def request_data(self, exchange: Observed, data: bytes) -> None:
        if (seen := self._live.get(exchange)) is not None:
            if seen.is_raw:
                self._say(seen, data, from_visitor=True)
            else:
                self._grown(seen, self._gather(seen, data))

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        if (seen := self._live.get(exchange)) is not None and exchange.status is not None:
            seen.part.answered = Answered(exchange.seconds, exchange.status, fields)
            seen.is_raw = exchange.status == 101
            if seen not in self._due:
                self._becomes_due(seen)

    def response_data(self, exchange: Observed, data: bytes) -> None:
        if (seen := self._live.get(exchange)) is not None:
            if seen.is_raw:
                self._say(seen, data, from_visitor=False)
                return
            kept = 0
            if room := seen.room_out:
                piece = data[:room]
                seen.part.response.append(piece)
                kept = len(piece)
                seen.room_out = room - kept
            self._grown(seen, kept)

    def _gather(self, seen: _Seen, data: bytes) -> int:
        """Bytes of the request's body; returns how many are kept."""
        if room := seen.room_in:
            piece = data[:room]
            seen.part.request.append(piece)
            seen.room_in = room - len(piece)
            return len(piece)
        return 0

    def _say(self, seen: _Seen, data: bytes, *, from_visitor: bool) -> None:
        """Bytes of a WebSocket: the inspector keeps the latest messages, and needs all bytes to find them."""
        for begin in range(0, len(data), BATCH_BYTES):
            if not seen.part.is_torn:
                piece = data[begin : begin + BATCH_BYTES]
                seen.part.raw.append((self._now() - seen.begun, from_visitor, piece))
                self._grown(seen, len(piece))

    def ended(self, exchange: Observed) -> None:
        if (seen := self._live.pop(exchange, None)) is None:
            return
        self._due.pop(seen, None)
        self._over.append(seen)
        if len(self._over) >= GROUP:
            self._pack_over()
        self._leave_later()

    # --- what leaves ---

    def _becomes_due(self, seen: _Seen) -> None:
        """Something is in its part, for the first time since the last one left."""
        self._due[seen] = None
        self._leave_later()

    def _leave_later(self) -> None:
        if self._timer is None:
            self._timer = self._call_later(INTERVAL, self.flush)
        elif len(self._due) + len(self._packed) >= MAX_PARTS:
            self._flush_soon()

    def _grown(self, seen: _Seen, count: int) -> None:
        """So many bytes more are in its part, which may have left when this returns."""
        if seen not in self._due:
            self._becomes_due(seen)
        seen.gathered += count
        self._gathered += count
        if self._gathered >= BATCH_BYTES:
            self.flush()

    def _flush_soon(self) -> None:
        """Send all in the next turn of the event loop: whoever called is still at it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._call_later(0.0, functools.partial(self.flush, all_of_it=True))

    def _take_head(self, seen: _Seen) -> None:
        exchange = seen.exchange
        seen.has_head = True
        seen.part.head = head(exchange.request, is_stripped=not exchange.is_admitted)
        seen.part.rule = exchange.rule

    def _pack_over(self) -> None:
        """Pack the last parts of those that have ended; nothing of them changes any more."""
        over, self._over = self._over, []
        for seen in over:
            self._gathered -= seen.gathered
            part, exchange = seen.part, seen.exchange
            reason, held = exchange.reason, exchange.held
            part.request_bytes, part.response_bytes = exchange.bytes_in + len(held), exchange.bytes_out
            label, error, hint = ("", "", "") if reason is None else (reason.label, exchange.error, reason.hint)
            is_cut = not exchange.is_heard_out
            part.ended = Ended(exchange.seconds, exchange.status, label, error, hint, exchange.is_substitute, is_cut)
            if not seen.has_head:
                self._take_head(seen)
            if held:
                self._gather(seen, held)
            self._pack(part)

    def flush(self, *, alive: bool = False, all_of_it: bool = False) -> None:
        """Send what was seen; `alive`: if that is nothing, a sign of life; `all_of_it`: of those that are young too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pack_over()
        old = self._now() - (0.0 if all_of_it or self._gathered >= BATCH_BYTES else YOUNG)
        due, self._due = self._due, {}
        for seen in due:
            part, exchange = seen.part, seen.exchange
            if seen.begun > old:
                self._due[seen] = None
                continue
            if not seen.has_head and exchange.is_admitted:
                self._take_head(seen)
            if not seen.has_head:
                self._due[seen] = None  # a gate has not made up its mind
                continue
            part.request_bytes, part.response_bytes = exchange.bytes_in, exchange.bytes_out
            seen.is_new = part.head is not None
            seen.part = Part(part.number, part.received, part.replay_of, part.replay, is_torn=part.is_torn)
            self._gathered -= seen.gathered
            seen.gathered = 0
            self._pack(part)
            self._leaving.append(seen)
        if self._packed or alive:
            self._leave()
        if self._due:
            self._timer = self._call_later(INTERVAL, self.flush)

    def _pack(self, part: Part) -> None:
        packed = pack_part(part)
        if self._packed and self._packed_bytes + len(packed.packed) > BATCH_BYTES:
            self._leave()  # one that is too large is lost alone
        self._packed.append(packed)
        self._packed_bytes += len(packed.packed)

    def _leave(self) -> None:
        message = encode(Batch(self._packed, self._lost))
        if len(message) > MAX_BATCH_BYTES or not self._send(message):
            self._lost += len(self._packed)
            for seen in self._leaving:
                seen.part.is_torn, seen.room_in, seen.room_out = True, 0, 0
                if seen.is_new:  # nobody knows of it: the rest would say nothing
                    self._live.pop(seen.exchange, None)
        self._packed, self._packed_bytes, self._leaving = [], 0, []

    def close(self) -> None:
        """Send what is left."""
        self.flush(all_of_it=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def head(asked: Request, *, is_stripped: bool) -> Head:
    """A request's head as the inspector gets it. `is_stripped`: without what may be a secret of the guard's."""
    kind, method, target, host, fields = asked
    if not is_stripped:
        return Head(KINDS[kind], method, target, host, fields)
    kept = [(name, STRIPPED if name.lower() in _SECRET_FIELDS else value) for name, value in fields]
    return Head(KINDS[kind], method, _PARAMETER.sub(_stripped, target), host, kept, is_stripped=True)


def _stripped(parameter: re.Match[bytes]) -> bytes:
    return parameter[1] + b"[taken out]" if b"token" in parameter[1].lower() else parameter[0]
