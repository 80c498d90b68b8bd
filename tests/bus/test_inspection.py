"""Messages between workers and the inspector: they survive their way, fit, and hostile ones are an expected error."""

import random

import pytest

from actors.bus.inspection import (
    BATCH_BYTES,
    MAX_BATCH_BYTES,
    MAX_BODY_BYTES,
    Answered,
    Batch,
    Ended,
    Head,
    Part,
    Reached,
    Replay,
    decode_batch,
    decode_replay,
    encode,
    pack_part,
)
from actors.bus.messages import DECODE_ERRORS
from actors.exchange.http1 import MAX_HEAD_BYTES

HEAD = Head("http", b"GET", b"/\xff", b"a", [(b"A", b"\xe4")])


def test_there_and_back() -> None:
    full = Part(
        3,
        1.5,
        replay_of="0.1.2",
        replay=4,
        rule="* → x",
        head=HEAD,
        reached=Reached(0.1, "x", is_repeated=True),
        answered=Answered(0.2, 101, [(b"B", b"")]),
        request=[b"a"],
        response=[b"b"],
        raw=[(0.1, True, b"\x81")],
        request_bytes=1,
        response_bytes=2,
        is_torn=True,
        ended=Ended(0.3, None, "r", "e", "h", is_substitute=True),
    )
    batch = Batch([pack_part(full), pack_part(Part(1, 2.0))], 9)
    assert decode_batch(encode(batch)) == batch
    first, second = batch.parts
    assert (first.number, first.is_first, first.speaks, first.replay) == (3, True, True, 4)
    assert (second.is_first, second.speaks, second.replay) == (False, False, 0)
    assert [each.read() for each in batch.parts] == [full, Part(1, 2.0)]
    replay = Replay(1, "0.1.2", HEAD, b"body")
    assert decode_replay(encode(replay)) == replay


def test_largest_that_there_can_be_fit() -> None:
    name = b"x" * (MAX_HEAD_BYTES - 10)
    large = Head("http", b"GET", b"/", b"a", [(b"A", name)])
    replay = Replay(1, "0.1.2", large, bytes(MAX_BODY_BYTES))
    assert len(encode(replay)) < MAX_BATCH_BYTES
    part = Part(1, 1.0, head=large, answered=Answered(0.1, 200, [(b"A", bytes(256 * 1024))]))
    part.response = [bytes(BATCH_BYTES), bytes(MAX_BODY_BYTES)]
    assert len(encode(Batch([pack_part(part)]))) < MAX_BATCH_BYTES


@pytest.mark.parametrize("decode", [decode_batch, decode_replay])
def test_hostile_bytes(decode: object) -> None:
    dice = random.Random(1)
    whole = encode(Batch([pack_part(Part(1, 1.0, head=HEAD))]))
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            decode(bytes(data))  # type: ignore[operator]
        except DECODE_ERRORS:
            continue
