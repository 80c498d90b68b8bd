"""The ring of exchanges: parts in, bounded memory, and what has changed since."""

import random
import zlib

import pytest

from actors.bus.inspection import Answered, Batch, Ended, Head, Packed, Part
from actors.inspector.store import MAX_UNREAD, OVERHEAD, TURN, Store
from actors.inspector.websocket import SLICE
from tests.kit.seen import FIRST, WORKER, batch_of, part, store, take

HEAD = Head("http", b"POST", b"/hook", b"a.example", [(b"A", b"1")])


def ids(made: Store) -> list[str]:
    return [entry.id for entry in made.newest()]


def test_parts_of_one_exchange_become_one() -> None:
    made = store()
    take(made, batch_of(Part(1, 5.0, head=HEAD, request=[b"ab"], request_bytes=2)))
    (entry,) = made.newest()
    assert (entry.state, entry.status, bytes(entry.request.data)) == ("open", None, b"ab")
    take(made, batch_of(Part(1, 5.0, answered=Answered(0.1, 201, []), request=[b"c"], request_bytes=3)))
    assert made.get(entry.id) is entry
    assert (entry.state, entry.status, bytes(entry.request.data)) == ("answered", 201, b"abc")
    ended = Ended(0.2, 201)
    take(made, batch_of(Part(1, 5.0, response=[b"x"], response_bytes=7, request_bytes=3, ended=ended)))
    assert made.get(entry.id) is entry
    assert (entry.state, entry.response.size, entry.response.is_complete) == ("ended", 7, False)
    assert entry.request.is_complete
    assert len(made) == 1


def test_what_has_lost_its_beginning_is_passed_over() -> None:
    made = store()
    take(made, batch_of(Part(1, 5.0, ended=Ended(0.2, 200)), lost=3))
    assert (len(made), made.dropped) == (0, 3)
    take(made, Batch(lost=3))
    take(made, Batch(lost=2), "1.1")
    assert made.dropped == 5, "each worker tells how many there were by now"


def test_bytes_that_are_missing_end_a_body() -> None:
    made = store()
    take(made, batch_of(Part(1, 5.0, head=HEAD, request=[b"ab"], request_bytes=2)))
    take(made, batch_of(Part(1, 5.0, request=[b"yz"], request_bytes=9, is_torn=True)))
    (entry,) = made.newest()
    assert not entry.request.is_complete
    assert bytes(entry.request.data)[:2] == b"ab"
    take(made, batch_of(Part(1, 5.0, request=[b"q"], request_bytes=10)))
    assert b"q" not in entry.request.data


def test_the_oldest_go_when_there_are_too_many() -> None:
    made = store(*(part(number) for number in range(1, 6)), max_exchanges=3)
    assert ids(made) == ["0.1.5", "0.1.4", "0.1.3"]
    assert made.get("0.1.1") is None
    assert made.removed_since(FIRST) == ["0.1.1", "0.1.2"]
    assert made.seen == 5


def test_the_oldest_go_when_they_take_too_much() -> None:
    made = store(*(part(number, body=bytes(1000)) for number in range(1, 50)), max_bytes=10 * (OVERHEAD + 1500))
    assert made.held <= made.max_bytes
    assert 9 <= len(made) < 20
    assert made.held == sum(kept.held for kept in made._by_id.values())


def test_one_that_is_larger_than_all_may_be_is_not_kept() -> None:
    made = store(part(1, body=bytes(9000)), max_bytes=5000)
    assert (len(made), made.held) == (0, 0)


def test_what_has_changed_since() -> None:
    made = store(part(1), part(2))
    seen = made.sequence
    assert [entry.id for entry in made.changed_since(FIRST)] == ["0.1.1", "0.1.2"]
    assert made.changed_since(seen) == []
    take(made, batch_of(Part(1, 5.0, ended=Ended(0.3, 200))))
    assert [entry.id for entry in made.changed_since(seen)] == ["0.1.1"], "each once, in the order of the changes"
    assert [entry.id for entry in made.changed_since(FIRST)] == ["0.1.2", "0.1.1"]


def test_what_cannot_be_known_is_said() -> None:
    made = store(*(part(number) for number in range(1, 4)), max_exchanges=2)
    assert made.knows_since(FIRST)
    assert not made.knows_since(FIRST - 1), "an inspector that was there before"
    assert not made.knows_since(made.sequence + 1)
    before = made.sequence
    made.clear()
    assert (len(made), made.held) == (0, 0)
    assert not made.knows_since(before)
    assert made.knows_since(made.sequence)
    take(made, batch_of(*(part(number) for number in range(10, 20))))
    assert not made.knows_since(before + 1), "more has gone than is remembered"


