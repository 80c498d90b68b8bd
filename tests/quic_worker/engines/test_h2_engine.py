"""The engine of HTTP/2 before a client by the package h2: streams, credit, turns, and what ends what."""

from collections.abc import Callable, Sequence

import pytest
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.exchange.request import Field
from actors.quic_worker.engine import Closed
from actors.quic_worker.engines.h2_engine import (
    CONNECTION_WINDOW,
    MAX_FRAME_BYTES,
    MAX_STREAMS,
    PIECE,
    STREAM_WINDOW,
    H2Engine,
)
from tests.kit.h2_peer import HEAD, POST, H2Peer

OK: list[Field] = [(b":status", b"200")]
ROOM = 1 << 30


class Listener:
    """Notes what the engine tells, and answers if it is told how."""

    def __init__(self, engine: H2Engine, answer: Callable[[int], None] | None = None) -> None:
        self.engine = engine
        self.answer = answer
        self.consumes = True
        self.opened: dict[int, list[Field]] = {}
        self.bodies: dict[int, bytearray] = {}
        self.ends: list[int] = []
        self.resets: list[int] = []
        self.stops: list[int] = []
        self.closings: list[Closed] = []
        self.leavings: list[str] = []
        self.pongs = 0

    def handshake_completed(self) -> None:
        raise AssertionError("that is TLS's affair")

    def stream_opened(self, stream_id: int, fields: Sequence[Field], ended: bool) -> None:
        assert stream_id not in self.opened
        self.opened[stream_id] = [(bytes(name), bytes(value)) for name, value in fields]
        self.bodies[stream_id] = bytearray()
        if ended:
            self.ends.append(stream_id)
        if self.answer is not None:
            self.answer(stream_id)

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        self.bodies[stream_id] += data
        if self.consumes:
            self.engine.consumed(stream_id, len(data))
        if fin:
            self.ends.append(stream_id)

    def stream_reset(self, stream_id: int, error_code: int) -> None:
        self.resets.append(stream_id)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        self.stops.append(stream_id)

    def closed(self, why: Closed) -> None:
        self.closings.append(why)

    def leaving(self, reason: str) -> None:
        self.leavings.append(reason)

    def pong(self) -> None:
        self.pongs += 1


class Pair:
    """An engine and an edge, and the wire between them."""

    def __init__(self, answer: Callable[["Pair", int], None] | None = None, **windows: int) -> None:
        self.engine = H2Engine()
        self.edge = H2Peer(**windows)
        self.ours = Listener(self.engine, None if answer is None else lambda stream_id: answer(self, stream_id))
        self.room = ROOM

    def settle(self) -> "Pair":
        """Deliver until nothing moves any more."""
        while True:
            to_us, to_edge = self.edge.output(), self.engine.output(self.room)
            if to_edge:
                self.edge.receive(to_edge)
            if to_us:
                self.engine.receive(to_us)
                self.engine.deliver(self.ours)
            if not to_us and not to_edge:
                return self

    def works(self) -> bool:
        """Whether the connection serves another request."""
        before = self.ours.answer
        self.ours.answer = lambda stream_id: answered(self, stream_id)
        stream_id = self.edge.ask()
        self.settle()
        self.ours.answer = before
        return not self.ours.closings and self.edge.answers[stream_id].body == b"answer"


def answered(pair: Pair, stream_id: int) -> None:
    """Answer at once, from within the event of the request."""
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, b"answer", True)


def test_requests_and_answers() -> None:
    pair = Pair(answered)
    streams = [pair.edge.ask([(b"x", b"%d" % number)], b"question") for number in range(3)]
    pair.settle()
    for number, stream_id in enumerate(streams):
        assert pair.ours.opened[stream_id] == [*HEAD, (b"x", b"%d" % number)]
        assert bytes(pair.ours.bodies[stream_id]) == b"question"
        answer = pair.edge.answers[stream_id]
        assert (answer.head, bytes(answer.body), answer.ended, answer.reset) == (OK, b"answer", True, None)
    assert pair.ours.ends == streams
    assert not pair.engine.is_undelivered()
    assert pair.works()


def test_an_answer_without_a_body_is_one_frame() -> None:
    def answer(pair: Pair, stream_id: int) -> None:
        pair.engine.respond(stream_id, [(b":status", b"204")])
        pair.engine.send(stream_id, b"", True)

    pair = Pair(answer)
    pair.edge.ask()
    pair.engine.receive(pair.edge.output())
    pair.engine.output(ROOM)  # settings
    pair.engine.deliver(pair.ours)
    frame = pair.engine.output(ROOM)
    assert len(frame) == 9 + int.from_bytes(frame[:3], "big")
    assert frame[3] == 1
    assert frame[4] & 1, "HEADERS with END_STREAM"


