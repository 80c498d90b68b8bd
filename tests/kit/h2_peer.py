"""An edge over HTTP/2, as far as bytes go: a client by the package h2, which shares its codec with ours but no rule."""

from collections.abc import Sequence
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hpack import Encoder

from actors.exchange.request import Field

HEAD: Final[list[Field]] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"app.example.com"),
    (b":path", b"/"),
]
POST: Final[list[Field]] = [(b":method", b"POST"), *HEAD[1:]]


class PlainEncoder(Encoder):
    """The package's own, without Huffman's code: that takes it seconds for a long field."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)


class Answer:
    """What came back on a stream."""

    def __init__(self) -> None:
        self.interim: list[list[Field]] = []
        self.head: list[Field] | None = None
        self.body = bytearray()
        self.trailers: list[Field] | None = None
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> bytes:
        assert self.head is not None
        return dict(self.head)[b":status"]


class H2Peer:
    """The edge's end. It sends what it is told to, valid or not, and grants credit for what it gets when it is told."""

    def __init__(self, *, window: int = 4 * 1024 * 1024, connection_window: int = 64 * 1024 * 1024) -> None:
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.h2.encoder = PlainEncoder()
        self.consumes = True
        self.answers: dict[int, Answer] = {}
        self.events: list[Event] = []
        self.pongs = 0
        self._raw = b""
        self._next = 1
        self.h2.local_settings.update({SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0})
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(connection_window - 65535)

    def ask(self, fields: Sequence[Field] = (), body: bytes | None = b"", head: Sequence[Field] = HEAD) -> int:
        """Begin a request; with None as its body it does not end."""
        stream_id = self._next
        self._next += 2
        self.answers[stream_id] = Answer()
        self.h2.send_headers(stream_id, [*head, *fields], end_stream=body == b"")
        if body:
            self.send(stream_id, body, fin=True)
        return stream_id

    def send(self, stream_id: int, data: bytes, *, fin: bool = False) -> int:
        """Send as much of a body as the windows let pass; return how much that was."""
        sent = 0
        while sent < len(data):
            size = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data) - sent)
            if size <= 0:
                return sent
            sent += size
            self.h2.send_data(stream_id, data[sent - size : sent], end_stream=fin and sent == len(data))
        if fin and not data:
            self.h2.end_stream(stream_id)
        return sent

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes = b"") -> None:
        """Send a frame that no h2 would."""
        self.flush()
        self._raw += len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload

    def flush(self) -> None:
        """What was said so far comes before what is said next."""
        self._raw += self.h2.data_to_send()

    def output(self) -> bytes:
        """What is to be sent."""
        self.flush()
        data, self._raw = self._raw, b""
        return data

    def receive(self, data: bytes) -> None:
        """Take what came."""
        for event in self.h2.receive_data(data):
            self.events.append(event)
            match event:
                case InformationalResponseReceived():
                    self._answer(event.stream_id).interim.append(_fields(event.headers))
                case ResponseReceived():
                    self._answer(event.stream_id).head = _fields(event.headers)
                    self._answer(event.stream_id).ended |= event.stream_ended is not None
                case DataReceived():
                    self._answer(event.stream_id).body += event.data
                    self._answer(event.stream_id).ended |= event.stream_ended is not None
                    if self.consumes and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case TrailersReceived():
                    self._answer(event.stream_id).trailers = _fields(event.headers)
                    self._answer(event.stream_id).ended = True
                case StreamReset():
                    self._answer(event.stream_id).reset = int(event.error_code)
                case PingAckReceived():
                    self.pongs += 1

    def _answer(self, stream_id: int) -> Answer:
        return self.answers.setdefault(stream_id, Answer())


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in headers]
