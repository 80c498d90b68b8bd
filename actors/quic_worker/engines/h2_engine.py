"""HTTP/2 as the client of the edge speaks it: the edge opens the streams, and we answer. Sans I/O.

What is sent waits in a queue for each stream until the edge's windows and the socket have room. The streams take turns,
a piece each, so that a small answer does not wait for a large one. Credit is granted for what was consumed.
"""

from collections import deque
from typing import Final

from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from actors.exchange.request import Field
from actors.quic_worker.engine import ByteListener, Closed
from actors.quic_worker.engines.h2_frames import DATA, END_STREAM, GOAWAY, HEADERS, Aside, FrameSplitter, TooLarge
from actors.quic_worker.engines.h2_lenient import LenientConnection

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a request's body may be ahead of its origin: 80 Mbit/s at a round trip of 100 ms."""

CONNECTION_WINDOW: Final = 16 * STREAM_WINDOW
"""The same over all streams: as many origins that do not read stop none of the others."""

MAX_FRAME_BYTES: Final = 64 * 1024
"""The longest frame that we take. Larger ones than the usual 16 KiB cost less a byte."""

MAX_HEAD_BYTES: Final = 1024 * 1024
"""Bytes of a head as HPACK counts them, the real client's bound. More than an origin gets (`http1.py`), so that what is
too long for it is answered in HTTP; beyond this the connection ends."""

MAX_STREAMS: Final = 2048
"""Streams that the edge may have open at once: more than are served (`--max-streams`), so that those beyond get an
answer."""

PIECE: Final = 16 * 1024
"""Bytes that a stream sends before it is another one's turn: the largest frame that every peer takes."""

_SETTINGS: Final = {
    SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
    SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
}

_FIRST_WINDOW: Final = 65535
"""The connection's window before anything was said of it (RFC 9113 section 6.9.2)."""


class _Stream:
    """What a stream has to send, and which of its ends have come."""

    __slots__ = ("ended", "fin", "heads", "peer_ended", "pieces", "size", "stopped", "trailers")

    def __init__(self, *, peer_ended: bool) -> None:
        self.heads: list[list[Field]] = []
        self.pieces: deque[memoryview] = deque()
        self.size = 0
        """Bytes of all pieces."""
        self.fin = False
        self.trailers: list[Field] = []
        self.ended = False
        """Whether our end has been sent."""
        self.peer_ended = peer_ended
        self.stopped = False
        """Whether nobody wants more of what the peer sends."""

    def gathered(self, first: memoryview, most: int) -> memoryview:
        """`first` and the pieces after it that fit besides: a frame costs more than a copy of a few bytes."""
        together, size = [first], len(first)
        while self.pieces and size + len(self.pieces[0]) <= most:
            together.append(self.pieces.popleft())
            size += len(together[-1])
        return memoryview(b"".join(together))

    @property
    def has_output(self) -> bool:
        return bool(self.heads or self.size or (self.fin and not self.ended))


