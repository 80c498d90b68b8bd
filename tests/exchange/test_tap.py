"""The tap: what an exchange's events become, what leaves when, and what is lost."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.bus.inspection import (
    BATCH_BYTES,
    MAX_BATCH_BYTES,
    Answered,
    Batch,
    Ended,
    Head,
    Part,
    Reached,
    Replay,
    decode_batch,
)
from actors.exchange import reasons
from actors.exchange.backend import Answer, Answering
from actors.exchange.request import Kind, Request
from actors.exchange.tap import INTERVAL, MAX_PARTS, STRIPPED, YOUNG, Tap, head
from tests.exchange.test_journal import Seen

TARGET = Answering(Answer(200))


class Line:
    """A tap, its clock, and who listens."""

    def __init__(self, body_limit: int = 10) -> None:
        self.time = 50.0
        self.batches: list[Batch] = []
        self.is_open = True
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.tap = Tap(
            self.send,
            body_limit=body_limit,
            now=lambda: self.time,
            wall=lambda: 1000.0 + self.time,
            call_later=self.call_later,
        )

    def send(self, message: bytes) -> bool:
        assert len(message) <= MAX_BATCH_BYTES
        if self.is_open:
            self.batches.append(decode_batch(message))
        return self.is_open

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        entry = (seconds, callback)
        self.timers.append(entry)

        class Timer:
            def cancel(_self) -> None:  # noqa: N805
                self.timers.remove(entry)

        return Timer()

    def fire(self) -> None:
        """The timer is due, and nothing is young any more."""
        ((_, callback),) = self.timers
        self.timers.clear()
        self.time += YOUNG
        # As the event loop has it: one that has fired cannot be cancelled.
        self.tap._timer = None
        callback()

    @property
    def parts(self) -> list[Part]:
        return [part.read() for batch in self.batches for part in batch.parts]


def seen(target: bytes = b"/", *fields: tuple[bytes, bytes], kind: Kind = Kind.HTTP) -> Seen:
    return Seen(Request(kind, b"GET", target, b"a.example", fields))


def test_exchange_that_is_over_at_once_is_one_part() -> None:
    line, one = Line(), seen(b"/x?y", (b"A", b"1"))
    line.tap.opened(one)
    assert [seconds for seconds, _ in line.timers] == [INTERVAL]
    line.time += 1.0
    line.tap.reached(one, TARGET)
    line.tap.request_data(one, b"abc")
    one.seconds, one.bytes_in, one.bytes_out = 2.0, 3, 5
    line.tap.answered(one, [(b"B", b"2")])
    line.tap.response_data(one, b"hello")
    line.tap.ended(one)
    assert not line.batches
    line.fire()
    assert line.parts == [
        Part(
            1,
            1050.0,
            head=Head("http", b"GET", b"/x?y", b"a.example", [(b"A", b"1")]),
            reached=Reached(1.0, "http_status:200"),
            answered=Answered(2.0, 200, [(b"B", b"2")]),
            request=[b"abc"],
            response=[b"hello"],
            request_bytes=3,
            response_bytes=5,
            ended=Ended(2.0, 200),
        )
    ]
    assert not line.timers, "nothing is left to be said"


def test_one_that_goes_on_is_told_of_bit_by_bit() -> None:
    line, one = Line(), seen()
    line.tap.opened(one)
    line.fire()
    one.bytes_out = 3
    line.tap.response_data(one, b"abc")
    line.fire()
    line.tap.ended(one)
    line.fire()
    first, second, third = line.parts
    assert (first.head is not None, second.head, third.head) == (True, None, None)
    assert (second.response, second.response_bytes, third.response, third.response_bytes) == ([b"abc"], 3, [], 3)
    assert third.ended is not None


def test_one_that_is_young_is_told_of_when_it_ends() -> None:
    line, short, long = Line(), seen(), seen()
    line.tap.opened(short)
    line.tap.opened(long)
    line.tap.flush()
    assert not line.parts
    assert [seconds for seconds, _ in line.timers] == [INTERVAL]
    line.tap.ended(short)
    line.tap.flush()
    assert [part.number for part in line.parts] == [1]
    line.fire()
    assert [part.number for part in line.parts] == [1, 2]
    assert line.parts[1].ended is None


def test_bodies_are_shown_up_to_the_limit_and_counted_beyond() -> None:
    line, one = Line(body_limit=5), seen()
    line.tap.opened(one)
    for data in (b"abc", b"defg", b"hi"):
        one.bytes_in += len(data)
        line.tap.request_data(one, data)
    line.tap.ended(one)
    line.fire()
    (part,) = line.parts
    assert (part.request, part.request_bytes) == ([b"abc", b"de"], 9)


def test_body_that_went_nowhere_is_shown() -> None:
    """The origin is down: what came is sent again once it is up."""
    line, one = Line(), seen()
    one.held, one.is_heard_out = b"abcde", False
    line.tap.opened(one)
    line.tap.ended(one)
    line.fire()
    (part,) = line.parts
    assert (part.request, part.request_bytes) == ([b"abcde"], 5)
    assert part.ended is not None
    assert part.ended.is_cut
    assert line.tap.keeps_bodies


def test_large_body_that_went_nowhere_does_not_leave_without_its_end() -> None:
    """It is more than a batch: how it ended goes with it, or nobody would ever hear of that."""
    line, one = Line(body_limit=2 * BATCH_BYTES), seen()
    one.held, one.status, one.is_substitute, one.reason = bytes(BATCH_BYTES), 502, True, reasons.SLOW
    line.tap.opened(one)
    line.tap.ended(one)
    line.fire()
    (part,) = line.parts
    assert (part.request, part.request_bytes) == ([bytes(BATCH_BYTES)], BATCH_BYTES)
    assert part.ended is not None
    assert part.ended.status == 502
    assert not line.timers, "nothing is left to be said"


def test_many_bodies_that_went_nowhere_all_end() -> None:
    line = Line(body_limit=BATCH_BYTES)
    ones = [seen() for _ in range(30)]
    for one in ones:
        one.held = bytes(64 * 1024)
        line.tap.opened(one)
    for one in ones:
        line.tap.ended(one)
    line.tap.close()
    ended = [part.number for part in line.parts if part.ended is not None]
    assert sorted(ended) == list(range(1, 31))


@pytest.mark.parametrize("event", ["reached", "answered", "request", "response", "said", "ended"])
@pytest.mark.parametrize("admitted", [True, False])
def test_whatever_fills_the_batch_nothing_is_lost(event: str, admitted: bool) -> None:
    """Each event is told, though the one before has made all leave, or the next one does."""
    line, one = Line(body_limit=4 * BATCH_BYTES), seen(kind=Kind.WEBSOCKET)
    big = bytes(BATCH_BYTES)
    one.is_admitted = admitted
    line.tap.opened(one)
    if event == "request":
        line.tap.request_data(one, big)
    one.is_admitted = True
    if event == "reached":
        line.tap.flush()
    line.tap.reached(one, TARGET)
    one.status = 101 if event == "said" else 200
    if event == "answered":
        line.tap.request_data(one, big)
    line.tap.answered(one, [])
    if event in ("response", "said"):
        line.tap.response_data(one, big)
        line.tap.request_data(one, big)
    if event == "ended":
        one.held = big
    line.tap.ended(one)
    line.tap.close()
    parts = line.parts
    assert [sum(1 for part in parts if getattr(part, name) is not None) for name in SAID] == [1] * len(SAID)
    whole = sum(len(data) for part in parts for data in (*part.request, *part.response, *(raw[2] for raw in part.raw)))
    assert whole == {"reached": 0, "response": 2, "said": 2}.get(event, 1) * BATCH_BYTES


SAID = ("head", "reached", "answered", "ended")


def test_failure_is_told_in_words() -> None:
    line, one = Line(), seen()
    one.reason, one.error, one.is_substitute, one.status = reasons.SLOW, "did not answer", True, 504
    line.tap.opened(one)
    line.tap.ended(one)
    line.fire()
    ended = Ended(0.0, 504, "origin_slow", "did not answer", reasons.SLOW.hint, is_substitute=True)
    assert line.parts[0].ended == ended


def test_websocket_is_told_byte_by_byte_in_order() -> None:
    line, one = Line(body_limit=2), seen(kind=Kind.WEBSOCKET)
    line.tap.opened(one)
    one.status = 101
    line.tap.answered(one, [])
    line.tap.response_data(one, b"server first")
    line.time += 0.5
    line.tap.request_data(one, b"then the visitor")
    line.fire()
    (part,) = line.parts
    assert part.raw == [(0.0, False, b"server first"), (0.5, True, b"then the visitor")]


def test_raw_tunnel_is_counted_alone() -> None:
    line, one = Line(), seen(kind=Kind.TCP)
    line.tap.opened(one)
    one.bytes_in = 3
    line.tap.request_data(one, b"SSH")
    line.tap.ended(one)
    line.fire()
    assert (line.parts[0].request, line.parts[0].raw, line.parts[0].request_bytes) == ([], [], 3)


def test_much_leaves_at_once() -> None:
    line, one = Line(body_limit=BATCH_BYTES), seen()
    line.tap.opened(one)
    line.tap.response_data(one, bytes(BATCH_BYTES))
    assert len(line.parts) == 1
    for _ in range(MAX_PARTS):
        line.tap.opened(seen())
    assert [seconds for seconds, _ in line.timers] == [0.0]
    line.fire()
    assert len(line.parts) == MAX_PARTS + 1


def test_young_websocket_beside_much_that_ends_is_told_of_in_time() -> None:
    line, talk = Line(), seen(kind=Kind.WEBSOCKET)
    line.tap.opened(talk)
    talk.status = 101
    line.tap.answered(talk, [])
    for number in range(200):  # milliseconds: what ends leaves again and again, and the talk is young all the while
        line.time += 0.001
        line.tap.response_data(talk, bytes(20_000))
        line.tap.opened(one := seen(b"/%d" % number, (b"A", bytes(30_000))))
        line.tap.ended(one)
    line.fire()
    heard = [len(data) for part in line.parts for _, _, data in part.raw]
    assert sum(heard) == 200 * 20_000
    assert max(sum(len(data) for _, _, data in part.raw) for part in line.parts) <= BATCH_BYTES + 20_000
    assert len({part.number for part in line.parts}) == 201
    assert not line.batches[-1].lost


def test_bytes_of_what_has_ended_do_not_hurry_the_others() -> None:
    line = Line(body_limit=60_000)
    for _ in range(10):
        line.tap.opened(one := seen())
        line.tap.response_data(one, bytes(60_000))
        line.tap.ended(one)
    line.fire()
    assert [part.number for part in line.parts] == list(range(1, 11)), "one part each"


def test_bodies_of_what_has_ended_are_not_gathered_for_long() -> None:
    line = Line(body_limit=2 * BATCH_BYTES)
    for _ in range(4):
        line.tap.opened(one := seen())
        line.tap.response_data(one, bytes(BATCH_BYTES - 1))
        line.tap.ended(one)
        assert sum(len(data) for each in line.tap._over for data in each.part.response) < 2 * BATCH_BYTES
    assert [part.number for part in line.parts] == [1, 2, 3], "the timer has not fired"


def test_much_that_is_said_at_once_is_told_of_bit_by_bit() -> None:
    line, one = Line(), seen(kind=Kind.WEBSOCKET)
    line.tap.opened(one)
    one.status = 101
    line.tap.answered(one, [])
    line.tap.request_data(one, bytes(MAX_BATCH_BYTES + 1))
    line.tap.ended(one)
    line.fire()
    assert sum(len(data) for part in line.parts for _, _, data in part.raw) == MAX_BATCH_BYTES + 1
    assert not line.batches[-1].lost


def test_part_that_is_too_large_is_lost_alone() -> None:
    line = Line()
    line.tap.opened(small := seen())
    line.tap.ended(small)
    line.tap.opened(large := seen(b"/", (b"A", bytes(MAX_BATCH_BYTES))))
    line.tap.ended(large)
    line.tap.opened(last := seen())
    line.tap.ended(last)
    line.fire()
    assert [part.number for part in line.parts] == [1, 3]
    assert line.batches[-1].lost == 1


def test_heads_that_do_not_fit_into_one_message_leave_in_several() -> None:
    line = Line()
    for _ in range(40):
        line.tap.opened(seen(b"/", (b"A", bytes(150_000))))
    line.fire()
    assert len(line.parts) == 40
    assert len(line.batches) > 1


def test_what_nobody_takes_is_counted_and_the_rest_of_it_not_told() -> None:
    line, new, old = Line(), seen(), seen()
    line.tap.opened(old)
    line.fire()
    line.is_open = False
    line.tap.opened(new)
    line.tap.response_data(old, b"lost")
    line.fire()
    line.is_open = True
    line.tap.response_data(new, b"x")
    line.tap.response_data(old, b"after the gap")
    line.tap.ended(new)
    line.tap.ended(old)
    line.fire()
    assert [(part.number, part.is_torn, part.response) for part in line.parts[1:]] == [(1, True, [])]
    assert line.batches[-1].lost == 2


def test_sign_of_life() -> None:
    line = Line()
    line.tap.flush(alive=True)
    line.tap.flush()
    assert line.batches == [Batch()]
    line.tap.opened(seen())
    line.tap.close()
    assert len(line.parts) == 1
    assert not line.timers


def test_replay_is_marked() -> None:
    line, one = Line(), seen()
    line.tap.is_replay(one, Replay(7, "0.1.3", Head("http", b"GET", b"/", b"a", [])))
    line.tap.opened(one)
    line.fire()
    line.tap.ended(one)
    line.fire()
    assert [(part.replay, part.replay_of, part.number) for part in line.parts] == [(7, "0.1.3", 1)] * 2


def test_head_waits_for_the_guard_and_is_what_it_left() -> None:
    """Before the verdict it may hold what is the guard's own."""
    line, one = Line(), seen(b"/?access_token=s3cret", (b"Authorization", b"s3cret"))
    one.is_admitted = False
    line.tap.opened(one)
    line.fire()
    assert not line.parts
    one.request, one.is_admitted = Request(Kind.HTTP, b"GET", b"/", b"a.example", ()), True
    line.fire()
    (part,) = line.parts
    assert part.head == Head("http", b"GET", b"/", b"a.example", [])


