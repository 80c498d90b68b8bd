"""The heads of requests and responses by their offsets: for the layout that encoders write, many times as fast as a
library that knows all layouts. Pure.

A message of one segment is words of 8 bytes (Cap'n Proto, "Encoding spec"). Those of a ConnectRequest, and of a
ConnectResponse without an error:

    0 | 1 segment, its size            0 | 1 segment, its size
    1 | → struct: 1 word, 2 pointers   1 | → struct: 0 words, 2 pointers
    2 | type                           2 | null: no error
    3 | → dest                         3 | → metadata
    4 | → metadata                     4 | n structs: 0 words, 2 pointers each
    5 | dest                             | n times: → key, → value
      | n structs: 0 words, 2 pointers   | n times: key, value
      | n times: → key, → value
      | n times: key, value

A pointer to a text has, from its lowest bit: 2 bits "list" (1), 30 bits words from its own end to the text, 3 bits "of
bytes" (2), 29 bits length with the NUL at its end. The pointers of a head say by themselves where its texts lie, and
visitors send the same ones again and again, whatever the texts are: so each layout is worked out once, and is then one
`struct.Struct` that cuts the next such head in one step, or fills it.
"""

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

MAX_BYTES: Final = 16 * 1024
MAX_ENTRIES: Final = 64
"""What is read and written here. Larger heads are seldom, and layouts of any size would take memory of any size."""

KNOWN_LAYOUTS: Final = 256
"""Layouts that are remembered, each of a few hundred bytes, at most some ten thousand."""

_START = struct.Struct("<IIQQQQ")
"""The words 0 to 4 of a ConnectRequest."""
_WORD = struct.Struct("<Q")

_REQUEST: Final = 2 << 48 | 1 << 32
_RESPONSE: Final = 2 << 48
_METADATA: Final = 2 << 48
"""What a struct's pointer says of its size; with a count, also the tag of a list."""
_TEXT: Final = 2 << 32 | 1
_STRUCTS: Final = 7 << 32 | 1
_KIND: Final = 7 << 32 | 3
"""The bits of a pointer that tell lists of bytes from lists of structs, and both from all else."""
_OFFSET: Final = 0xFFFFFFFC


class Raw(NamedTuple):
    """A ConnectRequest as bytes."""

    kind: int
    dest: bytes
    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]


def read_request(message: bytes) -> Raw | None:
    """A ConnectRequest; None if its layout is unusual: texts that overlap, far or null pointers, more segments."""
    if not _START.size <= len(message) <= MAX_BYTES:
        return None
    segments, size, root, kind, dest, metadata = _START.unpack_from(message)
    end = 8 + 8 * size
    begin, stop = _text(dest, 32)
    tag_at = 40 + ((metadata & _OFFSET) << 1)
    if segments or root != _REQUEST or end != len(message) or metadata & _KIND != _STRUCTS or dest & _KIND != _TEXT:
        return None
    if not 40 <= begin <= stop < tag_at <= end - 8 or message[stop]:
        return None
    (tag,) = _WORD.unpack_from(message, tag_at)
    count = (tag & _OFFSET) >> 2
    if tag != _METADATA | count << 2 or metadata >> 35 != 2 * count or not 0 < count <= MAX_ENTRIES:
        return None
    texts_at = tag_at + 8 + 16 * count
    layout = _layout(message[tag_at + 8 : texts_at])
    if layout is None or texts_at + layout.size > end:
        return None
    if int.from_bytes(message[texts_at : texts_at + layout.size], "little") & layout.ends:
        return None  # a text without the NUL that ends it
    texts = layout.cut(message, texts_at)
    return Raw(kind, message[begin:stop], texts[::2], texts[1::2])


class _Layout(NamedTuple):
    """Where the texts lie that follow some pointers."""

    cut: Callable[[bytes, int], tuple[bytes, ...]]
    """Takes the texts out of a message, at an offset."""
    size: int
    """Bytes up to and with the last NUL."""
    ends: int
    """A number with all bits set where a NUL must be, and no other."""


def _text(pointer: int, end: int) -> tuple[int, int]:
    """Where a text begins, and where its NUL is, by a pointer that ends at `end`."""
    begin = end + ((pointer & _OFFSET) << 1)
    return begin, begin + (pointer >> 35) - 1


@functools.lru_cache(maxsize=KNOWN_LAYOUTS)
def _layout(pointers: bytes) -> _Layout | None:
    """Where the texts lie that follow these pointers; None if they are unusual."""
    parts = ["<"]
    ends = 0
    start = last = len(pointers)
    for number, pointer in enumerate(struct.unpack(f"<{start // 8}Q", pointers)):
        begin, stop = _text(pointer, 8 * number + 8)
        if pointer & _KIND != _TEXT or not last <= begin <= stop < MAX_BYTES:
            return None
        parts.append(f"{begin - last}x{stop - begin}s")
        ends |= 0xFF << 8 * (stop - start)
        last = stop
    return _Layout(struct.Struct("".join(parts)).unpack_from, last + 1 - start, ends)


def write_response(preamble: bytes, keys: tuple[bytes, ...], values: Sequence[bytes]) -> bytes | None:
    """A ConnectResponse with this metadata, behind `preamble`; None if it is too large."""
    lengths = tuple(map(len, values))
    if sum(lengths) > MAX_BYTES:
        return None
    start, layout = _answer(preamble, keys, lengths)
    texts = [start] * (2 * len(keys) + 1)
    texts[1::2] = keys
    texts[2::2] = values
    return layout.pack(*texts)


@functools.lru_cache(maxsize=KNOWN_LAYOUTS)
def _answer(preamble: bytes, keys: tuple[bytes, ...], lengths: tuple[int, ...]) -> tuple[bytes, struct.Struct]:
    """What a response begins with whose values have these lengths, and what fills in the texts after it."""
    count = len(keys)
    parts = [f"<{len(preamble) + 40 + 16 * count}s"]
    pointers = []
    words = 2 * count  # from the first pointer to the present text
    sizes = [size for key, length in zip(keys, lengths, strict=True) for size in (len(key), length)]
    for number, length in enumerate(sizes):
        pointers.append(_TEXT | (words - number - 1) << 2 | (length + 1) << 35)
        size = length // 8 + 1  # with the NUL, and zeros up to the next word
        parts.append(f"{8 * size}s")
        words += size
    head = (4 + words) << 32, _RESPONSE, 0, _STRUCTS | (2 * count) << 35, _METADATA | count << 2
    return preamble + struct.pack(f"<{5 + 2 * count}Q", *head, *pointers), struct.Struct("".join(parts))