class H2Engine:
    """A `ByteEngine` over the package h2."""

    def __init__(self) -> None:
        self._h2 = LenientConnection(_SETTINGS)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - _FIRST_WINDOW)
        self._splitter = FrameSplitter(MAX_FRAME_BYTES)
        self._events: deque[events.Event | Aside | Closed] = deque()
        self._streams: dict[int, _Stream] = {}
        """Those of which one end is still to come, or to be sent."""
        self._held: dict[int, int] = {}
        """Bytes a stream, delivered and not yet consumed."""
        self._ready: dict[int, None] = {}
        """Streams with something to send that the edge's window lets pass, in the order of their turns."""
        self._is_over = False

    # --- in ---

    def receive(self, data: bytes) -> None:
        """Take what the socket gave."""
        if self._is_over:
            return
        try:
            for part in self._splitter.feed(data):
                if isinstance(part, bytes):
                    self._events.extend(self._h2.receive_data(part))
                elif part.kind == HEADERS:
                    ended = bool(part.flags & END_STREAM)
                    self._events.extend(self._h2.receive_head(part.stream_id, part.payload, ended=ended))
                elif part.kind == DATA:
                    ended = bool(part.flags & END_STREAM)
                    self._events.extend(self._h2.receive_padding(part.stream_id, len(part.payload), ended=ended))
                else:
                    self._events.append(part)
        except TooLarge as error:
            self._h2.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            self._over(ErrorCodes.FRAME_SIZE_ERROR, str(error))
        except ProtocolError as error:  # h2 has its GOAWAY ready by then
            self._over(error.error_code, str(error))

    def _over(self, code: int, reason: str) -> None:
        self._is_over = True
        self._events.append(Closed(code, f"the edge broke HTTP/2's rules: {reason}", is_application=False))

    def deliver(self, listener: ByteListener) -> None:
        """Tell `listener` what happened since the last call."""
        while self._events:
            match self._events.popleft():
                case events.RequestReceived() as event:
                    self._opened(event, listener)
                case events.DataReceived() as event:
                    self._received(event, listener)
                case events.TrailersReceived() as event:
                    self._received_end(event.stream_id, listener)
                case events.StreamReset() as event:
                    self._received_reset(event.stream_id, listener)
                case events.WindowUpdated(stream_id=stream_id) if stream_id:
                    self._may_send(stream_id)
                case events.RemoteSettingsChanged():
                    for stream_id in self._streams:  # the windows of all may have grown
                        self._may_send(stream_id)
                case events.PingAckReceived():
                    listener.pong()
                case Aside(kind, _, stream_id, payload):
                    self._set_aside(kind, stream_id, payload, listener)
                case Closed() as why:
                    listener.closed(why)

    def _opened(self, event: events.RequestReceived, listener: ByteListener) -> None:
        stream_id = event.stream_id
        if len(self._streams) >= MAX_STREAMS:
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        ended = event.stream_ended is not None
        self._streams[stream_id] = _Stream(peer_ended=ended)
        listener.stream_opened(stream_id, event.headers, ended)

    def _received(self, event: events.DataReceived, listener: ByteListener) -> None:
        stream_id, data, size = event.stream_id, event.data, event.flow_controlled_length
        stream = self._streams.get(stream_id)
        if stream is None or stream.stopped:
            self._grant(stream_id, size)
            if stream is not None and event.stream_ended is not None:
                self._peer_ended(stream_id, stream)
            return
        self._grant(stream_id, size - len(data))  # padding
        self._held[stream_id] = self._held.get(stream_id, 0) + len(data)
        ended = event.stream_ended is not None
        if ended:
            self._peer_ended(stream_id, stream)
        listener.stream_data(stream_id, data, ended)

    def _received_end(self, stream_id: int, listener: ByteListener) -> None:
        """Trailers of a request: origins get none, as over QUIC."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._peer_ended(stream_id, stream)
            if not stream.stopped:
                listener.stream_data(stream_id, b"", True)

    def _peer_ended(self, stream_id: int, stream: _Stream) -> None:
        stream.peer_ended = True
        if stream.ended:
            self._forget(stream_id)

    def _received_reset(self, stream_id: int, listener: ByteListener) -> None:
        stream = self._streams.get(stream_id)
        self._drop(stream_id)
        if stream is not None and not (stream.stopped and stream.fin):
            listener.stream_reset(stream_id, 0)
            listener.stop_sending(stream_id, 0)

    def _set_aside(self, kind: int, stream_id: int, payload: bytes, listener: ByteListener) -> None:
        if kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            listener.leaving(payload[8:].decode("utf-8", "replace") or _name_of(code))
        elif stream_id > self._h2.highest_inbound_stream_id:
            self._h2.close_connection(ErrorCodes.PROTOCOL_ERROR)
            self._is_over = True
            reason = "the edge broke HTTP/2's rules: WINDOW_UPDATE on a stream that was never opened"
            listener.closed(Closed(ErrorCodes.PROTOCOL_ERROR, reason, is_application=False))
        elif self._h2.is_open(stream_id):  # an increment of nothing
            self._reset(stream_id, ErrorCodes.PROTOCOL_ERROR)
            self._received_reset(stream_id, listener)

    def consumed(self, stream_id: int, count: int) -> None:
        held = self._held.get(stream_id, 0) - count
        if held > 0:
            self._held[stream_id] = held
        else:
            self._held.pop(stream_id, None)
        self._grant(stream_id, count)

    def discard(self, stream_id: int) -> None:
        self._grant(stream_id, self._held.pop(stream_id, 0))

    def _grant(self, stream_id: int, count: int) -> None:
        """The edge may send as many bytes more, on the connection and on the stream if that is still open."""
        if count and not self._is_over:
            self._h2.acknowledge_received_data(count, stream_id)

    # --- out ---

    def respond(self, stream_id: int, head: list[Field]) -> None:
        """Send a head: of the response, or of one with a status of 1xx before it."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.fin:
            stream.heads.append(head)
            self._ready[stream_id] = None

    def send(self, stream_id: int, data: bytes, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.fin:
            return
        if data:
            stream.pieces.append(memoryview(data))
            stream.size += len(data)
        stream.fin = fin
        self._ready[stream_id] = None

    def end(self, stream_id: int, trailers: list[Field]) -> None:
        """End the response with fields."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.fin:
            stream.trailers = trailers
            self.send(stream_id, b"", True)

    def unsent(self, stream_id: int) -> int:
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.size

    def reset(self, stream_id: int, error_code: int = ErrorCodes.INTERNAL_ERROR) -> None:
        """RST_STREAM: both directions end at once."""
        if stream_id in self._streams:
            self._reset(stream_id, error_code)
            self._drop(stream_id)

    def _reset(self, stream_id: int, code: int) -> None:
        if self._h2.is_open(stream_id) and not self._is_over:
            self._h2.reset_stream(stream_id, code)
        self._h2.forget(stream_id)

    def stop(self, stream_id: int, error_code: int = 0) -> None:
        """Want no more of the peer. HTTP/2 can say that only together with our own end: until then what comes is thrown
        away, and what RST_STREAM would cut off of the answer leaves first."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.stopped = True
            if stream.ended:
                self._reset(stream_id, ErrorCodes.NO_ERROR)
                self._drop(stream_id)

    def _drop(self, stream_id: int) -> None:
        """Forget a stream, with all that it had to send; what its consumer holds is granted again."""
        self.discard(stream_id)
        self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
        self._ready.pop(stream_id, None)
        self._h2.forget(stream_id)

    def _may_send(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and stream.has_output:
            self._ready.setdefault(stream_id)

    def output(self, room: int) -> bytes:
        """What is to be sent now; of bodies no more than `room` bytes, and a piece."""
        waiting: list[int] = []
        while self._ready and room > 0 and not self._is_over:
            stream_id = next(iter(self._ready))
            del self._ready[stream_id]
            if not self._h2.is_open(stream_id):
                continue  # its end is among the events
            stream = self._streams[stream_id]
            self._send_heads(stream_id, stream)
            sent = self._send_piece(stream_id, stream)
            room -= sent
            if stream.fin and not stream.size:
                self._send_end(stream_id, stream)
            elif sent and stream.size:
                self._ready[stream_id] = None  # another turn
            elif stream.size and self._h2.outbound_flow_control_window <= 0:
                waiting.append(stream_id)  # for the connection's window; for its own, WINDOW_UPDATE wakes it
        self._ready.update(dict.fromkeys(waiting))
        return self._h2.data_to_send()

    def _send_heads(self, stream_id: int, stream: _Stream) -> None:
        heads, stream.heads = stream.heads, []
        for number, head in enumerate(heads, 1):
            is_all = number == len(heads) and stream.fin and not stream.size and not stream.trailers
            self._h2.send_head(stream_id, head, ends=is_all)
            stream.ended = is_all

    def _send_piece(self, stream_id: int, stream: _Stream) -> int:
        """Send what may be sent of a body in one turn; return how much that was."""
        if not stream.size:
            return 0
        allowed = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size, PIECE)
        if allowed <= 0:
            return 0
        piece = stream.pieces.popleft()
        if len(piece) > allowed:
            stream.pieces.appendleft(piece[allowed:])
            piece = piece[:allowed]
        elif len(piece) < allowed and stream.pieces:
            piece = stream.gathered(piece, allowed)
        stream.size -= len(piece)
        stream.ended = stream.fin and not stream.size and not stream.trailers
        self._h2.send_body(stream_id, piece, ends=stream.ended)
        return len(piece)

    def _send_end(self, stream_id: int, stream: _Stream) -> None:
        if stream.trailers:
            self._h2.send_head(stream_id, stream.trailers, ends=True)
        elif not stream.ended:
            self._h2.end_stream(stream_id)
        stream.ended = True
        if stream.peer_ended:
            self._forget(stream_id)
        elif stream.stopped:
            self._reset(stream_id, ErrorCodes.NO_ERROR)
            self._drop(stream_id)

    def is_undelivered(self, besides: int | None = None) -> bool:
        return any(number != besides and stream.has_output for number, stream in self._streams.items())

    def ping(self) -> None:
        if not self._is_over:
            self._h2.ping(b"tunnel..")

    def close(self, error_code: int, reason: str) -> None:
        """GOAWAY."""
        if not self._is_over:
            self._is_over = True
            self._h2.close_connection(error_code, reason.encode() or None)


def _name_of(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error {code:#x}"
