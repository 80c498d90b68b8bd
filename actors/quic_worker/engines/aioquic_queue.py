"""aioquic's connection without work for streams that have nothing to do.

For each packet that it sends, aioquic looks at every open stream twice: does its receive limit need announcing, and
has it anything to send? A thousand idle WebSockets would cost more than the packet. `QueuedConnection` leaves the
writing to aioquic, and shows it only the streams that matter.
"""

from typing import Any, Final

from aioquic.quic.connection import QuicConnection
from aioquic.quic.stream import QuicStream, QuicStreamSender

from actors.quic_worker.engine import Datagram


class OpenStreams(dict[int, QuicStream]):
    """The open streams by their ids.

    aioquic calls `values` in one place: to announce limits, once a packet. So `values` holds only the streams whose
    limit was raised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raised: dict[int, QuicStream] = {}

    def values(self) -> list[QuicStream]:  # type: ignore[override]
        return list(self.raised.values())


class QueuedConnection(QuicConnection):
    """A QuicConnection whose `_streams_queue` holds only streams with something to do, each once.

    A call or a frame that names a stream puts it there. It leaves when nothing of it waits to be sent or acknowledged,
    so that nobody needs to hear of what becomes of its packets.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._open: Final = OpenStreams()
        self._streams = self._open
        self._woken: dict[QuicStream, None] = {}
        """Streams that a call or a frame named since the last packet was sent, in that order."""

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        self._streams_queue = list(dict.fromkeys([*self._streams_queue, *self._woken]))
        self._woken.clear()
        datagrams: list[Datagram] = super().datagrams_to_send(now)
        self._streams_queue = [stream for stream in self._streams_queue if not is_at_rest(stream)]
        return datagrams

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        stream = super()._get_or_create_stream(frame_type, stream_id)
        self._woken[stream] = None
        return stream

    def _get_or_create_stream_for_send(self, stream_id: int) -> QuicStream:
        stream = super()._get_or_create_stream_for_send(stream_id)
        self._woken[stream] = None
        return stream

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        super().stop_stream(stream_id, error_code)
        self._woken[self._streams[stream_id]] = None

    def has_data_to_send(self) -> bool:
        """Whether a stream has data that flow control would let go."""
        credit = self._remote_max_data - self._remote_max_data_used
        return any(_has_data(stream, credit) for stream in (*self._streams_queue, *self._woken))


def is_at_rest(stream: QuicStream) -> bool:
    """Whether nothing of a stream waits: not to be sent, not to be acknowledged, not to be forgotten."""
    if stream.is_finished or is_undelivered(stream.sender):
        return False
    return stream.receiver.is_finished or stream.receiver._stop_error_code is None


def is_undelivered(sender: QuicStreamSender) -> bool:
    """Whether there is something that was not acknowledged."""
    if sender.is_finished:
        return False
    ends = sender._buffer_fin is not None or sender._reset_error_code is not None
    return ends or sender._buffer_stop > sender._buffer_start


def _has_data(stream: QuicStream, credit: int) -> bool:
    sender = stream.sender
    if sender._reset_error_code is not None or stream.is_blocked:
        return False
    if not len(sender._pending):
        return sender._pending_eof
    return sender.next_offset < min(sender.highest_offset + credit, stream.max_stream_data_remote)
