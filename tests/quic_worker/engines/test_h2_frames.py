"""Which frames the package h2 sees, however they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.quic_worker.engines.h2_frames import PREFACE_BYTES, Aside, FrameSplitter, TooLarge

PREFACE = bytes(range(PREFACE_BYTES))


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def split(*pieces: bytes) -> list[bytes | Aside]:
    """What is told of these bytes, with what passes joined."""
    splitter = FrameSplitter(1000)
    parts: list[bytes | Aside] = []
    for piece in (PREFACE, *pieces):
        for part in splitter.feed(piece):
            if isinstance(part, bytes) and parts and isinstance(parts[-1], bytes):
                parts[-1] += part
            else:
                parts.append(part)
    assert isinstance(parts[0], bytes)
    assert parts[0].startswith(PREFACE)
    parts[0] = parts[0][PREFACE_BYTES:]
    return [part for part in parts if part]


HEADERS = frame(1, 0, 1, b"he") + frame(9, 4, 1, b"ad")
DATA = frame(0, 0, 1, b"x" * 100)
GOAWAY = frame(7, 0, 0, bytes(8) + b"bye")


@pytest.mark.parametrize("passing", [HEADERS, DATA, frame(8, 0, 1, b"\0\0\0\1"), frame(3, 0, 1, bytes(4)), b""])
def test_ordinary_frames_pass_as_they_are(passing: bytes) -> None:
    assert split(HEADERS + passing) == [HEADERS + passing]


def test_what_h2_must_not_see_is_set_aside() -> None:
    assert split(HEADERS + GOAWAY + DATA) == [HEADERS, Aside(7, 0, 0, bytes(8) + b"bye"), DATA]
    assert split(frame(8, 0, 5, bytes(4))) == [Aside(8, 0, 5, bytes(4))]
    assert split(frame(8, 0, 5, b"\x80\0\0\0")) == [Aside(8, 0, 5, b"\x80\0\0\0")]
    assert split(frame(0, 9, 1, b"\2\0\0")) == [Aside(0, 9, 1, b"\2\0\0")]


@pytest.mark.parametrize("ends", [0, 1])
def test_head_in_one_frame_goes_past_h2_s_parser(ends: int) -> None:
    assert split(DATA + frame(1, 4 | ends, 3, b"head") + DATA) == [DATA, Aside(1, 4 | ends, 3, b"head"), DATA]
    assert split(frame(1, 0x24 | ends, 3, b"12345head")) == [Aside(1, 0x24 | ends, 3, b"head")]


@pytest.mark.parametrize("wrong", [frame(1, 4, 0, b"head"), frame(1, 0x24, 1, b"1234")])
def test_head_that_makes_no_sense_is_h2_s_to_judge(wrong: bytes) -> None:
    assert split(wrong) == [wrong]


def test_what_it_would_misread_is_put_in_other_words() -> None:
    assert split(frame(8, 0, 5, b"\xff\0\0\1")) == [frame(8, 0, 5, b"\x7f\0\0\1")]
    assert split(frame(8, 0, 0, b"\x80\0\0\1")) == [frame(8, 0, 0, b"\0\0\0\1")]
    assert split(frame(1, 8, 1, b"\2\0\0")) == [frame(1, 0, 1)]


@pytest.mark.parametrize("extra", [frame(2, 0, 1, bytes(5)), frame(2, 0, 1), frame(10, 0, 0, b"x"), frame(255, 0, 9)])
def test_what_is_nobody_s_is_passed_over(extra: bytes) -> None:
    assert split(HEADERS + extra + DATA) == [HEADERS + DATA]


@pytest.mark.parametrize("kind", [1, 5])
@pytest.mark.parametrize(
    "odd", [GOAWAY, frame(2, 0, 1, bytes(5)), frame(10, 0, 0, b"x"), frame(8, 0, 1, bytes(4)), frame(1, 4, 3, b"head")]
)
def test_within_a_field_block_everything_is_h2_s_to_judge(kind: int, odd: bytes) -> None:
    begun = frame(kind, 0, 1, b"he")
    assert split(begun + odd) == [begun + odd]


def test_after_a_field_block_frames_are_looked_at_again() -> None:
    begun = frame(1, 0, 1, b"he")
    rest = frame(9, 4, 1, b"ad")
    assert split(begun + rest + GOAWAY)[0] == begun + rest
    padded = frame(1, 8, 1, b"\2\0\0")
    assert split(padded + GOAWAY) == [frame(1, 0, 1) + GOAWAY]


def test_a_frame_that_is_too_large_is_not_waited_for() -> None:
    splitter = FrameSplitter(1000)
    splitter.feed(PREFACE + frame(0, 0, 1, bytes(1000)))
    with pytest.raises(TooLarge, match="1001 bytes; at most 1000"):
        splitter.feed(frame(0, 0, 1, bytes(1001))[:9])


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=40))
def test_however_it_comes(cuts: list[int]) -> None:
    stream = (
        HEADERS
        + frame(10, 0, 0, b"x" * 99)
        + frame(1, 5, 3, b"head")
        + GOAWAY
        + frame(8, 0, 3, bytes(4))
        + DATA
        + frame(0, 8, 1, b"\1\0")
    )
    at, number, pieces = 0, 0, []
    while at < len(stream):
        size = cuts[number % len(cuts)]
        pieces.append(stream[at : at + size])
        at, number = at + size, number + 1
    assert split(*pieces) == split(stream)