def test_memory_is_counted_whatever_comes() -> None:
    dice = random.Random(7)
    made = store(max_exchanges=20, max_bytes=200_000)
    for _ in range(3000):
        number = dice.randrange(1, 200)
        more = Part(number, 1.0, request=[bytes(dice.randrange(3000))], request_bytes=dice.randrange(9000))
        if dice.random() < 0.5:
            more.head = HEAD
        if dice.random() < 0.2:
            more.answered = Answered(0.1, dice.choice((101, 200)), [(b"A", bytes(50))])
        if dice.random() < 0.3:
            more.raw = [(0.1, dice.random() < 0.5, dice.randbytes(50))]
        if dice.random() < 0.3:
            more.ended = Ended(0.1, 200)
        if dice.random() < 0.01:
            made.clear()
        take(made, batch_of(more))
        assert made.held == sum(kept.held for kept in made._by_id.values())
        assert made.held <= 200_000
        assert len(made) <= 20


def bombs(count: int) -> list[Part]:
    """WebSockets, each with 50 MB of zeros that deflate has made small."""
    pressed = zlib.compressobj(wbits=-15)
    payload = pressed.compress(bytes(50_000_000)) + pressed.flush(zlib.Z_SYNC_FLUSH)[:-4]
    frame = b"\xc2\x7e" + len(payload).to_bytes(2) + payload
    answered = Answered(0.1, 101, [(b"Sec-WebSocket-Extensions", b"permessage-deflate")])
    return [
        Part(number, 5.0, head=HEAD, answered=answered, raw=[(0.2, False, frame)], ended=Ended(0.3, 101))
        for number in range(1, count + 1)
    ]


def test_others_have_their_turns_while_much_is_read() -> None:
    made = store(part(1000))
    read = 0
    for _ in made.take(WORKER, batch_of(*bombs(3))):
        now = sum(said.size for entry in made.newest() if entry.conversation for said in entry.conversation.messages)
        assert 0 < now - read <= TURN + 1100 * SLICE, "a little in each turn"
        read = now
        assert made.get("0.1.1000") is not None
        assert max(entry.sequence for entry in made.newest()) == made.sequence, "what was read by now is news"
    assert read >= 140_000_000
    assert [entry.state for entry in made.newest()] == ["ended"] * 4


@pytest.mark.parametrize("cleared", [True, False])
def test_what_is_gone_between_turns_is_not_read_on(cleared: bool) -> None:
    made = store(max_exchanges=2)
    for number, _ in enumerate(made.take(WORKER, batch_of(*bombs(3)))):
        if cleared and number % 5 == 0:
            made.clear()
        assert made.held == sum(kept.held for kept in made._by_id.values())
    assert made.held == sum(kept.held for kept in made._by_id.values())
    assert [entry.id for entry in made.changed_since(FIRST)] == [entry.id for entry in made.oldest()]


def test_what_is_told_of_in_another_order_is_shown_in_the_visitors() -> None:
    made = store(part(3), part(1), part(2))
    assert [entry.id for entry in made.oldest()] == ["0.1.1", "0.1.2", "0.1.3"]


def test_what_no_worker_would_say_is_dropped_when_it_is_looked_at() -> None:
    made = store(part(1))
    take(made, Batch([Packed(2, 1.0, is_first=True, speaks=False, replay=0, packed=b"\xc1")]))
    take(made, Batch([Packed(3, 1.0, is_first=True, speaks=True, replay=0, packed=b"")]))
    take(made, batch_of(Part(3, 1.0, ended=Ended(0.1, 200))))
    assert [entry.id for entry in made.newest()] == ["0.1.1"]
    assert made.get("0.1.2") is None
    assert made.dropped == 2
    assert made.held == sum(kept.held for kept in made._by_id.values())


def test_a_long_stream_does_not_pile_up_unread() -> None:
    made = store(part(1, ended=None))
    for size in range(1000):
        take(made, batch_of(Part(1, 1.0, response_bytes=size)))
        assert all(len(kept.unread) <= MAX_UNREAD for kept in made._by_id.values())
    assert made.held < 2000
    assert next(made.newest()).response.size == 999


def test_what_is_cleared_while_somebody_reads_it_is_not_counted() -> None:
    made = store(part(1), part(2))
    reading = made.oldest()
    next(reading)
    made.clear()
    next(reading)
    assert made.held == 0
