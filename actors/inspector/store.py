"""The exchanges that were seen lately: a ring, bounded in count and in bytes. Pure.

Every change of an exchange has a number, its `sequence`, which only rises: whoever knows up to which one he has seen
asks for what came after. The numbers of an inspector that was started again begin above those of the one before.
"""

import itertools
import operator
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from actors.bus.inspection import Answered, Batch, Ended, Field, Head, Packed, Part, Reached
from actors.bus.messages import DECODE_ERRORS
from actors.inspector.websocket import SLICE, Conversation

MAX_EXCHANGES: Final = 1000
"""That are kept: an afternoon of webhooks, or a few pages with all that is on them."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""That they take in all: what a laptop does not miss. The oldest go first."""

OVERHEAD: Final = 1200
"""Bytes that an exchange takes beside its texts, as was measured."""

FIELD_OVERHEAD: Final = 150
"""The same of a field: a tuple, and the heads of two texts."""

MAX_UNREAD: Final = 16
"""Parts of one exchange until they are read, though nobody looks: a download of hours has twenty a second, and put
together they take less."""

TURN: Final = 4 * 1024 * 1024
"""Bytes of WebSockets that are read until others have their turn: some 20 ms of work."""

SWITCHING_PROTOCOLS: Final = 101


class Body:
    """One body, as far as it is shown."""

    __slots__ = ("data", "is_torn", "size")

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0
        """Bytes of all of it so far."""
        self.is_torn = False

    def take(self, pieces: Sequence[bytes], size: int, *, is_torn: bool) -> int:
        """More of it, of so many bytes by now; returns how many more are kept. `is_torn`: some before them are lost."""
        self.size = max(self.size, size)
        before = len(self.data)
        if not self.is_torn:
            for piece in pieces:
                self.data += piece
        self.is_torn = self.is_torn or is_torn
        return len(self.data) - before

    @property
    def is_complete(self) -> bool:
        """Whether all of what came is shown."""
        return len(self.data) == self.size


class Recorded:
    """One exchange."""

    __slots__ = (
        *("answered", "conversation", "ended", "head", "id", "order", "reached", "received", "replay_of", "request"),
        *("response", "rule", "sequence", "worker"),
    )

    def __init__(self, name: str, worker: str, order: tuple[float, int], head: Head, first: Part) -> None:
        self.id = name
        self.worker = worker
        self.order = order
        """Its place: when it came, and the how-manieth it was of which something was told."""
        self.sequence = 0
        self.received = first.received
        self.replay_of = first.replay_of
        self.rule = first.rule
        self.head = head
        self.reached: Reached | None = None
        self.answered: Answered | None = None
        self.ended: Ended | None = None
        self.request, self.response = Body(), Body()
        self.conversation: Conversation | None = None

    def add(self, part: Part, body_limit: int) -> int:
        """What more was seen, but for bytes of a WebSocket; returns how many more bytes are kept."""
        grown = self.request.take(part.request, part.request_bytes, is_torn=part.is_torn)
        grown += self.response.take(part.response, part.response_bytes, is_torn=part.is_torn)
        if (head := part.head) is not None:
            grown += len(head.target) + len(head.host) + _size(head.fields)
        self.reached = part.reached or self.reached
        if (answered := part.answered) is not None:
            self.answered = answered
            grown += _size(answered.fields)
            if answered.status == SWITCHING_PROTOCOLS:
                accepted = [value for key, value in answered.fields if key.lower() == b"sec-websocket-extensions"]
                self.conversation = Conversation(accepted, body_limit=body_limit)
        if self.conversation is not None and part.is_torn:
            self.conversation.torn()
        self.ended = part.ended or self.ended
        return grown

    @property
    def status(self) -> int | None:
        """Of the response."""
        if self.answered is not None:
            return self.answered.status
        return self.ended.status if self.ended is not None else None

    @property
    def state(self) -> str:
        """How far it has come."""
        if self.ended is not None:
            return "ended"
        return "open" if self.answered is None else "answered"


def _size(fields: Sequence[Field]) -> int:
    return sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields)


class _Kept(msgspec.Struct):
    """One exchange, which is read when somebody looks, and till then as it came."""

    id: str
    worker: str
    order: tuple[float, int]
    sequence: int = 0
    held: int = 0
    """Bytes that it takes."""
    unread: list[Packed] = []
    entry: Recorded | None = None
    """What has been read."""