def test_interim_answer_and_trailers() -> None:
    def answer(pair: Pair, stream_id: int) -> None:
        pair.engine.respond(stream_id, [(b":status", b"100")])
        pair.engine.respond(stream_id, OK)
        pair.engine.send(stream_id, b"body", False)
        pair.engine.end(stream_id, [(b"x-trailer", b"1")])

    pair = Pair(answer)
    stream_id = pair.edge.ask()
    answered_with = pair.settle().edge.answers[stream_id]
    assert answered_with.interim == [[(b":status", b"100")]]
    assert (answered_with.head, bytes(answered_with.body)) == (OK, b"body")
    assert answered_with.trailers == [(b"x-trailer", b"1")]
    assert answered_with.ended
    assert pair.works()


def test_request_trailers_end_the_request() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(body=None)
    pair.edge.send(stream_id, b"abc")
    pair.edge.h2.send_headers(stream_id, [(b"x", b"1")], end_stream=True)
    pair.settle()
    assert (bytes(pair.ours.bodies[stream_id]), pair.ours.ends) == (b"abc", [stream_id])


def test_a_large_head_goes_in_pieces_and_arrives() -> None:
    head = [*OK, (b"cf-cloudflared-response-headers", b"x" * 80_000)]
    pair = Pair(lambda pair, stream_id: pair.engine.respond(stream_id, head))
    stream_id = pair.edge.ask(head=[*HEAD, (b"y", b"z" * 60_000)])
    pair.edge.h2.max_header_list_size = 1 << 20  # type: ignore[attr-defined]
    pair.edge.h2.decoder.max_header_list_size = 1 << 20
    assert pair.settle().edge.answers[stream_id].head == head
    assert (b"y", b"z" * 60_000) in pair.ours.opened[stream_id]


# --- flow control ---


def test_an_upload_waits_for_its_consumer_and_the_others_go_on() -> None:
    """Eight origins that read nothing: the ninth upload is not hindered."""
    pair = Pair()
    pair.ours.consumes = False
    body = bytes(2 * STREAM_WINDOW)
    held = [pair.edge.ask(head=POST, body=None) for _ in range(8)]
    for stream_id in held:
        pair.settle()
        pair.edge.send(stream_id, body)
    pair.settle()
    assert {len(pair.ours.bodies[stream_id]) for stream_id in held} == {STREAM_WINDOW}
    pair.ours.consumes = True
    other = pair.edge.ask(head=POST, body=None)
    pair.settle()
    sent = 0
    while sent < len(body):
        step = pair.edge.send(other, body[sent:], fin=True)
        assert step
        sent += step
        pair.settle()
    assert pair.ours.ends == [other]
    pair.engine.consumed(held[0], STREAM_WINDOW)
    pair.settle()
    assert pair.edge.send(held[0], body) == STREAM_WINDOW


@pytest.mark.parametrize("end", ["reset by the edge", "reset by us", "answered early", "ended"])
def test_credit_comes_back_from_uploads_that_nobody_consumed(end: str) -> None:
    """More than the connection's window, over streams that end with their bytes still held by an origin."""
    pair = Pair()
    pair.ours.consumes = False
    for _ in range(3 * CONNECTION_WINDOW // STREAM_WINDOW):
        stream_id = pair.edge.ask(head=POST, body=None)
        pair.settle()
        assert pair.edge.send(stream_id, bytes(STREAM_WINDOW), fin=end == "ended") == STREAM_WINDOW
        pair.settle()
        match end:
            case "reset by the edge":
                pair.edge.h2.reset_stream(stream_id)
            case "reset by us":
                pair.engine.reset(stream_id)
            case _:
                answered(pair, stream_id)
                pair.engine.stop(stream_id)
        pair.engine.discard(stream_id)  # as the connection does when both ends have come
        pair.settle()
    assert pair.engine._streams == {}
    assert pair.engine._held == {}
    assert pair.works()


def test_padding_is_granted_at_once() -> None:
    pair = Pair(answered)
    for _ in range(2 * CONNECTION_WINDOW // STREAM_WINDOW):
        stream_id = pair.edge.ask(head=POST, body=None)
        pair.settle()
        for _ in range(STREAM_WINDOW // 300):
            pair.edge.h2.send_data(stream_id, b"x", pad_length=255)
            if pair.edge.h2.local_flow_control_window(stream_id) < 300:
                break
        pair.edge.h2.end_stream(stream_id)
        pair.settle()
    assert pair.works()


def test_a_download_keeps_to_the_windows_and_to_the_room() -> None:
    pair = Pair(window=100_000, connection_window=1 << 20)
    pair.edge.consumes = False
    stream_id = pair.edge.ask()
    pair.settle()
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, bytes(300_000), True)
    assert len(pair.engine.output(50_000)) < 50_000 + 2 * PIECE
    assert pair.engine.unsent(stream_id) >= 300_000 - 50_000 - PIECE
    pair = Pair(window=100_000, connection_window=1 << 20)
    pair.edge.consumes = False
    stream_id = pair.edge.ask()
    pair.settle()
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, bytes(300_000), True)
    pair.settle()
    assert len(pair.edge.answers[stream_id].body) == 100_000
    assert pair.engine.unsent(stream_id) == 200_000
    assert pair.engine.is_undelivered()
    assert not pair.engine.is_undelivered(stream_id)
    pair.edge.h2.acknowledge_received_data(100_000, stream_id)
    pair.settle()
    assert len(pair.edge.answers[stream_id].body) == 200_000
    pair.edge.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 250_000})
    pair.settle()
    assert pair.edge.answers[stream_id].ended


