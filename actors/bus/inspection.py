"""What passes between workers and the inspector. Pure.

    Batch    worker → inspector: what was seen of exchanges since the last one
    Replay   inspector → worker: send this to the origin

On a socket of their own (DEALER ↔ ROUTER), so that nothing of it is in the way of what the tunnel depends on. A worker
never waits for it: what a full queue does not take is lost, and the next batch says how much that was.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from actors.bus.tally import Count, Message, Seconds

DEFAULT_BODY_BYTES: Final = 64 * 1024
"""Bytes that are shown of each body: all of a webhook, and the beginning of what nobody reads to its end anyway."""

MAX_BODY_BYTES: Final = 1024 * 1024
"""The most that `--inspect-body` takes: a replay has to fit into one message, and edited into a page's request."""

BATCH_BYTES: Final = 256 * 1024
"""Bytes after which a batch leaves at once."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""The largest message of these: a batch that was nearly full, and one more part."""

QUEUED_BATCHES: Final = 32
"""Batches that wait for an inspector that does not read, at each end: 16 MiB when all of them are full."""

Kind = Literal["http", "websocket", "tcp"]

Field = tuple[bytes, bytes]


# There are many of these under load: so their fields have no names on the wire (`array_like`), and since none is ever
# part of a cycle, Python's collector need not look at them (`gc=False`).


class Head(Message, frozen=True, array_like=True, gc=False):
    """A request, as the visitor sent it: what names, rules and the origin make of it comes later."""

    kind: Kind
    method: bytes
    target: bytes
    host: bytes
    fields: Sequence[Field]
    is_stripped: bool = False
    """It reached no target, and what may be a secret of the guard's was taken out for good: it cannot be replayed."""


class Reached(Message, frozen=True, array_like=True, gc=False):
    """A connection to the target is there, and the request goes to it."""

    after: Seconds
    """Seconds since the request came; so are all others."""
    target: str
    """The origin, or the service, as it is called in logs."""
    is_repeated: bool = False
    """For the second time: the origin had closed the first connection meanwhile."""


class Answered(Message, frozen=True, array_like=True, gc=False):
    """The head of the response that the visitor gets."""

    after: Seconds
    status: int
    fields: Sequence[Field]


class Ended(Message, frozen=True, array_like=True, gc=False):
    """It is over."""

    after: Seconds
    status: int | None = None
    """None: the visitor got none."""
    reason: str = ""
    """Why it is no answer of the origin's, in one word; empty if it is one."""
    error: str = ""
    """The same in words."""
    hint: str = ""
    """What to do about it."""
    is_substitute: bool = False
    """The response is this program's own."""
    is_cut: bool = False
    """The visitor had not sent all of the request's body."""


class Part(msgspec.Struct, array_like=True, gc=False):
    """What was seen of one exchange since its last part. Those that are over at once have one alone."""

    number: Count
    """Of this worker's exchanges."""
    received: float
    """When the request came: Unix time."""
    replay_of: str = ""
    """It is a replay of this exchange."""
    replay: Count = 0
    """And which, by the inspector's own count; from 1."""
    rule: str = ""
    """What applied to it, in words; empty where there is but one way."""
    head: Head | None = None
    reached: Reached | None = None
    answered: Answered | None = None
    request: list[bytes] = []
    """Bytes of the request's body, up to the limit."""
    response: list[bytes] = []
    raw: list[tuple[Seconds, bool, bytes]] = []
    """After an upgrade: seconds since the request came, whether the visitor sent them, and bytes of either."""
    request_bytes: Count = 0
    """How many there were in all by now."""
    response_bytes: Count = 0
    is_torn: bool = False
    """Bytes are missing before these: what follows is not shown, and of a WebSocket it could not be read."""
    ended: Ended | None = None


class Packed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part in its batch, and what has to be known before it is read. Under load most exchanges are gone before
    anybody looks at one: their fifty small objects are not even made."""

    number: Count
    """Of the exchange."""
    received: float
    is_first: bool
    """The head is in it."""
    speaks: bool
    """There are bytes of a WebSocket in it. They have to be read when they come: only the latest messages are kept."""
    replay: Count
    """Which one it is; 0 if it is none."""
    packed: bytes

    def read(self) -> Part:
        """The part.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        return _decode_part(self.packed)


class Batch(Message, frozen=True, array_like=True, gc=False):
    """What a worker has seen. Once a second there is one, though it be empty: so the inspector knows who lives.

    Parts of one exchange are in the order in which they were seen; other exchanges may have overtaken it.
    """

    parts: list[Packed] = msgspec.field(default_factory=list)
    lost: Count = 0
    """Parts so far that were lost, since nobody took them."""


class Replay(Message, frozen=True, omit_defaults=True):
    """Send this to the origin, past the guard, and tell of it as of any other."""

    number: Count
    of: str
    head: Head
    body: bytes = b""


encode = msgspec.msgpack.Encoder().encode


def pack_part(part: Part) -> Packed:
    """A part as it goes into a batch."""
    return Packed(part.number, part.received, part.head is not None, bool(part.raw), part.replay, encode(part))


decode_batch = msgspec.msgpack.Decoder(Batch).decode
decode_replay = msgspec.msgpack.Decoder(Replay).decode

_decode_part = msgspec.msgpack.Decoder(Part).decode
