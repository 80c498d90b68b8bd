"""What of aioquic's inside is leaned on, and whether it is still as it was.

pyproject.toml pins the release. Whoever raises the pin is told here which sources differ: read what changed in each,
mend what stands over it in `actors/quic_worker/engines/aioquic_*.py` and `actors/local_edge/tls.py`, run
`tests/quic_worker`, and put the new digest here. A name that is gone fails in the same way.
"""

import hashlib
import inspect
from typing import Any

import aioquic
import pytest
from aioquic import tls
from aioquic.quic import connection, packet_builder, recovery, stream

from actors.local_edge.tls import EdgeConnection, EdgeContext
from actors.quic_worker.engines.aioquic_credit import CreditedConnection
from actors.quic_worker.engines.aioquic_tls import ClientContext

RELEASE = "1.7.2"

OVERRIDDEN = (
    (CreditedConnection, connection.QuicConnection),
    (EdgeConnection, connection.QuicConnection),
    (ClientContext, tls.Context),
    (EdgeContext, tls.Context),
)
"""Our classes, and whose methods they override."""

LEANED_ON: dict[str, Any] = {
    # What `aioquic_queue.py` relies on: who asks `_streams` for its values, who reads and writes `_streams_queue`.
    "QuicConnection.__init__": connection.QuicConnection.__init__,
    "QuicConnection._write_application": connection.QuicConnection._write_application,
    "QuicConnection._write_stream_frame": connection.QuicConnection._write_stream_frame,
    "QuicConnection._handle_stream_frame": connection.QuicConnection._handle_stream_frame,
    "QuicConnection._handle_reset_stream_frame": connection.QuicConnection._handle_reset_stream_frame,
    "QuicConnection._handle_stop_sending_frame": connection.QuicConnection._handle_stop_sending_frame,
    "QuicConnection._handle_max_stream_data_frame": connection.QuicConnection._handle_max_stream_data_frame,
    "QuicStream": stream.QuicStream,
    "QuicStreamReceiver": stream.QuicStreamReceiver,
    "QuicStreamSender": stream.QuicStreamSender,
    # When an acknowledgement is due, and what it is written into.
    "QuicConnection._payload_received": connection.QuicConnection._payload_received,
    "QuicConnection._write_ack_frame": connection.QuicConnection._write_ack_frame,
    "QuicConnection.get_timer": connection.QuicConnection.get_timer,
    # The pacer's calls, and when a packet is charged; probes for the path's size.
    "QuicConnection._flush_builder": connection.QuicConnection._flush_builder,
    "QuicConnection._send_probe": connection.QuicConnection._send_probe,
    "QuicPacketBuilder": packet_builder.QuicPacketBuilder,
    "QuicPacketPacer": recovery.QuicPacketPacer,
    "QuicPacketRecovery": recovery.QuicPacketRecovery,
    # Limits.
    "Limit": connection.Limit,
}
"""What is not overridden and must stay as it is, by the name that it is listed under."""

DIGESTS: dict[str, str] = {
    "Context._client_handle_hello": "28192ab27a22624a",
    "Context._client_send_hello": "8d01ef343e2125ac",
    "Context._server_handle_hello": "ce53cc7baafe259b",
    "Limit": "ee53b257287777bb",
    "QuicConnection.__init__": "81aea715e34447e1",
    "QuicConnection._flush_builder": "ac4bd66d7c3892df",
    "QuicConnection._get_or_create_stream": "aee09c84cd0da114",
    "QuicConnection._get_or_create_stream_for_send": "b68479a29862b421",
    "QuicConnection._handle_ack_frame": "a9cf2707aa0f99a5",
    "QuicConnection._handle_max_stream_data_frame": "c94e4873026aaa68",
    "QuicConnection._handle_reset_stream_frame": "0a1801842064e9dd",
    "QuicConnection._handle_stop_sending_frame": "57b0b54a8467ecb5",
    "QuicConnection._handle_stream_frame": "8c79348a854e307d",
    "QuicConnection._initialize": "6a41681e541c05d7",
    "QuicConnection._payload_received": "612b67759a96c701",
    "QuicConnection._send_probe": "4578820ab6bbd004",
    "QuicConnection._write_ack_frame": "dc0bde63adda7ae4",
    "QuicConnection._write_application": "c37bf64378f72b2f",
    "QuicConnection._write_connection_limits": "02c42c5455ae1a31",
    "QuicConnection._write_stream_frame": "9bc0be962394a322",
    "QuicConnection._write_stream_limits": "398d4a898f7c580f",
    "QuicConnection.datagrams_to_send": "f4eb22c8add260fe",
    "QuicConnection.get_timer": "07184a05f894e968",
    "QuicConnection.handle_timer": "8ebd76a179bf5e25",
    "QuicConnection.receive_datagram": "3c7f29826050cbfe",
    "QuicConnection.stop_stream": "c48810656a6b518a",
    "QuicPacketBuilder": "f857fd05613df2a8",
    "QuicPacketPacer": "d845e32503fbe1f3",
    "QuicPacketRecovery": "dac13f4da9d25ceb",
    "QuicStream": "e8b366bbfb2316f4",
    "QuicStreamReceiver": "78596a9b1406685c",
    "QuicStreamSender": "f14fb859f32d053a",
}


def sources() -> dict[str, Any]:
    """All that is watched, by name."""
    watched = dict(LEANED_ON)
    for ours, theirs in OVERRIDDEN:
        for cls in ours.__mro__[: ours.__mro__.index(theirs)]:
            for name in vars(cls):
                if callable(found := vars(theirs).get(name)) and name != "__init__":
                    watched[f"{theirs.__name__}.{name}"] = found
    return watched


def digest(of: Any) -> str:
    return hashlib.sha256(inspect.getsource(of).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", sorted(sources()))
def test_what_is_leaned_on_is_as_it_was(name: str) -> None:
    assert digest(sources()[name]) == DIGESTS.get(name), (
        f"{name} of aioquic {aioquic.__version__} is not what this was written against ({RELEASE}): see the head of "
        f"{__file__}"
    )


def test_nothing_is_watched_that_is_gone() -> None:
    assert set(DIGESTS) == set(sources())