def test_what_needs_no_window_passes_when_the_connection_s_is_used_up() -> None:
    pair = Pair(connection_window=100_000)
    pair.edge.consumes = False
    large, small = pair.edge.ask(), pair.edge.ask()
    pair.settle()
    pair.engine.respond(large, OK)
    pair.engine.send(large, bytes(300_000), True)
    pair.settle()
    pair.engine.respond(small, [(b":status", b"204")])
    pair.engine.send(small, b"", True)
    pair.settle()
    assert pair.edge.answers[small].ended
    pair.edge.consumes = True
    pair.edge.h2.increment_flow_control_window(1 << 20)
    pair.settle()
    assert pair.edge.answers[large].ended


def test_streams_take_turns() -> None:
    pair = Pair()
    large, small = pair.edge.ask(), pair.edge.ask()
    pair.settle()
    pair.engine.respond(large, OK)
    pair.engine.send(large, bytes(10 * PIECE), True)
    pair.engine.respond(small, OK)
    pair.engine.send(small, b"small", True)
    pair.edge.receive(pair.engine.output(PIECE + 1))
    assert pair.edge.answers[small].ended
    assert len(pair.edge.answers[large].body) == PIECE


def test_many_small_pieces_become_few_frames() -> None:
    pair = Pair()
    stream_id = pair.edge.ask()
    pair.settle()
    pair.engine.respond(stream_id, OK)
    for _ in range(1000):
        pair.engine.send(stream_id, b"piece", False)
    pair.edge.events.clear()
    pair.settle()
    assert bytes(pair.edge.answers[stream_id].body) == b"piece" * 1000
    assert len(pair.edge.events) == 2


# --- ends ---


def test_an_answer_before_the_upload_s_end_arrives_whole_and_the_upload_is_called_off() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.edge.send(stream_id, bytes(100_000))
    pair.settle()
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, bytes(500_000), True)
    pair.engine.stop(stream_id)
    pair.room = PIECE  # most of it is still queued when it is stopped
    pair.edge.send(stream_id, bytes(100_000))
    pair.settle()
    answer = pair.edge.answers[stream_id]
    assert (len(answer.body), answer.ended, answer.reset) == (500_000, True, 0)
    assert len(pair.ours.bodies[stream_id]) == 100_000, "nobody wanted the rest"
    assert pair.ours.resets == []
    assert pair.engine._streams == {}
    assert pair.works()


def test_a_reset_ends_both_directions_and_is_not_repeated() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, b"half", False)
    pair.settle()
    pair.edge.flush()
    pair.engine.reset(stream_id)
    for _ in range(10):  # the edge has not heard of it yet
        pair.edge.h2.send_data(stream_id, b"more")
    pair.edge.receive(pair.engine.output(ROOM))
    assert pair.edge.answers[stream_id].reset == 2
    pair.engine.receive(pair.edge.output())
    pair.engine.deliver(pair.ours)
    assert pair.engine.output(ROOM) == b"", "an uploader is told once"
    assert pair.works()


