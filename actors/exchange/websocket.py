"""A WebSocket of which we are the server, over an exchange: what it carries goes to a connection of TCP, and back.

This is how clients of Cloudflare Access carry SSH, RDP and anything else: each byte of the service is in a binary
message, in both directions. A `Backend` towards the exchange, the `ResponseHandler` of the connection behind it.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from actors.exchange.backend import Backend, OriginError, ResponseHandler
from actors.exchange.http1 import NO_HEAD, RequestHead, accepted_websocket
from actors.exchange.request import Field, Request
from actors.exchange.response import Head

PING_INTERVAL: Final = 54.0
"""Seconds between two Pings: whatever lies between takes a connection that says nothing for a minute for a dead one."""

CLOSING_TIMEOUT: Final = 5.0
"""Seconds that a service has to say its last words, after the visitor has closed the WebSocket."""


class WebSocketServer:
    """One WebSocket, with a connection to the service behind it."""

    may_be_stale: Final = False
    reusable: Final = False

    def __init__(self, request: Request, service: Backend) -> None:
        self._request = request
        self._service = service
        self._frames = Connection(ConnectionType.SERVER)
        self._handler: ResponseHandler | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._pong: Pong | None = None
        """What is to be said once the visitor reads again: only the latest Ping wants an answer."""

    # --- from the exchange (Backend) ---

    def begin(self, handler: ResponseHandler, head: RequestHead, *, raw: bool = False) -> None:
        """Accept the WebSocket."""
        self._handler = handler
        self._service.begin(self, NO_HEAD, raw=True)
        self._ping_later()
        handler.head_received(Head(101, accepted_websocket(self._request), {}), b"", complete=False)

    def write(self, data: bytes) -> None:
        """Bytes of the visitor's frames, however they are split."""
        if self._handler is None or self._frames.state is not ConnectionState.OPEN:
            return  # after a Close a visitor has nothing more to say
        self._frames.receive_data(data)
        payloads: list[bytes] = []
        end: CloseConnection | None = None
        for event in self._frames.events():
            match event:
                case BytesMessage():
                    payloads.append(bytes(event.data))
                case TextMessage():
                    payloads.append(event.data.encode())
                case Ping():
                    self._answer(event.response())
                case CloseConnection():
                    end = event
                    break
        if payloads:
            self._service.write(b"".join(payloads))
        if end is not None:
            self._closed(end)

    def write_eof(self) -> None:
        """The visitor's end, without a Close: that of a client that is gone, or that knows no better."""
        if self._handler is not None:
            self._service.write_eof()

    def pause(self) -> None:
        self._is_paused = True
        self._service.pause()

    def resume(self) -> None:
        self._is_paused = False
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self._say(pong)
        self._service.resume()

    def abort(self) -> None:
        self._let_go()
        self._service.abort()

    def close(self) -> None:
        self._let_go()
        self._service.close()

    # --- frames ---

    def _answer(self, pong: Pong) -> None:
        if self._is_paused:
            self._pong = pong
        else:
            self._say(pong)

    def _say(self, event: Event) -> None:
        if self._handler is not None and self._frames.state is ConnectionState.OPEN:
            self._handler.body_received(self._frames.send(event))

    def _ping_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PING_INTERVAL, self._ping)

    def _ping(self) -> None:
        if not self._is_paused:
            self._say(Ping())
        self._ping_later()

    def _closed(self, close: CloseConnection) -> None:
        """The visitor has closed the WebSocket; or what came is none, and `close` says in which way."""
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._service.write_eof()
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(CLOSING_TIMEOUT, self._end, CloseReason.NORMAL_CLOSURE)
        elif self._frames.state is ConnectionState.OPEN:
            self._service.abort()
            self._end(close.code)

    def _end(self, code: int) -> None:
        """Say Close, as the last word."""
        handler = self._handler
        if handler is None:
            return
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            handler.body_received(self._frames.send(CloseConnection(code)))
        self._let_go()
        handler.response_ended()

    def _let_go(self) -> None:
        self._handler = None
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- from the service (ResponseHandler) ---

    def head_received(self, head: Head, body: bytes, *, complete: bool) -> None:
        """Never: no HTTP is spoken there."""

    def body_received(self, data: bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        if self._frames.state is ConnectionState.OPEN:
            handler.body_received(self._frames.send(BytesMessage(data)))

    def response_ended(self, trailers: Sequence[Field] = ()) -> None:
        self._end(CloseReason.NORMAL_CLOSURE)

    def response_failed(self, error: OriginError) -> None:
        self._end(CloseReason.INTERNAL_ERROR)

    def pause_upload(self) -> None:
        if self._handler is not None:
            self._handler.pause_upload()

    def resume_upload(self) -> None:
        if self._handler is not None:
            self._handler.resume_upload()
