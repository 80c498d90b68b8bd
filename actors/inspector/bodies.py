"""Bytes of bodies, as they may be shown: without their encoding, and as an image where they are one. Pure."""

import zlib
from typing import Final

MAX_DECODED: Final = 4 * 1024 * 1024
"""Bytes that come out of a body at most: deflate makes a thousand times as many as there were."""

MAX_LAYERS: Final = 4
"""Encodings of one body, of which no server applies two."""

MAX_MEMBERS: Final = 1000
"""Parts of one gzip: each costs as much as all bytes behind it, and there could be fifty thousand empty ones."""

IMAGES: Final[tuple[tuple[bytes, int, bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"", 4, b"ftypavif", "image/avif"),
)
"""How images begin: these bytes, and at a place these others. SVG is none of them: it can hold a script."""

OCTETS: Final = "application/octet-stream"

_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's word for each encoding: 31 is gzip's own frame."""


class CannotDecode(Exception):
    """The bytes are not in the encoding that was said, or it is not known here; the text says which."""


def type_of(data: bytes) -> str:
    """As what a browser may show it: an image by its first bytes, whatever its sender says of it, or nothing at all."""
    for begin, place, word, kind in IMAGES:
        if data.startswith(begin) and data[place : place + len(word)] == word:
            return kind
    return OCTETS


def decoded(data: bytes, encodings: str) -> bytes:
    """A body without its Content-Encoding (several: the last one was applied last). Of one that was cut off, what can
    be read of it.

    Raises:
        CannotDecode: it cannot.
    """
    layers = [each.strip().lower() for each in encodings.split(",")]
    layers = [each for each in layers if each not in ("", "identity")]
    if len(layers) > MAX_LAYERS:
        raise CannotDecode(f"it has {len(layers)} encodings, one over the other; {MAX_LAYERS} are taken off at most")
    for encoding in reversed(layers):
        if encoding not in _WINDOWS:
            raise CannotDecode(f"the encoding {encoding[:50]!r} is not known here")
        data = _inflated(data, encoding)
    return data


def _inflated(data: bytes, encoding: str) -> bytes:
    try:
        return _read(data, _WINDOWS[encoding])
    except zlib.error as error:
        if encoding == "deflate":  # many leave zlib's frame out, against the letter of RFC 9110 section 8.4.1.2
            try:
                return _read(data, -15)
            except zlib.error:
                pass
        raise CannotDecode(f"this is no {encoding}: {error}") from None


def _read(data: bytes, window: int) -> bytes:
    out = bytearray()
    for _ in range(MAX_MEMBERS):
        if not data or len(out) >= MAX_DECODED:
            break
        reader = zlib.decompressobj(window)
        out += reader.decompress(data, MAX_DECODED - len(out))
        if not reader.eof or window != 31:
            break
        data = reader.unused_data  # gzip can have several members
    return bytes(out)
