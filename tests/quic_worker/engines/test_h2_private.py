"""The private parts of the package h2 that ours stands on. Where one of these fails, another release is installed:
`actors/quic_worker/engines/h2_lenient.py` is to be read again with it beside."""

import inspect
from collections.abc import Callable

import h2
import hpack
import pytest
from h2.connection import H2Connection, _decode_headers
from h2.events import Event, StreamEnded
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hyperframe.frame import HeadersFrame

from actors.exchange.request import Field
from actors.quic_worker.engines.h2_frames import END_HEADERS, END_STREAM, HEADERS, header
from actors.quic_worker.engines.h2_lenient import LenientConnection, LenientStream
from actors.wire.hpack import Encoder
from tests.kit.h2_peer import HEAD


def test_release() -> None:
    assert h2.__version__.startswith("4.4.")


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        (LenientStream, H2Stream, "_initialize_content_length"),
        (LenientStream, H2Stream, "_track_content_length"),
        (LenientStream, H2Stream, "receive_headers"),
        (LenientStream, H2Stream, "receive_data"),
        (LenientConnection, H2Connection, "_begin_new_stream"),
        (LenientConnection, H2Connection, "_receive_priority_frame"),
        (LenientConnection, H2Connection, "_handle_data_on_closed_stream"),
    ],
)
def test_what_is_replaced_is_there_and_takes_the_same(ours: type, theirs: type, name: str) -> None:
    assert name in vars(ours)
    replaced, by = inspect.signature(vars(theirs)[name]), inspect.signature(vars(ours)[name])
    assert list(replaced.parameters) == list(by.parameters)


def test_what_is_called_and_set_is_there() -> None:
    for name in ("_receive_frame", "_receive_headers_frame", "_terminate_connection", "_stream_is_closed_by_reset"):
        assert callable(getattr(H2Connection, name))
    assert list(inspect.signature(_decode_headers).parameters) == ["decoder", "encoded_header_block"]
    assert isinstance(vars(H2Connection)["open_inbound_streams"], property)
    connection = H2Connection()
    assert connection._closed_streams == {}
    assert connection._data_to_send == bytearray()
    assert isinstance(connection._data_to_send, bytearray)
    assert HeadersFrame in connection._frame_dispatch_table
    assert StreamClosedError(1)._events == []
    assert StreamState.CLOSED in StreamState
    assert StreamClosedBy.SEND_RST_STREAM in StreamClosedBy


def with_a_request(method: bytes = b"GET") -> LenientConnection:
    """A server's end, to which a client has sent one request without a body."""
    made = LenientConnection({SettingCodes.MAX_FRAME_SIZE: 16384, SettingCodes.MAX_HEADER_LIST_SIZE: 2**20})
    client = H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(b":method", method), *HEAD[1:]], end_stream=True)
    made.receive_data(client.data_to_send())
    made.data_to_send()
    return made


ANSWER = [(b":status", b"200"), (b"content-length", b"5"), (b"x", b"y" * 100), (b"short", b"z")]


def filling(frame: int) -> list[Field]:
    """An answer whose block has so many bytes."""
    rest = len(Encoder().encode([*ANSWER, (b"large", b"l" * frame)])) - frame
    return [*ANSWER, (b"large", b"l" * (frame - rest))]


@pytest.mark.parametrize(
    "answer",
    [
        [(ANSWER, True)],
        [(ANSWER, False), (b"hello", True)],
        [(ANSWER, False), (b"hel", False), (memoryview(b"lo"), False), (b"", True)],
        [([(b":status", b"103"), (b"link", b"a")], False), (ANSWER, False), (ANSWER[1:], True)],
        [([*ANSWER, (b"large", b"l" * 40_000)], False), ([(b"large", b"l" * 16384)], True)],
        [(filling(16384), True)],
        [(filling(16385), True)],
    ],
)
def test_what_is_sent_is_what_h2_would_send(answer: list[tuple[list[Field] | bytes | memoryview, bool]]) -> None:
    ours, theirs = with_a_request(), with_a_request()
    for what, ends in answer:
        if isinstance(what, list):
            ours.send_head(1, what, ends=ends)
            theirs.send_headers(1, what, end_stream=ends)
        else:
            ours.send_body(1, what, ends=ends)
            theirs.send_data(1, what, end_stream=ends)
        assert ours.data_to_send() == theirs.data_to_send()
        assert ours.local_flow_control_window(1) == theirs.local_flow_control_window(1)
        assert ours.outbound_flow_control_window == theirs.outbound_flow_control_window
        assert ours.is_open(1) == theirs.is_open(1)


@pytest.mark.parametrize("more", ["head", "body"])
def test_nothing_is_sent_after_the_end(more: str) -> None:
    ours = with_a_request()
    ours.send_head(1, ANSWER, ends=True)
    with pytest.raises(ProtocolError):
        if more == "head":
            ours.send_head(1, ANSWER, ends=True)
        else:
            ours.send_body(1, b"x", ends=True)


def written(stream: H2Stream) -> dict[str, object]:
    """All that h2 knows of a stream."""
    known = dict(vars(stream))
    known |= {"state_machine": vars(known["state_machine"]), "_inbound_window_manager": None, "config": None}
    return known | {"window": stream.inbound_flow_control_window, "kind": type(stream)}


@pytest.mark.parametrize("ended", [True, False])
def test_a_request_that_is_opened_is_as_h2_would_open_it(ended: bool) -> None:
    ours, theirs = with_a_request(), with_a_request()
    block = hpack.Encoder().encode([*HEAD, (b"x-something", b"new")])
    first, *rest = theirs.receive_data(header(len(block), HEADERS, END_HEADERS | ended, 3) + block)
    assert ours.receive_head(3, block, ended=ended) == [first]
    assert all(isinstance(event, StreamEnded) for event in rest)
    assert written(ours.streams[3]) == written(theirs.streams[3])
    assert ours.highest_inbound_stream_id == theirs.highest_inbound_stream_id == 3
    assert ours.state_machine.state is theirs.state_machine.state
    assert ours.data_to_send() == theirs.data_to_send() == b""


def outcome(made: LenientConnection, act: Callable[[], list[Event]]) -> tuple[object, bytes]:
    """What it tells, or which error it is; and what is sent then, but for the words of GOAWAY."""
    try:
        told: object = act()
    except ProtocolError as error:
        told = type(error)
    return told, made.data_to_send()[:17]


@pytest.mark.parametrize(
    ("stream_id", "block"),
    [
        (3, b"\x80"),
        (3, b"\xff\x20"),
        (3, b"\x40\x01a\x7f\xa1\xff\x3f" + bytes(1 << 20)),
        (2, b"\x82"),
        (1, b"\x82"),
    ],
    ids=[
        "no index",
        "unknown index",
        "too large a list",
        "a stream that is not the client's",
        "a stream that has ended",
    ],
)
def test_what_is_no_request_ends_as_h2_would_end_it(stream_id: int, block: bytes) -> None:
    ours, theirs = with_a_request(), with_a_request()
    theirs.max_inbound_frame_size = 1 << 22
    frame = header(len(block), HEADERS, END_HEADERS | END_STREAM, stream_id) + block
    expected = outcome(theirs, lambda: theirs.receive_data(frame))
    assert outcome(ours, lambda: ours.receive_head(stream_id, block, ended=True)) == expected
