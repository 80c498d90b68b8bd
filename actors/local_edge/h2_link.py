"""The edge on HTTP/2: the client of HTTP/2 on a connection that the tunnel's client dialled.

The `h2` package keeps the state of the protocol; streams keep what waits for credit (`h2_stream.py`). What comes is
handed on in QUIC's words, so that front and admin are the same for both ways.
"""

import asyncio
import collections
import contextlib
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PingAckReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from actors.bus import messages
from actors.errors import EdgeProtocolError, UsageError
from actors.exchange.request import Field
from actors.local_edge import h2_words
from actors.local_edge.edge import CALL_TIMEOUT, ControlHandler, EdgeRegistry, EdgeSession, Ignored
from actors.local_edge.h2_stream import H2Stream, RawStream
from actors.quic_worker.connection import StreamHandler
from actors.quic_worker.engine import IDLE_TIMEOUT
from actors.wire import rpc
from actors.wire.connect import ConnectRequest

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a client may send on a stream before they are consumed."""

CONNECTION_WINDOW: Final = 64 * 1024 * 1024
"""The same over all streams: one slow visitor must not stop the others."""

MAX_HEADER_LIST: Final = 1024 * 1024
"""Bytes of an answer's fields: the largest head of an origin, in base64, fits many times."""

_INITIAL_WINDOW: Final = 65_535
"""RFC 9113 section 6.9.2."""


