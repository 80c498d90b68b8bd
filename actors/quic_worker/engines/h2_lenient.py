"""The package h2, made to let one bad request cost one request. Pure.

By itself it ends the connection for what concerns a single stream: a body of another length than was announced,
trailers that do not end it, a head that is a response's, a stream too many, a stream's window that was overrun. Its
methods that judge these are replaced, by private names: `tests/quic_worker/engines/test_h2_private.py` holds them to
what h2 4.4 has.
"""

from typing import Any, Final, NoReturn

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, PriorityUpdated, StreamReset
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, RstStreamFrame


class LenientStream(H2Stream):
    """A stream that is reset where h2 would end the connection."""

    def _initialize_content_length(self, headers: Any) -> None:
        """Whether a body has the length that was announced is judged where requests are."""

    def _track_content_length(self, length: int, end_stream: bool) -> None:
        """As `_initialize_content_length`."""

    def receive_headers(self, headers: Any, end_stream: bool, header_encoding: Any) -> tuple[list[Frame], list[Event]]:
        try:
            return super().receive_headers(headers, end_stream, header_encoding)
        except StreamClosedError:
            raise
        except ProtocolError:
            self._give_up(ErrorCodes.PROTOCOL_ERROR)

    def receive_data(self, data: bytes, end_stream: bool, flow_control_len: int) -> tuple[list[Frame], list[Event]]:
        try:
            return super().receive_data(data, end_stream, flow_control_len)
        except FlowControlError:
            self._give_up(ErrorCodes.FLOW_CONTROL_ERROR)

    def _give_up(self, code: ErrorCodes) -> NoReturn:
        """Reset the stream; the connection sends the frame for this error, and tells of it."""
        self.state_machine.state = StreamState.CLOSED
        self.state_machine.stream_closed_by = StreamClosedBy.SEND_RST_STREAM
        error = StreamClosedError(self.stream_id)
        error.error_code = code
        error._events = [StreamReset(stream_id=self.stream_id, error_code=code, remote_reset=False)]
        raise error


MAX_INDEXED: Final = 32
"""Bytes of a value that may come again, and is worth a place in HPACK's table. What an origin answers does not."""


class PlainEncoder(Encoder):
    """HPACK without what costs more time in Python than it saves on the way: Huffman's code, since most of a head is
    base64, and a table full of values that come once."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        name, value = to_add
        return super().add(to_add, sensitive or len(value) > MAX_INDEXED or name == b"content-length", huffman)


class LenientConnection(H2Connection):
    """The server's end of a connection. Heads are taken as they are, both ways."""

    def __init__(self, settings: dict[SettingCodes, int]) -> None:
        """`settings`: what we announce. They hold at once: whoever has not heard of them sends less."""
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.local_settings = Settings(client=False, initial_values=settings)
        self.max_inbound_frame_size = settings[SettingCodes.MAX_FRAME_SIZE]
        self.decoder.max_header_list_size = settings[SettingCodes.MAX_HEADER_LIST_SIZE]
        self.encoder = PlainEncoder()

    @property
    def open_inbound_streams(self) -> int:
        """h2 looks at all of them for each new one, and ends the connection if there are too many. The engine counts
        them without that, and refuses one."""
        return 0

    def forget(self, stream_id: int) -> None:
        """Keep of a stream that is closed only how it ended."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.closed:
            del self.streams[stream_id]
            self._closed_streams[stream_id] = stream.closed_by

    def is_open(self, stream_id: int) -> bool:
        """Whether anything may be sent on a stream."""
        stream = self.streams.get(stream_id)
        return stream is not None and not stream.closed

    def receive_padding(self, stream_id: int, length: int, *, ended: bool) -> list[Event]:
        """Take a DATA frame of which all `length` bytes are padding, and tell how many those are.

        Raises:
            ProtocolError: as `receive_data`.
        """
        frame = DataFrame(stream_id, flags=["PADDED", *(["END_STREAM"] if ended else [])])
        frame.pad_length = length - 1
        try:
            return self._receive_frame(frame)
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = LenientStream
        return stream

    def _receive_priority_frame(self, frame: Any) -> tuple[list[Frame], list[Event]]:
        """RFC 9113 has no priorities any more; one within HEADERS is passed over, whatever it says."""
        return [], [PriorityUpdated()]

    def _handle_data_on_closed_stream(
        self, events: list[Event], exc: StreamClosedError, frame: DataFrame
    ) -> tuple[list[Frame], list[Event]]:
        """An uploader that has not heard of our reset yet is not told once more for each of its frames."""
        frames, events = super()._handle_data_on_closed_stream(events, exc, frame)
        if not exc._events and self._stream_is_closed_by_reset(frame.stream_id):
            frames = [each for each in frames if not isinstance(each, RstStreamFrame)]
        return frames, events