def test_the_edge_s_reset_is_told_once() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.engine.respond(stream_id, OK)
    pair.engine.send(stream_id, bytes(1000), False)
    pair.edge.h2.reset_stream(stream_id)
    pair.settle()
    assert (pair.ours.resets, pair.ours.stops) == ([stream_id], [stream_id])
    assert pair.engine.unsent(stream_id) == 0
    pair.engine.send(stream_id, b"late", True)
    pair.engine.reset(stream_id)
    pair.engine.stop(stream_id)
    assert pair.works()


def test_a_request_that_is_taken_back_in_the_same_breath() -> None:
    pair = Pair(answered)
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.edge.h2.reset_stream(stream_id)
    pair.settle()
    assert pair.ours.resets == [stream_id]
    assert pair.works()


def test_streams_beyond_the_limit_are_refused_and_nothing_else_happens() -> None:
    pair = Pair()
    pair.edge.h2.remote_settings.max_concurrent_streams = 1 << 30
    pair.edge.h2.remote_settings.acknowledge()
    pair.settle()
    pair.edge.h2.remote_settings.max_concurrent_streams = 1 << 30
    pair.edge.h2.remote_settings.acknowledge()
    streams = [pair.edge.ask() for _ in range(MAX_STREAMS + 2)]
    pair.settle()
    assert [pair.edge.answers[stream_id].reset for stream_id in streams[-3:]] == [None, 7, 7]
    for stream_id in streams[:-2]:
        answered(pair, stream_id)
    pair.settle()
    assert pair.works()


# --- the connection ---


def test_pings_are_answered_and_asked() -> None:
    pair = Pair()
    pair.edge.h2.ping(b"12345678")
    pair.engine.ping()
    pair.settle()
    assert (pair.edge.pongs, pair.ours.pongs) == (1, 1)


def test_goaway_is_told_and_what_runs_goes_on() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.edge.frame(7, 0, 0, bytes(8) + b"maintenance")
    pair.edge.frame(7, 0, 0, bytes(7) + b"\x0b")
    pair.edge.send(stream_id, b"rest", fin=True)
    pair.settle()
    assert pair.ours.leavings == ["maintenance", "ENHANCE_YOUR_CALM"]
    answered(pair, stream_id)
    pair.settle()
    assert pair.edge.answers[stream_id].ended
    assert bytes(pair.ours.bodies[stream_id]) == b"rest"
    assert not pair.ours.closings


def test_our_end_is_a_goaway() -> None:
    pair = Pair()
    pair.settle()
    pair.engine.close(0, "enough")
    goaway = pair.engine.output(ROOM)
    assert goaway[3] == 7
    assert goaway.endswith(b"enough")
    pair.engine.close(0, "again")
    pair.engine.ping()
    pair.engine.receive(b"anything")
    assert pair.engine.output(ROOM) == b""