@pytest.mark.parametrize("ends_at_once", [True, False])
def test_what_the_guard_does_not_let_in_is_shown_without_secrets(ends_at_once: bool) -> None:
    fields = ((b"AUTHORIZATION", b"Basic s3cret"), (b"Cookie", b"s3cret=1"), (b"A", b"kept"))
    line, one = Line(), seen(b"/a?x=1&access_token=s3cret&My-Token=s3cret2&y=2", *fields)
    one.is_admitted = False
    line.tap.opened(one)
    if not ends_at_once:
        line.fire()
    one.status, one.is_substitute = 401, True
    line.tap.ended(one)
    line.fire()
    (part,) = line.parts
    assert part.head is not None
    assert part.head.is_stripped
    assert part.head.target == b"/a?x=1&access_token=[taken out]&My-Token=[taken out]&y=2"
    assert part.head.fields == [(b"AUTHORIZATION", STRIPPED), (b"Cookie", STRIPPED), (b"A", b"kept")]


@pytest.mark.parametrize("piece", [b"?", b"&", b"token", b"=", b";", b"a=token", b"&token=x", b"%00"])
def test_longest_targets_cost_little(piece: bytes) -> None:
    """A visitor who is refused must not keep a worker busy: this would take minutes if it went by the square."""
    target = b"/?" + piece * (200_000 // len(piece))
    assert head(Request(Kind.HTTP, b"GET", target, b"a", ()), is_stripped=True).is_stripped


def test_head_of_any_kind() -> None:
    for kind, word in ((Kind.HTTP, "http"), (Kind.WEBSOCKET, "websocket"), (Kind.TCP, "tcp")):
        assert head(Request(kind, b"GET", b"/", b"a", ()), is_stripped=False).kind == word
