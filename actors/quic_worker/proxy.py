"""One exchange: a stream of the edge on one side, a connection to the origin on the other.

Bytes pass as they come; what one side cannot take yet stops the other side's source: a slow origin keeps the stream's
flow-control credit, a slow visitor pauses reading from the origin. A response that breaks off ends with RESET_STREAM,
never with FIN.
"""

import http
from collections.abc import Callable
from typing import Final, NamedTuple

from actors.messages import Origin
from actors.quic_worker.connection import Stream
from actors.quic_worker.http1 import (
    LAST_CHUNK,
    BadRequest,
    Body,
    RequestHead,
    build_request_head,
    chunk,
    error_metadata,
    response_metadata,
)
from actors.quic_worker.ledger import Ledger
from actors.quic_worker.origin import OriginConnection, OriginError
from actors.quic_worker.wire.connect import ConnectionType, ConnectRequest, ConnectResponse, encode_response
from actors.tasks import Tasks

_RAW_HEAD: Final = RequestHead(b"", "", Body.NONE, 0, upgrade=False)
"""What is sent ahead on a raw TCP tunnel: nothing."""


class Surroundings(NamedTuple):
    """What every exchange of a connection shares."""

    origin: Origin
    ledger: Ledger
    tasks: Tasks
    ended: Callable[["Exchange"], None]
    """Called once, when an exchange needs nothing any more."""


class Exchange:
    """One request and its response; or one raw tunnel, after an upgrade or of the TCP type."""

    def __init__(self, stream: Stream, request: ConnectRequest, surroundings: Surroundings) -> None:
        self._stream = stream
        self._request = request
        self._origin_address, self._ledger, self._tasks, self._on_ended = surroundings
        self._origin: OriginConnection | None = None
        self._head = _RAW_HEAD
        self._left = 0
        """Bytes of a body with Content-Length that are still to come."""
        self._raw = False
        self._early: list[bytes] = []
        """What came before the origin could take it; bounded by the stream's receive window."""
        self._request_ended = False
        self._response_begun = False
        self._response_ended = False
        self._upload_paused = False
        self._unconsumed = 0
        self._ended = False

    def start(self, body: bytes) -> None:
        """Begin; `body` is what came with the head."""
        self._ledger.stream_opened()
        self._stream.handler = self
        if self._request.type is not ConnectionType.TCP:
            try:
                self._head = build_request_head(self._request)
            except BadRequest as error:
                self._answer(http.HTTPStatus.BAD_REQUEST, f"the request was refused: {error}")
                return
            self._left = self._head.length
        self._tasks.start(self._connect(), name=f"exchange-{self._stream.id}")
        if body:
            self.data_received(body)

    async def _connect(self) -> None:
        raw = self._request.type is ConnectionType.TCP
        try:
            origin = await OriginConnection.open(
                self._origin_address,
                lambda: OriginConnection(self, method=self._head.method, upgrade=self._head.upgrade, raw=raw),
            )
        except OriginError as error:
            if not self._ended:
                self.response_failed(error)
            return
        if self._ended:
            origin.abort()
            return
        self._origin = origin
        if raw:
            self._raw = self._response_begun = True
            self._stream.write(encode_response(ConnectResponse("", ())))
        else:
            origin.write(self._head.data)
        if not self._head.upgrade:
            self._release_early()

    # --- from the edge (StreamHandler) ---

    def data_received(self, data: bytes) -> None:
        if self._origin is None or (self._head.upgrade and not self._raw):
            self._early.append(data)
        else:
            self._upload(data)

    def eof_received(self) -> None:
        self._request_ended = True
        if not self._early and self._origin is not None and (self._raw or not self._head.upgrade):
            self._end_upload()

    def reset_received(self) -> None:
        self._abandon()

    def stop_received(self) -> None:
        self._abandon()

    def pause_writing(self) -> None:
        if self._origin is not None:
            self._origin.pause()

    def resume_writing(self) -> None:
        if self._origin is not None:
            self._origin.resume()

    def _release_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            if not self._ended:
                self._upload(data)
        if self._request_ended and not self._ended:
            self._end_upload()

    def _upload(self, data: bytes) -> None:
        assert self._origin is not None
        size = len(data)
        if self._raw:
            self._origin.write(data)
        elif self._head.body is Body.CHUNKED:
            self._origin.write(chunk(data))
        elif self._head.body is Body.LENGTH:
            if size > self._left:
                # More than was announced: on this connection it would look like another request.
                self._abandon()
                return
            self._left -= size
            self._origin.write(data)
        else:
            self._stream.consumed(size)  # a body that was never announced has nowhere to go
            return
        self._ledger.received(size)
        if self._upload_paused:
            self._unconsumed += size
        else:
            self._stream.consumed(size)

    def _end_upload(self) -> None:
        assert self._origin is not None
        if self._raw:
            self._origin.write_eof()
            if self._response_ended:
                self._end()
        elif self._head.body is Body.CHUNKED:
            self._origin.write(LAST_CHUNK)
        elif self._left:
            self._abandon()  # the visitor broke off: the origin must not take it for the whole

    # --- from the origin (ResponseHandler) ---

    def head_received(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        self._response_begun = True
        upgraded = status == http.HTTPStatus.SWITCHING_PROTOCOLS
        metadata = response_metadata(status, fields, upgraded=upgraded)
        self._stream.write(encode_response(ConnectResponse("", metadata)))
        if upgraded:
            self._raw = True
            self._release_early()

    def body_received(self, data: bytes) -> None:
        self._ledger.sent(len(data))
        self._stream.write(data)

    def response_ended(self) -> None:
        self._response_ended = True
        self._stream.write(b"", fin=True)
        if not self._raw or self._request_ended:
            self._end()

    def response_failed(self, error: OriginError) -> None:
        if self._response_begun:
            self._abandon()
        elif self._request.type is ConnectionType.TCP:
            self._stream.write(encode_response(ConnectResponse(str(error), ())), fin=True)
            self._end()
        else:
            self._answer(http.HTTPStatus(error.status), str(error))

    def pause_upload(self) -> None:
        self._upload_paused = True

    def resume_upload(self) -> None:
        self._upload_paused = False
        if count := self._unconsumed:
            self._unconsumed = 0
            self._stream.consumed(count)

    # --- ends ---

    def _answer(self, status: http.HTTPStatus, message: str) -> None:
        """Answer in the origin's place, as a gateway does."""
        page = f"{status.value} {status.phrase}\n\ntunnel-supervisor: {message}\n".encode()
        body = b"" if self._head.method == "HEAD" else page
        self._ledger.sent(len(body))
        self._stream.write(encode_response(ConnectResponse("", error_metadata(status, len(page)))) + body, fin=True)
        self._end()

    def _abandon(self) -> None:
        """One side broke off: the other is told so at once."""
        self._stream.reset()
        if self._origin is not None:
            self._origin.abort()
        self._end()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._early.clear()
        self._stream.stop()
        if self._origin is not None:
            self._origin.close()
        self._on_ended(self)
