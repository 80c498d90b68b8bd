"""The package h2, made to let one bad request cost one request, and to take the usual way of one in fewer steps. Pure.

By itself it ends the connection for what concerns a single stream: a body of another length than was announced,
trailers that do not end it, a head that is a response's, a stream too many, a stream's window that was overrun. Its
methods that judge these are replaced, by private names: `tests/quic_worker/engines/test_h2_private.py` holds them to
what h2 4.4 has.

Its states and windows are as it would have them after every frame; only a head that is a response's is judged where
requests are. What is left out is what it does for callers that are not to be trusted with frames: an object for each, a
look at each transition, and five at each field of a head.
"""

from collections.abc import Callable
from typing import Any, NoReturn, cast

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, ConnectionState, H2Connection, _decode_headers
from h2.errors import ErrorCodes
from h2.events import Event, PriorityUpdated, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamInputs, StreamState
from hpack.struct import Header
from hyperframe.frame import DataFrame, Frame, RstStreamFrame

from actors.exchange.request import Field
from actors.quic_worker.engines.h2_frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, header
from actors.wire.hpack import Decoder, Encoder


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


class _Head:
    """A head in one frame, as h2 wants to have it."""

    __slots__ = ("data", "flags", "stream_id")

    def __init__(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.flags: tuple[str, ...] = ("END_STREAM",) if ended else ()

    def __repr__(self) -> str:
        """h2 asks for it each time, to write it to no log."""
        return "head"


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
        self.decoder = Decoder(settings[SettingCodes.MAX_HEADER_LIST_SIZE])  # type: ignore[assignment]
        self.encoder = Encoder()  # type: ignore[assignment]
        dispatch: dict[type, Any] = self._frame_dispatch_table
        dispatch[_Head] = self._receive_headers_frame

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

    # --- in ---

    def receive_head(self, stream_id: int, block: bytes, *, ended: bool) -> list[Event]:
        """Take the field block of a HEADERS frame that has all of it.

        Raises:
            ProtocolError: as `receive_data`.
        """
        is_new = stream_id % 2 == 1 and stream_id > self.highest_inbound_stream_id
        if is_new and self.state_machine.state is ConnectionState.SERVER_OPEN:
            return self._judged(self._opened, stream_id, block, ended)
        return self._judged(self._receive_frame, _Head(stream_id, block, ended=ended))

    def _opened(self, stream_id: int, block: bytes, ended: bool) -> list[Event]:
        """A request, as nearly all heads are: what h2 does for one, in a third of its time."""
        fields = cast(list[Header], _decode_headers(self.decoder, block))
        stream = LenientStream(
            stream_id, self.config, self.local_settings.initial_window_size, self.remote_settings.initial_window_size
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        machine = stream.state_machine
        machine.client, machine.headers_received = False, True
        machine.state = StreamState.HALF_CLOSED_REMOTE if ended else StreamState.OPEN
        self.streams[stream_id] = stream
        self.highest_inbound_stream_id = stream_id
        end = StreamEnded(stream_id=stream_id) if ended else None
        return [RequestReceived(stream_id=stream_id, headers=fields, stream_ended=end)]

    def receive_padding(self, stream_id: int, length: int, *, ended: bool) -> list[Event]:
        """Take a DATA frame of which all `length` bytes are padding, and tell how many those are.

        Raises:
            ProtocolError: as `receive_data`.
        """
        frame = DataFrame(stream_id, flags=["PADDED", *(["END_STREAM"] if ended else [])])
        frame.pad_length = length - 1
        return self._judged(self._receive_frame, frame)

    def _judged(self, take: Callable[..., list[Event]], *what: Any) -> list[Event]:
        try:
            return take(*what)
        except ProtocolError as error:
            self._terminate_connection(error.error_code)
            raise

    # --- out ---

    def send_head(self, stream_id: int, head: list[Field], *, ends: bool) -> None:
        """Send a head, or trailers, on a stream that is open; `ends`: nothing follows.

        Raises:
            ProtocolError: none may be sent now.
        """
        name, value = head[0]
        is_informational = name == b":status" and value.startswith(b"1")
        self._advance(
            stream_id,
            ConnectionInputs.SEND_HEADERS,
            StreamInputs.SEND_INFORMATIONAL_HEADERS if is_informational else StreamInputs.SEND_HEADERS,
            ends=ends,
        )
        block, most = self.encoder.encode(head), self.max_outbound_frame_size
        kind, flags = HEADERS, END_STREAM if ends else 0
        while len(block) > most:
            self._data_to_send += header(most, kind, flags, stream_id) + block[:most]
            block, kind, flags = block[most:], CONTINUATION, 0
        self._data_to_send += header(len(block), kind, flags | END_HEADERS, stream_id) + block

    def send_body(self, stream_id: int, data: bytes | memoryview, *, ends: bool) -> None:
        """Send bytes on a stream that is open, no more than its window, the connection's, and a frame take.

        Raises:
            ProtocolError: none may be sent now.
        """
        stream = self._advance(stream_id, ConnectionInputs.SEND_DATA, StreamInputs.SEND_DATA, ends=ends)
        self.outbound_flow_control_window -= len(data)
        stream.outbound_flow_control_window -= len(data)
        self._data_to_send += header(len(data), DATA, END_STREAM if ends else 0, stream_id)
        self._data_to_send += data

    def _advance(self, stream_id: int, connection: ConnectionInputs, input_: StreamInputs, *, ends: bool) -> H2Stream:
        """Let a frame change the states of its connection and its stream."""
        stream = self.streams[stream_id]
        if self.state_machine.state is not ConnectionState.SERVER_OPEN:  # it stays so, whatever is sent on a stream
            self.state_machine.process_input(connection)
        stream.state_machine.process_input(input_)
        if ends:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        return stream

    # --- what h2 would do otherwise ---

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