class H2Link(asyncio.Protocol):
    """One client's connection over HTTP/2, behind TLS."""

    protocol: messages.Protocol = "http2"

    heard = None  # TCP tells of its end, and need not hear of anything in between

    def __init__(self, registry: EdgeRegistry, on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = EdgeSession(self, registry)
        self._registry = registry
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._engine = _engine()
        self._splitter = h2_words.FrameSplitter()
        self._streams: dict[int, H2Stream] = {}
        self._waiting: collections.deque[H2Stream] = collections.deque()
        """Streams that the client does not allow yet."""
        self._flushes = False
        self._is_writable = True
        self._held: list[bytes] = []
        """What came while nothing was to be read."""
        self.is_frozen = False
        self._control: RawStream | None = None
        self._control_ended = False
        self._farewell: tuple[int, str] | None = None
        """The client's GOAWAY."""
        self._has_ended = False
        self._pinged_at = 0.0
        self._round_trip_time = 0.0

    # --- from the transport ---

    def begin(self, transport: asyncio.Transport, server_name: str) -> None:
        """TLS is through: say the preface, and open the stream on which the client asks."""
        self._transport = transport
        self._session.begun(server_name)
        self._engine.initiate_connection()
        self._engine.increment_flow_control_window(CONNECTION_WINDOW - _INITIAL_WINDOW)
        self._control = RawStream(self, h2_words.opening(b"control-stream"))
        self._control.handler = _Control(self, self._session, self._control)
        self._waiting.append(self._control)
        self._pinged_at = self._loop.time()
        self._engine.ping(bytes(8))
        self._take_held()

    def data_received(self, data: bytes) -> None:
        if self.is_frozen or self._transport is None:  # what comes with the last flight of TLS comes before `begin`
            self._held.append(data)
            return
        try:
            frames, farewells = self._splitter.feed(data)
            for farewell in farewells:
                self._take_farewell(farewell)
            for event in self._engine.receive_data(frames):
                self._take(event)
        except (ProtocolError, EdgeProtocolError) as error:
            code = int(getattr(error, "error_code", ErrorCodes.FRAME_SIZE_ERROR))
            self._registry.note("broken", error_code=code, reason=str(error))
            self._write(self._engine.data_to_send())  # h2's GOAWAY is among it
            self._end(code, str(error), is_application=False)
            return
        self.flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, PingAckReceived):
            self._round_trip_time = self._loop.time() - self._pinged_at
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            self._take_data(event, stream)
        if stream is None:
            return
        if isinstance(event, ResponseReceived):
            stream.answered([(bytes(name), bytes(value)) for name, value in event.headers or ()])
        elif isinstance(event, StreamEnded):
            stream.ended()
        elif isinstance(event, StreamReset):
            del self._streams[stream.id]
            stream.was_reset()
        self._drop_if_ended(stream)

    def _take_data(self, event: DataReceived, stream: H2Stream | None) -> None:
        data, length, stream_id = event.data or b"", event.flow_controlled_length or 0, event.stream_id or 0
        if stream is None:
            self.acknowledge(length, stream_id)
            return
        if padding := length - len(data):
            self.acknowledge(padding, stream_id)
        if data:
            stream.received(data)

    def _take_farewell(self, payload: bytes) -> None:
        """GOAWAY: no new requests; those that the client has seen go on."""
        last, code = struct.unpack(">II", payload[:8].ljust(8, b"\0"))
        self._farewell = code, payload[8:].decode(errors="replace")
        if self._session.registered is not None:
            self._session.registered.draining = True
        self._registry.note("goaway", error_code=code, reason=self._farewell[1], last_stream=last)
        unseen = [stream for stream in self._streams.values() if stream.id > last]
        for stream in unseen:
            del self._streams[stream.id]
        for stream in (*unseen, *self._take_waiting()):
            stream.was_reset()

    def _take_waiting(self) -> list[H2Stream]:
        waiting, self._waiting = self._waiting, collections.deque()
        return list(waiting)

    def pause_writing(self) -> None:
        self._is_writable = False

    def resume_writing(self) -> None:
        self._is_writable = True
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        code, reason = self._farewell or (0, str(error or "the client closed the connection"))
        self._end(code, reason, is_application=self._farewell is not None)

    def _end(self, code: int, reason: str, *, is_application: bool) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._transport is not None:
            if self.is_frozen:
                self._transport.abort()
            else:
                self._transport.close()
        streams = [*self._streams.values(), *self._take_waiting()]
        self._streams.clear()
        for stream in streams:
            stream.was_reset()
        self._session.lost(code, reason, is_application=is_application)
        self._on_end()

    # --- for the streams ---

    def flush_soon(self) -> None:
        """Once the present callback is over: a head, and the end that follows it at once, are one frame."""
        if not self._flushes:
            self._flushes = True
            self._loop.call_soon(self.flush)

    def acknowledge(self, count: int, stream_id: int) -> None:
        if not self._has_ended and count:
            self._engine.acknowledge_received_data(count, stream_id)
            self.flush_soon()

    def reset(self, stream: H2Stream) -> None:
        if self._streams.pop(stream.id, None) is not None:
            with contextlib.suppress(StreamClosedError):  # its end came together with what it is reset for
                self._engine.reset_stream(stream.id, ErrorCodes.CANCEL)
            self.flush_soon()
        elif stream in self._waiting:
            self._waiting.remove(stream)

    # --- what leaves ---

    def flush(self) -> None:
        """Open what may be opened, and send what credit and transport allow, each stream in its turn."""
        self._flushes = False
        if self._has_ended or self.is_frozen:
            return
        self._open_waiting()
        due = [stream for stream in self._streams.values() if stream.is_due]
        while due and self._is_writable:
            due = [stream for stream in due if self._send_piece(stream)]
            self._write(self._engine.data_to_send())
        self._write(self._engine.data_to_send())
        self._settle()

    def _open_waiting(self) -> None:
        most = self._engine.remote_settings.max_concurrent_streams
        while self._waiting and len(self._streams) < most:
            stream = self._waiting.popleft()
            stream.id = self._engine.get_next_available_stream_id()
            self._streams[stream.id] = stream
            ends = stream.is_due and not stream.unsent and stream.next_piece(0)[1]
            self._engine.send_headers(stream.id, stream.fields, end_stream=ends)

    def _send_piece(self, stream: H2Stream) -> bool:
        """Send a frame of a stream; whether it may have one more."""
        count = 0
        if stream.unsent:
            credit = self._engine.local_flow_control_window(stream.id)
            count = min(stream.unsent, credit, self._engine.max_outbound_frame_size)
            if count <= 0:
                return False
        data, is_last = stream.next_piece(count)
        self._engine.send_data(stream.id, data, end_stream=is_last)
        self._drop_if_ended(stream)
        return stream.is_due

    def _drop_if_ended(self, stream: H2Stream) -> None:
        if stream.has_ended:
            self._streams.pop(stream.id, None)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def control_ended(self) -> None:
        """The client asks no more."""
        self._control_ended = True
        self.flush_soon()

    def _settle(self) -> None:
        """Close a connection that nobody needs: its client waits for that, and would for ever."""
        registered = self._session.registered
        if self._control_ended and (registered is None or (registered.draining and not self._streams)):
            self.close(0, "")

    # --- for the session's users ---

    def freeze(self, silent: bool) -> None:
        self.is_frozen = silent
        if silent:
            self._loop.call_later(IDLE_TIMEOUT, self._silent_for_long)
            return
        self._take_held()

    def _take_held(self) -> None:
        held, self._held = self._held, []
        self.data_received(b"".join(held))

    def _silent_for_long(self) -> None:
        if self.is_frozen:
            self._session.lost(0, "nothing came within the idle timeout", is_application=False)

    def round_trip_time(self) -> float:
        return self._round_trip_time

    def close(self, error_code: int, reason: str) -> None:
        if error_code and not self.is_frozen:
            self._write(_go_away(error_code, reason))
        self._end(error_code, reason, is_application=True)

    def go_away(self, error_code: int, reason: str, control: str) -> None:
        """Say that no more requests will come; and end the control stream, with "fin" or "reset"."""
        if self._session.registered is not None:
            self._session.registered.draining = True
        self._write(_go_away(error_code, reason))
        if self._control is not None and control == "fin":
            self._control.write(b"", fin=True)
        elif self._control is not None and control == "reset":
            self._control.reset()

    def open_request(self, request: ConnectRequest, handler: StreamHandler) -> H2Stream:
        return self._opened(H2Stream(self, h2_words.request_fields(request), request.type), handler)

    def open_fields(self, fields: list[Field], handler: StreamHandler) -> H2Stream:
        """Open a stream with any fields."""
        return self._opened(H2Stream(self, fields), handler)

    def open_raw(self, data: bytes, handler: StreamHandler, *, fin: bool) -> H2Stream:
        raise UsageError("a stream over HTTP/2 has no raw bytes: give its fields")

    def _opened(self, stream: H2Stream, handler: StreamHandler) -> H2Stream:
        stream.handler = handler
        self._waiting.append(stream)
        self.flush_soon()
        return stream

    async def call(self, method: rpc.Method, params: rpc.Struct) -> rpc.Struct:
        """Over HTTP/2 there is one call, and it is a request."""
        if method.name != "updateConfiguration":
            raise EdgeProtocolError(f"{method.name}: there is no such call over HTTP/2")
        answer = _Answer()
        stream = RawStream(self, h2_words.opening(b"update-configuration", b"PUT"))
        self._opened(stream, answer)
        answer.stream = stream
        config = params.get("config") or b"null"
        stream.write(b'{"version":%d,"config":%b}' % (params.get("version", 0), config), fin=True)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                body = await answer.whole
        except TimeoutError:
            stream.reset()
            raise EdgeProtocolError(f"the client did not answer {method.name} within {CALL_TIMEOUT:.0f} s") from None
        return {"result": _configuration_answer(stream.status, body)}


