"""Where a Cap'n Proto message ends in a stream of bytes.

A message is a segment table (count, sizes) and its segments. The table is checked before anything is buffered for
it: a peer can claim gigabytes in eight bytes.
"""

import struct
from typing import Final

from actors.errors import EdgeProtocolError

MAX_SEGMENTS: Final = 16
"""Real peers send one segment, a large RPC message two or three."""

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""An RPC message: the largest is a remote configuration, which is JSON of a few kilobytes."""

MAX_REQUEST_BYTES: Final = 320 * 1024
"""A ConnectRequest or ConnectResponse: twice the largest head that is taken (`http1.py`: a target of 32 KiB, fields of
128 KiB), for pointers, padding and the prefix of each name."""

_WORD: Final = 8
_COUNT = struct.Struct("<I")


def message_length(data: bytes | bytearray, *, limit: int, start: int = 0) -> int | None:
    """Return how many bytes the message at `start` of `data` has, or None while that cannot be told yet.

    Raises:
        EdgeProtocolError: more than `MAX_SEGMENTS` segments, or more than `limit` bytes.
    """
    if len(data) < start + 4:
        return None
    segments = _COUNT.unpack_from(data, start)[0] + 1
    if segments > MAX_SEGMENTS:
        raise EdgeProtocolError(f"Cap'n Proto message with {segments} segments; at most {MAX_SEGMENTS} are taken")
    table = (4 + 4 * segments + _WORD - 1) // _WORD * _WORD
    if len(data) < start + table:
        return None
    if segments == 1:  # nearly all have one
        (words,) = _COUNT.unpack_from(data, start + 4)
    else:
        words = sum(struct.unpack_from(f"<{segments}I", data, start + 4))
    length: int = table + words * _WORD
    if length > limit:
        raise EdgeProtocolError(f"Cap'n Proto message of {length} bytes; at most {limit} are taken")
    return length


class MessageReader:
    """Cuts a stream into messages. Memory: at most one message of `limit` bytes, and what came with its end."""

    def __init__(self, *, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the messages that are now complete.

        Raises:
            EdgeProtocolError: as `message_length`.
        """
        self._buffer += data
        messages = []
        while (length := message_length(self._buffer, limit=self._limit)) is not None and length <= len(self._buffer):
            messages.append(bytes(self._buffer[:length]))
            del self._buffer[:length]
        return messages
