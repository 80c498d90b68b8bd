"""The messages of a WebSocket that somebody else holds: the raw bytes of both ways, taken apart. Pure.

Memory is bounded by what is kept of each message, and by how many are kept: the latest ones. Time is bounded by an
allowance: strangers say what there is to read, and a few bytes of theirs can be the work of seconds.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import ProtocolError

MAX_MESSAGES: Final = 500
"""Of one WebSocket that are kept, in both directions."""

SLICE: Final = 4096
"""Bytes that are to be read at once: deflate makes up to a thousand times as many, and that must not be much."""

FRAME_WORK: Final = 4096
"""What reading a piece of a message takes beside its bytes, in the bytes that could be read meanwhile (as was measured:
some 16 µs)."""

MAX_WORK: Final = 128 * 1024 * 1024
"""Bytes, as deflate makes them, that are read of one WebSocket at once: half a second's work. Whatever people would
look at is less; 60 messages of zeros, 64 KiB each on the wire, would be 4 GiB."""

WORK_RATE: Final = 32 * 1024 * 1024
"""Bytes that are read of it for each second that it lives: an eighth of a core, 8000 small messages."""

DEFLATE: Final = "permessage-deflate"

Side = Literal["visitor", "origin"]
MessageKind = Literal["text", "binary", "ping", "pong", "close"]


class Spoken(msgspec.Struct):
    """One message, as far as it was kept."""

    side: Side
    kind: MessageKind
    at: float
    """Seconds after the request came: when its first bytes did."""
    size: int = 0
    """Bytes of all of it, without deflate."""
    data: bytearray = msgspec.field(default_factory=bytearray)
    code: int | None = None
    """Of a Close."""
    reason: str = ""
    is_whole: bool = False
    """Whether it has come to its end."""
    is_gone: bool = False
    """Whether it is not kept any more: what comes of it yet is not held."""


class Grown(NamedTuple):
    """What became of the bytes."""

    held: int
    """Bytes more, or fewer, that are held now."""
    work: int
    """What it took to find that out, in bytes that were read."""


class Conversation:
    """All that is said on one WebSocket."""

    def __init__(self, extensions: Iterable[bytes], *, body_limit: int) -> None:
        """`extensions`: the values of Sec-WebSocket-Extensions in the answer. `body_limit`: bytes of each message that
        are kept."""
        self.messages: deque[Spoken] = deque()
        self.dropped = 0
        """Messages before these that were not kept."""
        self.count = 0
        """Messages in all."""
        self.problem = ""
        """Why nothing more can be read of it; empty while all can."""
        self._limit = body_limit
        self._open: dict[Side, Spoken] = {}
        """Messages that have not come to their end."""
        self._allowed: float = MAX_WORK
        """Work that may be done on it yet."""
        self._at = 0.0
        """When that was so."""
        agreed = ",".join(value.decode("latin-1") for value in extensions)
        # What a visitor sends is read as its server would, and the other way round.
        self._readers: dict[Side, Connection] = {}
        try:
            self._readers["visitor"] = Connection(ConnectionType.SERVER, _extensions(agreed))
            self._readers["origin"] = Connection(ConnectionType.CLIENT, _extensions(agreed))
        except Exception:  # of a library that reads what strangers say, as in `feed`
            self.problem = f"its extensions are not known here: {agreed[:100]}"

    def feed(self, side: Side, at: float, data: bytes) -> Grown:
        """Bytes that came from `side`: of no more than a `SLICE` at a time, nobody has to wait long for the rest."""
        if self.problem:
            return Grown(0, 0)
        held = work = 0
        self._allowed = min(MAX_WORK, self._allowed + max(0.0, at - self._at) * WORK_RATE)
        self._at = max(self._at, at)
        try:
            reader = self._readers[side]
            reader.receive_data(data)
            for event in reader.events():
                if isinstance(event, CloseConnection) and reader.state is ConnectionState.OPEN:
                    raise ProtocolError  # it is the reader's own
                held += self._note(side, at, event)
                work += FRAME_WORK + (len(event.data) if isinstance(event, TextMessage | BytesMessage) else 0)
                if work > self._allowed:
                    self.problem = "more was said here than could be read in time; messages after these were not read"
                    break
        except Exception:  # wsproto has some that it does not tell of, and any would cost all that was seen
            self.problem = f"what the {side} sends here is no WebSocket, or uses an extension that is not known"
        self._allowed -= work
        return Grown(held, work)

    def torn(self) -> None:
        """Bytes are missing."""
        self.problem = self.problem or "messages came faster than they could be shown; those after these were not read"

    def _note(self, side: Side, at: float, event: Event) -> int:
        match event:
            case TextMessage():
                return self._add(side, at, "text", event.data.encode(), ends=event.message_finished)
            case BytesMessage():
                return self._add(side, at, "binary", event.data, ends=event.message_finished)
            case Ping() | Pong():
                kind: MessageKind = "ping" if isinstance(event, Ping) else "pong"
                return self._keep(Spoken(side, kind, at, len(event.payload), bytearray(event.payload), is_whole=True))
            case CloseConnection():
                return self._keep(
                    Spoken(side, "close", at, code=int(event.code), reason=event.reason or "", is_whole=True)
                )
        return 0

    def _add(self, side: Side, at: float, kind: MessageKind, data: bytes | bytearray, *, ends: bool) -> int:
        held = 0
        if (message := self._open.get(side)) is None:
            message = self._open[side] = Spoken(side, kind, at)
            held += self._keep(message)
        kept = b"" if message.is_gone else data[: max(0, self._limit - len(message.data))]
        message.size += len(data)
        message.data += kept
        if ends:
            message.is_whole = True
            del self._open[side]
        return held + len(kept)

    def _keep(self, message: Spoken) -> int:
        """Keep it, and no longer the oldest if there are too many."""
        self.count += 1
        self.messages.append(message)
        held = len(message.data) + OVERHEAD
        if len(self.messages) > MAX_MESSAGES:
            gone = self.messages.popleft()
            self.dropped += 1
            held -= len(gone.data) + OVERHEAD
            gone.is_gone, gone.data = True, bytearray()
        return held


OVERHEAD: Final = 400
"""Bytes that a message takes beside its own."""


def _extensions(agreed: str) -> list[Extension]:
    """What reads them.

    Raises:
        ValueError: they are not known.
    """
    made: list[Extension] = []
    for each in filter(None, (part.strip() for part in agreed.split(","))):
        if each.partition(";")[0].strip().lower() != DEFLATE or made:
            raise ValueError(each)
        deflate = PerMessageDeflate()
        deflate.finalize(each)
        made.append(deflate)
    return made
