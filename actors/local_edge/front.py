"""The public HTTP front: a visitor's request becomes a stream to the client, its answer the response."""

import secrets
from typing import Final

from actors.errors import EdgeProtocolError
from actors.local_edge.edge import LOCATION, EdgeRegistry
from actors.local_edge.http_server import HttpConnection, Request, Responder
from actors.quic_worker.connection import Stream
from actors.quic_worker.http1 import HEADER_PREFIX, HOP_BY_HOP, HOST_KEY, METHOD_KEY, STATUS_KEY
from actors.quic_worker.wire.connect import ConnectionType, ConnectRequest, HeadReader, Metadata

NO_CONNECTION: Final = 530
"""What the edge answers when no connection of the tunnel is registered."""

_NEVER_FORWARDED: Final = HOP_BY_HOP - {"transfer-encoding"} | {"host"}
"""Transfer-Encoding goes on: it tells the client that a body follows whose length is not known."""


def front(registry: EdgeRegistry) -> HttpConnection:
    """A protocol for a visitor's connection."""

    def serve(visitor: HttpConnection, request: Request) -> Responder:
        host = b"".join(request.values(b"host")[:1])
        connection = registry.route(host.decode("latin-1"))
        if connection is None:
            return _NoTunnel(visitor)
        exchange = FrontExchange(visitor, registry)
        exchange.stream = connection.session.open_request(_connect_request(visitor, request, host), exchange)
        return exchange

    return HttpConnection(serve)


def _connect_request(visitor: HttpConnection, request: Request, host: bytes) -> ConnectRequest:
    metadata = [(METHOD_KEY, request.method.encode()), (HOST_KEY, host)]
    forwarded_for = [*request.values(b"x-forwarded-for"), visitor.visitor.encode()]
    for name, value in request.fields:
        text = name.decode("latin-1")
        if text.lower() not in _NEVER_FORWARDED and text.lower() != "x-forwarded-for":
            metadata.append((HEADER_PREFIX + text, value))
    added = {
        "Cf-Connecting-Ip": visitor.visitor.encode(),
        "Cf-Ipcountry": b"XX",
        "Cf-Ray": f"{secrets.token_hex(8)}-{LOCATION[:3].upper()}".encode(),
        "Cf-Visitor": b'{"scheme":"https"}',
        "Cdn-Loop": b"cloudflare; loops=1",
        "X-Forwarded-For": b", ".join(forwarded_for),
        "X-Forwarded-Proto": b"https",
    }
    metadata += [(HEADER_PREFIX + name, value) for name, value in added.items()]
    kind = ConnectionType.WEBSOCKET if request.upgrade else ConnectionType.HTTP
    target = request.target.decode("latin-1")
    return ConnectRequest(f"https://{host.decode('latin-1')}{target}", kind, tuple(metadata))


class _NoTunnel:
    """Answers 530 at once and ignores the request's body."""

    def __init__(self, visitor: HttpConnection) -> None:
        page = b"error code: 1033\n\nno connection of this tunnel is registered\n"
        visitor.send_head(
            NO_CONNECTION,
            [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(page))],
        )
        visitor.send_body(page)
        self._visitor = visitor

    def body_received(self, data: bytes) -> None: ...

    def body_ended(self) -> None:
        self._visitor.end()

    def visitor_lost(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class FrontExchange:
    """One request: the visitor on one side (Responder), the client's stream on the other (StreamHandler)."""

    stream: Stream

    def __init__(self, visitor: HttpConnection, registry: EdgeRegistry) -> None:
        self._visitor = visitor
        self._registry = registry
        self._reader: HeadReader | None = HeadReader()
        self._paused = False
        self._unconsumed = 0
        self._received = 0
        self._response_ended = False

    # --- from the visitor ---

    def body_received(self, data: bytes) -> None:
        if self.stream.sending:
            self._registry.bytes_in += len(data)
            self.stream.write(data)

    def body_ended(self) -> None:
        self.stream.write(b"", fin=True)

    def visitor_lost(self) -> None:
        self.stream.reset()
        self.stream.stop()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        count, self._unconsumed = self._unconsumed, 0
        self.stream.consumed(count)

    # --- from the client ---

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self._pass_on(data)
            return
        self._received += len(data)
        try:
            head = self._reader.feed_response(data)
            if head is None:
                return
            rest, self._reader = self._reader.rest, None
            self.stream.consumed(self._received - len(rest))
            if head.error:
                self._fail(head.error)
                return
            status, fields = _response_head(head.metadata)
        except EdgeProtocolError as error:
            self._fail(str(error))
            return
        self._visitor.send_head(status, fields)
        self._pass_on(rest)

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        self._registry.bytes_out += len(data)
        self._visitor.send_body(data)
        if self._paused:
            self._unconsumed += len(data)
        else:
            self.stream.consumed(len(data))

    def eof_received(self) -> None:
        if self._reader is not None:
            self._fail("the client answered nothing")
            return
        self._visitor.end()

    def reset_received(self) -> None:
        if self._reader is not None:
            self._fail("the client reset the stream")
        else:
            self.stream.reset()
            self._visitor.abort()

    def stop_received(self) -> None:
        """The client wants no more of the body; its answer may still come."""

    def pause_writing(self) -> None:
        self._visitor.pause_reading()

    def resume_writing(self) -> None:
        self._visitor.resume_reading()

    def _fail(self, reason: str) -> None:
        """The edge's own page for a client that gave no answer."""
        self._reader = None
        page = f"error code: 502\n\n{reason}\n".encode()
        fields = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(page))]
        self._visitor.send_head(502, fields)
        self._visitor.send_body(page)
        self._visitor.end()
        self.stream.reset()
        self.stream.stop()


def _response_head(metadata: Metadata) -> tuple[int, list[tuple[bytes, bytes]]]:
    fields = []
    status = 0
    for key, value in metadata:
        if key == STATUS_KEY and value.isdigit() and len(value) == 3:
            status = int(value)
        elif key.startswith(HEADER_PREFIX):
            fields.append((key[len(HEADER_PREFIX) :].encode("latin-1", "replace"), value))
    if not status:
        raise EdgeProtocolError("the client's answer has no status")
    return status, fields
