"""Where messages end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import EdgeProtocolError
from actors.wire.framing import MAX_MESSAGE_BYTES, MAX_SEGMENTS, MessageReader, message_length


def message(*segments: bytes) -> bytes:
    """A message of these segments; each a multiple of 8 bytes."""
    table = (len(segments) - 1).to_bytes(4, "little")
    table += b"".join((len(segment) // 8).to_bytes(4, "little") for segment in segments)
    return table + bytes(-len(table) % 8) + b"".join(segments)


SEGMENTS = st.lists(st.integers(0, 4).map(lambda words: bytes(8 * words)), min_size=1, max_size=MAX_SEGMENTS)


@given(st.lists(SEGMENTS.map(lambda segments: message(*segments)), max_size=5), st.integers(1, 50))
def test_messages_come_out_as_they_went_in(messages: list[bytes], step: int) -> None:
    data = b"".join(messages)
    reader = MessageReader()
    found = [one for start in range(0, len(data), step) for one in reader.feed(data[start : start + step])]
    assert found == messages


def test_length_is_unknown_until_the_table_is_there() -> None:
    data = message(bytes(8), bytes(16))
    assert [message_length(data[:cut], limit=1000) for cut in range(17)] == [None] * 16 + [len(data)]


@pytest.mark.parametrize("segments", [MAX_SEGMENTS + 1, 2**32])
def test_too_many_segments_are_refused_at_once(segments: int) -> None:
    with pytest.raises(EdgeProtocolError, match="segments"):
        MessageReader().feed((segments - 1).to_bytes(4, "little"))


def test_too_large_a_message_is_refused_before_it_is_buffered() -> None:
    words = MAX_MESSAGE_BYTES // 8 + 1
    with pytest.raises(EdgeProtocolError, match="at most"):
        MessageReader().feed(bytes(4) + words.to_bytes(4, "little"))