class Store:
    """What was seen."""

    def __init__(
        self, *, first: int, body_limit: int, max_exchanges: int = MAX_EXCHANGES, max_bytes: int = MAX_BYTES
    ) -> None:
        """`first`: the number that the changes begin with."""
        self.first: Final = first
        self.sequence = first
        """Of the latest change."""
        self.held = 0
        """Bytes that all take."""
        self.dropped = 0
        """Exchanges so far of which something was lost on the way here."""
        self.max_exchanges, self.max_bytes = max_exchanges, max_bytes
        self._body_limit = body_limit
        self.seen = 0
        """Exchanges so far, those that are gone too."""
        self._by_id: OrderedDict[str, _Kept] = OrderedDict()
        """In the order in which they were told of: one that takes long is overtaken by those that end."""
        self._removed: deque[tuple[int, str]] = deque(maxlen=2 * max_exchanges)
        """What is gone, with the number of that change."""
        self._cleared_at = first
        self._lost: dict[str, int] = {}
        """By worker: what it said last."""

    def __len__(self) -> int:
        return len(self._by_id)

    # --- what workers say ---

    def take(self, worker: str, batch: Batch) -> Iterator[None]:
        """Take in what a worker saw, step by step: strangers say how much work it is, so that others have to get their
        turns between steps. All can be asked then, and cleared. `worker` is the name of one that lived once."""
        if batch.lost > (before := self._lost.get(worker, 0)):
            self._lost[worker] = batch.lost
            self.dropped += batch.lost - before
        work = 0
        for packed in batch.parts:
            name = f"{worker}.{packed.number}"
            if (kept := self._by_id.get(name)) is None:
                if not packed.is_first:
                    continue  # its beginning was lost, or it is gone already
                kept = self._by_id[name] = _Kept(name, worker, (packed.received, self.seen))
                self.seen += 1
                self._grow(kept, OVERHEAD + len(packed.packed))
            else:
                self._grow(kept, len(packed.packed))
            kept.unread.append(packed)
            for done in self._listen(kept) if packed.speaks else ():
                work += done
                if work >= TURN:
                    work = 0
                    self._changed(kept)
                    self._make_room()
                    yield
            if len(kept.unread) > MAX_UNREAD:
                self._read(kept)
            if self._by_id.get(name) is kept:
                self._changed(kept)
        self._make_room()

    def _read(self, kept: _Kept) -> Recorded | None:
        """Read what came of an exchange; None if that is nothing that a worker would say."""
        unread, kept.unread = kept.unread, []
        for packed in unread:
            self._merge(kept, packed)
        if kept.entry is not None:
            kept.entry.sequence = kept.sequence
        return kept.entry

    def _merge(self, kept: _Kept, packed: Packed) -> Part | None:
        self._grow(kept, -len(packed.packed))
        try:
            part = packed.read()
        except DECODE_ERRORS:
            self.dropped += 1
            return None
        if kept.entry is None and part.head is not None:
            kept.entry = Recorded(kept.id, kept.worker, kept.order, part.head, part)
        if kept.entry is None:
            return None
        self._grow(kept, kept.entry.add(part, self._body_limit))
        return part

    def _listen(self, kept: _Kept) -> Iterator[int]:
        """Read what was said on a WebSocket, a little at a time; yields how much work each was."""
        last = kept.unread.pop()
        self._read(kept)
        part = self._merge(kept, last)
        if part is None or kept.entry is None or (conversation := kept.entry.conversation) is None:
            return
        for at, from_visitor, data in part.raw:
            for begin in range(0, len(data), SLICE):
                if conversation.problem or self._by_id.get(kept.id) is not kept:
                    return
                grown = conversation.feed("visitor" if from_visitor else "origin", at, data[begin : begin + SLICE])
                self._grow(kept, grown.held)
                yield grown.work

    def _grow(self, kept: _Kept, count: int) -> None:
        kept.held += count
        if self._by_id.get(kept.id) is kept:  # else it is gone, and somebody is still at it
            self.held += count

    def _changed(self, kept: _Kept) -> None:
        self.sequence += 1
        kept.sequence = self.sequence

    def _make_room(self) -> None:
        while len(self._by_id) > self.max_exchanges or (self.held > self.max_bytes and self._by_id):
            name, kept = self._by_id.popitem(last=False)
            self.held -= kept.held
            self.sequence += 1
            self._removed.append((self.sequence, name))

    # --- what is asked ---

    def get(self, name: str) -> Recorded | None:
        """The exchange with this id."""
        kept = self._by_id.get(name)
        return self._read(kept) if kept is not None else None

    def newest(self) -> Iterator[Recorded]:
        """All, the newest first."""
        return self._each(sorted(self._by_id.values(), key=_order, reverse=True))

    def oldest(self) -> Iterator[Recorded]:
        """All, the oldest first."""
        return self._each(sorted(self._by_id.values(), key=_order))

    def _each(self, those: Iterable[_Kept]) -> Iterator[Recorded]:
        return (entry for kept in those if (entry := self._read(kept)) is not None)

    def clear(self) -> None:
        """Forget them all."""
        self.sequence += 1
        self._cleared_at = self.sequence
        self._by_id.clear()
        self._removed.clear()
        self.held = 0

    def knows_since(self, sequence: int) -> bool:
        """Whether it can be said what has changed since this number: else whoever asks has to forget what he has."""
        if sequence < self._cleared_at or sequence > self.sequence:
            return False
        is_full = len(self._removed) == self._removed.maxlen
        return not is_full or sequence >= self._removed[0][0]

    def changed_since(self, sequence: int) -> list[Recorded]:
        """Those that are new or have changed, in the order of that."""
        found = [kept for kept in self._by_id.values() if kept.sequence > sequence]
        return list(self._each(sorted(found, key=_sequence)))

    def removed_since(self, sequence: int) -> list[str]:
        """The ids of those that are gone."""
        found = itertools.takewhile(lambda each: each[0] > sequence, reversed(self._removed))
        return [name for _, name in found][::-1]


_order: Final = operator.attrgetter("order")
_sequence: Final = operator.attrgetter("sequence")