class _Control(ControlHandler):
    """The control stream, whose end the connection wants to know of."""

    def __init__(self, link: H2Link, session: EdgeSession, stream: RawStream) -> None:
        super().__init__(session, stream)
        self._link = link

    def eof_received(self) -> None:
        self._stream.write(b"", fin=True)
        self._link.control_ended()

    def reset_received(self) -> None:
        self._link.control_ended()


class _Answer(Ignored):
    """Gathers an answer."""

    def __init__(self) -> None:
        self.stream: RawStream | None = None
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = bytearray()

    def data_received(self, data: bytes) -> None:
        self._body += data
        if self.stream is not None:
            self.stream.consumed(len(data))

    def eof_received(self) -> None:
        if not self.whole.done():
            self.whole.set_result(bytes(self._body))

    def reset_received(self) -> None:
        if not self.whole.done():
            self.whole.set_exception(EdgeProtocolError("the client reset the stream"))


def _configuration_answer(status: bytes, body: bytes) -> dict[str, Any]:
    """The answer in the words of the RPC. Go's error is any JSON, mostly `{}`: that there is one is all it says."""
    try:
        said = json.loads(body)
        version, error = int(said["lastAppliedVersion"]), said["err"]
    except (ValueError, TypeError, KeyError):
        raise EdgeProtocolError(f"the client answered {status.decode()} {body[:200]!r}") from None
    return {"latestAppliedVersion": version, "err": "" if error is None else str(error)}


def _engine() -> H2Connection:
    # What is sent is as it is given, so that tests can send what is not legal.
    engine = H2Connection(
        H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    values: Iterable[tuple[SettingCodes, int]] = (
        (SettingCodes.ENABLE_PUSH, 0),
        (SettingCodes.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        (SettingCodes.MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST),
    )
    engine.local_settings = Settings(client=True, initial_values=dict(values))
    engine.decoder.max_header_list_size = MAX_HEADER_LIST  # h2 reads the setting when it is made only
    return engine


def _go_away(error_code: int, reason: str) -> bytes:
    """h2's own would end its state machine, and streams that are to go on with it."""
    return GoAwayFrame(0, last_stream_id=0, error_code=error_code, additional_data=reason.encode()).serialize()
