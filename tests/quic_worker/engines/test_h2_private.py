"""The private parts of the package h2 that ours stands on. Where one of these fails, another release is installed:
`actors/quic_worker/engines/h2_lenient.py` is to be read again with it beside."""

import inspect

import h2
import pytest
from h2.connection import H2Connection
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hyperframe.frame import HeadersFrame

from actors.exchange.request import Field
from actors.quic_worker.engines.h2_lenient import LenientConnection, LenientStream
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
"""Part of it goes into HPACK's table."""


@pytest.mark.parametrize(
    "answer",
    [
        [(ANSWER, True)],
        [(ANSWER, False), (b"hello", True)],
        [(ANSWER, False), (b"hel", False), (memoryview(b"lo"), False), (b"", True)],
        [([(b":status", b"103"), (b"link", b"a")], False), (ANSWER, False), (ANSWER[1:], True)],
        [([*ANSWER, (b"large", b"l" * 40_000)], False), ([(b"large", b"l" * 16384)], True)],
        [([*ANSWER, (b"to-the-byte", b"l" * (16384 - 130))], True)],
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
