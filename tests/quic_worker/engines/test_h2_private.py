"""The private parts of the package h2 that ours stands on. Where one of these fails, another release is installed:
`actors/quic_worker/engines/h2_lenient.py` is to be read again with it beside."""

import inspect

import h2
import pytest
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError
from h2.stream import H2Stream, StreamClosedBy, StreamState

from actors.quic_worker.engines.h2_lenient import LenientConnection, LenientStream


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
    for name in ("_receive_frame", "_terminate_connection", "_stream_is_closed_by_reset"):
        assert callable(getattr(H2Connection, name))
    assert isinstance(vars(H2Connection)["open_inbound_streams"], property)
    connection = H2Connection()
    assert connection._closed_streams == {}
    assert StreamClosedError(1)._events == []
    assert StreamState.CLOSED in StreamState
    assert StreamClosedBy.SEND_RST_STREAM in StreamClosedBy
