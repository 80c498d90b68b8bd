"""Which frames of HTTP/2 the package h2 is to see. Pure.

It would end the connection for some that concern one stream, or nobody; these are taken out before it sees them, and so
are heads in one frame, as nearly all are: h2 would make two objects of each more. All others pass as they come, so that
no body is copied for it.
"""

from typing import Final, NamedTuple

PREFACE_BYTES: Final = 24
"""What a client says before its first frame (RFC 9113 section 3.4)."""

HEADER_BYTES: Final = 9

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
PUSH_PROMISE: Final = 0x5
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
"""Types of frames (RFC 9113 section 6). Those with higher numbers are extensions, which nobody has agreed on here."""

END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20
_PRIORITY_BYTES: Final = 5
_BITS_31: Final = 0x7FFFFFFF


class TooLarge(Exception):
    """A frame that is longer than we have said that we take."""


class Aside(NamedTuple):
    """A frame that h2 does not see as it came."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes
    """Of HEADERS: the whole field block."""


class FrameSplitter:
    """Splits what a peer sends. It holds no more than one frame that is set aside."""

    def __init__(self, max_frame_bytes: int) -> None:
        """`max_frame_bytes`: the longest payload that is taken."""
        self._max = max_frame_bytes
        self._buffer = b""
        """The beginning of a frame that is not judged yet."""
        self._passing = PREFACE_BYTES
        """Bytes that go on unseen: the rest of a frame, or of the preface."""
        self._skipping = 0
        """Bytes of a frame that nobody wants."""
        self._in_block = False
        """Whether a CONTINUATION is due: whatever else comes then is h2's to judge."""

    def feed(self, data: bytes) -> list[bytes | Aside]:
        """Take the next bytes; return those that h2 is to see and the frames that it is not, in their order.

        Raises:
            TooLarge: the connection must end.
        """
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        parts: list[bytes | Aside] = []
        start = at = 0  # from `start` to `at` passes
        end = len(data)
        while at < end:
            if self._passing:
                step = min(self._passing, end - at)
                self._passing -= step
                at += step
                continue
            if self._skipping:
                if start < at:
                    parts.append(data[start:at])
                step = min(self._skipping, end - at)
                self._skipping -= step
                start = at = at + step
                continue
            if end - at < HEADER_BYTES:
                break
            length, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            stream_id = int.from_bytes(data[at + 5 : at + 9], "big") & _BITS_31
            if length > self._max:
                raise TooLarge(f"a frame of {length} bytes; at most {self._max} are taken")
            if self._is_nobody_s(kind, stream_id):
                self._skipping = HEADER_BYTES + length
                continue
            body = at + HEADER_BYTES
            if not self._is_to_be_looked_at(kind, flags, stream_id, length):
                self._pass(kind, flags, length)
                continue
            if end < body + length:
                break
            instead = self._instead(kind, flags, stream_id, data[body : body + length])
            if instead is None:
                self._pass(kind, flags, length)
                continue
            if start < at:
                parts.append(data[start:at])
            parts.append(instead)
            start = at = body + length
        if start < at:
            parts.append(data[start:at] if start or at < end else data)
        self._buffer = data[at:]
        return parts

    def _pass(self, kind: int, flags: int, length: int) -> None:
        self._passing = HEADER_BYTES + length
        self._in_block = (self._in_block or kind in (HEADERS, PUSH_PROMISE)) and not flags & END_HEADERS

    def _is_nobody_s(self, kind: int, stream_id: int) -> bool:
        """Whether a frame is passed over: an extension, or a priority, of which RFC 9113 has none any more."""
        return not self._in_block and (kind > CONTINUATION or (kind == PRIORITY and stream_id != 0))

    def _is_to_be_looked_at(self, kind: int, flags: int, stream_id: int, length: int) -> bool:
        if self._in_block:
            return False
        if kind == WINDOW_UPDATE:
            return length == 4
        if kind == HEADERS and not flags & _PADDED:
            return bool(flags & END_HEADERS and stream_id)
        return (kind == GOAWAY and length >= 8) or (kind in (DATA, HEADERS) and bool(flags & _PADDED) and length > 1)

    def _instead(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bytes | Aside | None:
        """What stands for a frame that h2 is not to see as it came; None if it is."""
        aside = Aside(kind, flags, stream_id, payload)
        if kind == GOAWAY:
            return aside  # after one, h2 would let no stream end
        if kind == WINDOW_UPDATE:
            increment = int.from_bytes(payload, "big") & _BITS_31
            if not increment:
                return aside if stream_id else None  # one stream's fault, or the connection's
            return _frame(kind, flags, stream_id, increment.to_bytes(4, "big")) if payload[0] & 0x80 else None
        if kind == HEADERS and not flags & _PADDED:
            return _head(flags, stream_id, payload)
        if payload[0] != len(payload) - 1:
            return None
        # All of it is padding, which is allowed, and which h2 takes for too much.
        self._in_block = kind == HEADERS and not flags & END_HEADERS
        return aside if kind == DATA else _frame(kind, flags & ~_PADDED, stream_id, b"")


def _head(flags: int, stream_id: int, payload: bytes) -> Aside | None:
    """The one frame of a head, without its priority."""
    if not flags & _PRIORITY:
        return Aside(HEADERS, flags, stream_id, payload)
    return Aside(HEADERS, flags, stream_id, payload[_PRIORITY_BYTES:]) if len(payload) >= _PRIORITY_BYTES else None


def header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """What begins a frame (RFC 9113 section 4.1)."""
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big")


def _frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return header(len(payload), kind, flags, stream_id) + payload
