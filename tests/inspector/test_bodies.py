"""Bodies without their encoding, and what a browser may take for an image."""

import functools
import gzip
import zlib

import pytest

from actors.inspector.bodies import MAX_DECODED, MAX_MEMBERS, OCTETS, CannotDecode, decoded, type_of

TEXT = b"a rather long text " * 100

packed = functools.partial(gzip.compress, mtime=0)
"""The same each time: tests that run beside each other must have one name in all processes."""


@pytest.mark.parametrize(
    ("data", "encodings"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (packed(TEXT), "gzip"),
        (packed(TEXT), " X-GZIP "),
        (packed(TEXT[:500]) + packed(TEXT[500:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (zlib.compress(TEXT)[2:-4], "deflate"),
        (packed(zlib.compress(TEXT)), "deflate, gzip"),
    ],
    ids=["no", "identity", "gzip", "x-gzip", "two members", "deflate", "without zlib's head", "two"],
)
def test_encodings(data: bytes, encodings: str) -> None:
    assert decoded(data, encodings) == TEXT


def test_one_that_was_cut_off() -> None:
    whole = gzip.compress(TEXT)
    assert TEXT.startswith(decoded(whole[: len(whole) - 12], "gzip"))
    assert decoded(whole[:-9], "gzip")
    assert decoded(b"", "gzip") == b""


def test_bomb() -> None:
    bomb = gzip.compress(bytes(3 * MAX_DECODED))
    assert len(decoded(bomb, "gzip")) == MAX_DECODED
    assert len(decoded(gzip.compress(bomb), "gzip, gzip")) == MAX_DECODED


@pytest.mark.parametrize(("data", "encodings"), [(b"no gzip", "gzip"), (b"\xff\xff\xff", "deflate"), (TEXT, "br")])
def test_what_cannot_be_read(data: bytes, encodings: str) -> None:
    with pytest.raises(CannotDecode):
        decoded(data, encodings)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        (b"RIFF1234WAVE", OCTETS),
        (b"<svg onload=alert(1)>", OCTETS),
        (b"<html><script>alert(1)</script>", OCTETS),
        (b" \x89PNG\r\n\x1a\n", OCTETS),
        (b"", OCTETS),
    ],
)
def test_images_by_their_first_bytes(data: bytes, kind: str) -> None:
    assert type_of(data) == kind


def test_very_many_members_are_not_all_read() -> None:
    """Each costs as much as all that is behind it."""
    many = packed(b"x") * (MAX_MEMBERS + 100)
    assert decoded(many, "gzip") == b"x" * MAX_MEMBERS


def test_very_many_encodings() -> None:
    with pytest.raises(CannotDecode, match="1000 encodings"):
        decoded(TEXT, "gzip," * 1000)
    assert decoded(TEXT, "identity," * 1000) == TEXT