FATAL: dict[str, tuple[int, int, int, bytes]] = {
    "data on stream 0": (0, 0, 0, b"x"),
    "data on a stream that was never opened": (0, 0, 99, b"x"),
    "padding that is longer than the frame": (0, 8, 1, b"\xff"),
    "settings of 5 bytes": (4, 0, 0, bytes(5)),
    "a window of too much": (4, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
    "an even stream": (1, 4, 2, b"\x82\x87\x84"),
    "an unreadable head": (1, 4, 99, b"\xff\xff\xff\xff\xff\xff"),
    "a continuation of nothing": (9, 4, 1, b""),
    "no increment of the connection's window": (8, 0, 0, bytes(4)),
    "no increment of a stream's that was never opened": (8, 0, 99, bytes(4)),
    "a reset of 3 bytes": (3, 0, 1, bytes(3)),
    "a push": (5, 4, 1, bytes(4)),
    "a frame of too many bytes": (0, 0, 1, bytes(MAX_FRAME_BYTES + 1)),
    "a connection window that was overrun": (8, 0, 0, b"\x7f\xff\xff\xff"),
}


@pytest.mark.parametrize("name", FATAL)
def test_what_ends_the_connection_is_told_in_words(name: str) -> None:
    pair = Pair()
    pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.edge.frame(*FATAL[name])
    pair.engine.receive(pair.edge.output())
    pair.engine.deliver(pair.ours)
    (why,) = pair.ours.closings
    assert why.reason.startswith("the edge broke HTTP/2's rules: ")
    assert why.error_code
    assert pair.engine.output(ROOM)[3] == 7, "the edge is told, too"
    pair.engine.receive(b"more")
    pair.engine.deliver(pair.ours)
    assert len(pair.ours.closings) == 1


def test_a_peer_that_speaks_something_else_ends_it() -> None:
    engine = H2Engine()
    ours = Listener(engine)
    engine.receive(b"GET / HTTP/1.1\r\n\r\n")
    engine.deliver(ours)
    assert len(ours.closings) == 1


ONE_STREAM: dict[str, tuple[int, int, bytes]] = {
    "trailers that do not end it": (1, 4, b"\x82"),
    "no increment of its window": (8, 0, bytes(4)),
    "its window overflows": (8, 0, b"\x7f\xff\xff\xff"),
    "its window was overrun": (0, 0, b""),
    "a head of a response": (1, 4, b"\x88"),
}


@pytest.mark.parametrize("name", ONE_STREAM)
def test_what_concerns_one_stream_costs_one_stream(name: str) -> None:
    kind, flags, payload = ONE_STREAM[name]
    pair = Pair()
    pair.ours.consumes = False
    stream_id = pair.edge.ask(head=POST, body=None)
    other = pair.edge.ask(head=POST, body=None)
    pair.settle()
    if name == "its window was overrun":
        pair.edge.send(stream_id, bytes(STREAM_WINDOW))
        payload = bytes(1000)
    pair.edge.frame(kind, flags, stream_id, payload)
    pair.settle()
    assert pair.edge.answers[stream_id].reset in (1, 3, 5)
    assert (pair.ours.resets, pair.ours.stops) == ([stream_id], [stream_id])
    answered(pair, other)
    pair.settle()
    assert pair.edge.answers[other].body == b"answer"
    assert pair.works()


@pytest.mark.parametrize(
    "fields",
    [
        [(b"content-length", b"5")],
        [(b"content-length", b"many")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"X-Upper", b"1")],
        [(b"connection", b"close")],
        [(b"te", b"gzip")],
        [(b"", b"")],
        [(b"x", b"\0\r\n")],
        [(b":late", b"1")],
    ],
    ids=repr,
)
def test_odd_heads_are_told_as_they_are(fields: list[Field]) -> None:
    pair = Pair(answered)
    stream_id = pair.edge.ask(fields, b"body that is longer", head=POST)
    pair.settle()
    assert pair.ours.opened[stream_id] == [*POST, *fields]
    assert pair.works()


@pytest.mark.parametrize("status", [b"100", b"200"])
def test_a_head_of_a_response_costs_its_stream(status: bytes) -> None:
    pair = Pair()
    pair.settle()
    pair.edge.frame(1, 5, 1, pair.edge.h2.encoder.encode([(b":status", status), *HEAD]))
    pair.engine.receive(pair.edge.output())
    pair.engine.deliver(pair.ours)
    if 1 in pair.ours.opened:
        pair.engine.reset(1, 1)  # as the reader of heads has it
    assert pair.engine.output(ROOM) == bytes.fromhex("000004 03 00 00000001 00000001")
    pair.edge._next = 3
    assert pair.works()


def test_priorities_and_extensions_are_passed_over() -> None:
    pair = Pair()
    stream_id = pair.edge.ask(head=POST, body=None)
    pair.settle()
    pair.edge.frame(2, 0, stream_id, stream_id.to_bytes(4, "big") + b"\0")  # depends on itself
    pair.edge.frame(2, 0, 77, bytes(3))
    pair.edge.frame(0xA, 0, stream_id, b"\0")
    pair.edge.frame(0xFA, 0, 0, bytes(1000))
    pair.edge.frame(1, 0x24, 3, (3).to_bytes(4, "big") + b"\0" + b"\x82\x87\x84")  # a priority within HEADERS
    pair.settle()
    assert 3 in pair.ours.opened
    pair.edge._next = 5
    assert pair.works()


# --- however it comes ---


@settings(max_examples=50)
@given(st.lists(st.integers(min_value=1, max_value=4000), min_size=1, max_size=60), st.integers(0, 3))
def test_however_the_bytes_are_split_the_same_is_told(cuts: list[int], extra: int) -> None:
    edge = H2Peer()
    first = edge.ask([(b"x", b"y" * 40)], bytes(30_000), head=POST)
    for _ in range(extra):
        edge.frame(0xB, 0, 0, b"extension")
        edge.frame(7, 0, 0, bytes(8) + b"bye")
    second = edge.ask()
    stream = edge.output()
    engine = H2Engine()
    ours = Listener(engine)
    at = number = 0
    while at < len(stream):
        size = cuts[number % len(cuts)]
        engine.receive(stream[at : at + size])
        engine.deliver(ours)
        at, number = at + size, number + 1
    assert len(ours.bodies[first]) == 30_000
    assert ours.ends == [first, second]
    assert ours.leavings == ["bye"] * extra
    assert not ours.closings
