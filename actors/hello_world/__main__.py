"""`python -m actors.hello_world`: the page of `--hello-world`, as a child of the supervisor.

/ the page · /uptime JSON · /echo gives a body back · /sse an event a second · /ws echoes WebSocket messages
"""

import asyncio
import time
from importlib import resources
from typing import Final

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Message, Ping
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from actors.bus.messages import HelloWorldOrders
from actors.processes import lifeline, log
from actors.processes.child import serve_until_told
from actors.web.http_server import HttpConnection, Request, Responder
from actors.web.pages import Answer, Asked, Pages, Route, Serve, as_json, serving

SSE_INTERVAL: Final = 1.0
"""Seconds between events."""

STOP_TIMEOUT: Final = 1.0
"""Seconds for open requests at the end: the tunnel has drained by then."""


def make_pages() -> Serve:
    """What is served."""
    started = time.monotonic()
    page_bytes = resources.files("actors.hello_world").joinpath("page.html").read_bytes()

    async def page(asked: Asked) -> Answer:
        return Answer(page_bytes, content_type="text/html; charset=utf-8")

    async def uptime(asked: Asked) -> Answer:
        return as_json({"seconds": time.monotonic() - started})

    pages = Pages([Route("GET", "/", page), Route("GET", "/uptime", uptime)])
    streamed: dict[bytes, Serve] = {b"/echo": Echo, b"/sse": Events}

    def serve(client: HttpConnection, request: Request) -> Responder:
        path = request.target.partition(b"?")[0]
        if path == b"/ws" and request.upgrade:
            return WebSocketEcho(client, request)
        return streamed.get(path, pages)(client, request)

    return serve


class _GivesBack:
    """Reads no faster than its client does, and ends when the client ends."""

    def __init__(self, client: HttpConnection) -> None:
        self._client = client

    def body_ended(self) -> None:
        self._client.end()

    def visitor_lost(self) -> None: ...

    def pause(self) -> None:
        self._client.pause_reading()

    def resume(self) -> None:
        self._client.resume_reading()


class Echo(_GivesBack):
    """Gives the body back as it comes."""

    def __init__(self, client: HttpConnection, request: Request) -> None:
        super().__init__(client)
        kind = (request.values(b"content-type") or [b"application/octet-stream"])[0]
        length = [(b"Content-Length", value) for value in request.values(b"content-length")]
        client.send_head(200, [(b"Content-Type", kind), *length])

    def body_received(self, data: bytes) -> None:
        self._client.send_body(data)


class Events:
    """An event a second, until the client has enough."""

    def __init__(self, client: HttpConnection, request: Request) -> None:
        self._client = client
        self._number = 0
        self._is_paused = False
        client.send_head(200, [(b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store")])
        self._timer = asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self._number += 1
        if not self._is_paused:
            self._client.send_body(b"data: %d\n\n" % self._number)
        self._timer = asyncio.get_running_loop().call_later(SSE_INTERVAL, self._tick)

    def body_received(self, data: bytes) -> None: ...
    def body_ended(self) -> None: ...

    def visitor_lost(self) -> None:
        self._timer.cancel()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False


class WebSocketEcho(_GivesBack):
    """Gives messages back, piece by piece as they come: none is held, however long it is."""

    def __init__(self, client: HttpConnection, request: Request) -> None:
        super().__init__(client)
        self._socket = Connection(ConnectionType.SERVER)
        token = generate_accept_token((request.values(b"sec-websocket-key") or [b""])[0])
        upgrade = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
        client.send_head(101, [*upgrade, (b"Sec-WebSocket-Accept", token)])

    def body_received(self, data: bytes) -> None:
        try:
            self._socket.receive_data(data)
            for event in self._socket.events():
                match event:
                    case Message():
                        self._client.send_body(self._socket.send(event))
                    case Ping():
                        self._client.send_body(self._socket.send(event.response()))
                    case CloseConnection():
                        self._client.send_body(self._socket.send(event.response()))
                        self._client.end()
                        return
        except RemoteProtocolError as error:
            if error.event_hint is not None:
                self._client.send_body(self._socket.send(error.event_hint))
            self._client.end()
        except LocalProtocolError:  # it goes on talking after its goodbye
            self._client.abort()


async def _main(orders: HelloWorldOrders) -> None:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)
    async with serving(make_pages(), "127.0.0.1", 0, stop_timeout=STOP_TIMEOUT) as (_, port):
        await serve_until_told(orders, {"http": f"127.0.0.1:{port}"})


if __name__ == "__main__":
    asyncio.run(_main(lifeline.read_orders(HelloWorldOrders)))
