"""The public HTTP front: a visitor's request becomes a stream to the client, its answer the response."""

import asyncio
import json
import math
import secrets
from typing import Final

from actors.errors import EdgeProtocolError
from actors.exchange.flow import Valve
from actors.exchange.http1 import HOP_BY_HOP
from actors.local_edge.edge import LOCATION, EdgeRegistry, EdgeSession, EdgeStream
from actors.local_edge.limits import MAX_HELD_BYTES, UNLIMITED, Limits
from actors.local_edge.local_address import Alias, Fields, is_local_address
from actors.local_edge.registry import Connection, Tunnel
from actors.web.http_server import HttpConnection, Request, Responder
from actors.wire.connect import ConnectionType, ConnectRequest, HeadReader, Metadata
from actors.wire.heads import HEADER_PREFIX, HOST_KEY, METHOD_KEY, STATUS_KEY

NO_CONNECTION: Final = 530
"""What the edge answers when no connection of the tunnel is registered."""

TOO_LATE: Final = 524
"""What the service answers when the origin has not, in its time."""

_NEVER_FORWARDED: Final = HOP_BY_HOP - {b"transfer-encoding"} | {b"host"}
"""Transfer-Encoding goes on: it tells the client that a body follows whose length is not known."""


def front(registry: EdgeRegistry, limits: Limits = UNLIMITED) -> HttpConnection:
    """A protocol for a visitor's connection."""

    def serve(visitor: HttpConnection, request: Request) -> Responder:
        host = b"".join(request.values(b"host")[:1])
        alias = None
        if is_local_address(host):
            tunnels = registry.serving()
            if len(tunnels) > 1:
                return _Page(visitor, 421, _which_of(tunnels, visitor.scheme))
            if tunnels:
                local, public = f"{visitor.scheme}://".encode() + host, _public_url(tunnels[0], visitor.scheme).encode()
                alias = Alias(local, public)
                request = request._replace(fields=alias.to_origin(request.fields))
                host = tunnels[0].hostname.encode()
        connection = registry.route(host.decode("latin-1"), asyncio.get_running_loop().time())
        if connection is None:
            return _Page(visitor, NO_CONNECTION, "no connection of this tunnel is registered", code=1033)
        tunnel = connection.tunnel
        if registry.in_flight[tunnel.id] >= limits.in_flight:
            return _Page(visitor, 429, f"{limits.in_flight} requests are in flight already")
        if sum(map(_declared_length, request.values(b"content-length"))) > limits.body_bytes:
            return _Page(visitor, 413, _too_large(limits))
        exchange = FrontExchange(visitor, request.method, registry, connection, limits, alias)
        exchange.begin(_connect_request(visitor, request, host))
        return exchange

    return HttpConnection(serve)


def _public_url(tunnel: Tunnel, scheme: str) -> str:
    return f"{scheme}://{tunnel.hostname}"


def _which_of(tunnels: list[Tunnel], scheme: str) -> str:
    names = "\n".join(_public_url(tunnel, scheme) for tunnel in tunnels)
    return f"several tunnels are up here; ask for one of them by its name:\n{names}"


def _declared_length(value: bytes) -> int:
    return int(value) if value.isdigit() else 0


def _too_large(limits: Limits) -> str:
    return f"the body has more than {limits.body_bytes} bytes"


def _connect_request(visitor: HttpConnection, request: Request, host: bytes) -> ConnectRequest:
    metadata = [(METHOD_KEY, request.method.encode()), (HOST_KEY, host)]
    forwarded_for = [*request.values(b"x-forwarded-for"), visitor.visitor.encode()]
    added = {
        "Cf-Connecting-Ip": visitor.visitor.encode(),
        "Cf-Ipcountry": b"XX",
        "Cf-Ray": f"{secrets.token_hex(8)}-{LOCATION[:3].upper()}".encode(),
        "Cf-Visitor": json.dumps({"scheme": visitor.scheme}, separators=(",", ":")).encode(),
        "Cdn-Loop": b"cloudflare; loops=1",
        "X-Forwarded-For": b", ".join(forwarded_for),
        "X-Forwarded-Proto": visitor.scheme.encode(),
    }
    # What the edge says of the visitor is not the visitor's to say.
    dropped = _NEVER_FORWARDED | {name.lower().encode() for name in added}
    for name, value in request.fields:
        if name.lower() not in dropped:
            metadata.append((HEADER_PREFIX + name.decode("latin-1"), value))
    metadata += [(HEADER_PREFIX + name, value) for name, value in added.items()]
    kind = ConnectionType.WEBSOCKET if request.upgrade else ConnectionType.HTTP
    target = request.target.decode("latin-1")
    url = target if target == "*" else f"{visitor.scheme}://{host.decode('latin-1')}{target}"
    return ConnectRequest(url, kind, tuple(metadata))


class _Page:
    """Answers at once, in the edge's own name, and ignores the request's body."""

    def __init__(self, visitor: HttpConnection, status: int, reason: str, *, code: int | None = None) -> None:
        _send_page(visitor, status, reason, code=code)
        self._visitor = visitor

    def body_received(self, data: bytes) -> None: ...

    def body_ended(self) -> None:
        self._visitor.end()

    def visitor_lost(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def _send_page(visitor: HttpConnection, status: int, reason: str, *, code: int | None = None) -> None:
    """The first line is all that the service says; its `code` is mostly the status."""
    page = f"error code: {code or status}\n\n{reason}\n".encode()
    fields = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Content-Length", b"%d" % len(page))]
    visitor.send_head(status, fields)
    visitor.send_body(page)


class FrontExchange:
    """One request: the visitor on one side (Responder), the client's stream on the other (StreamHandler)."""

    stream: EdgeStream
    _credit: Valve

    def __init__(
        self,
        visitor: HttpConnection,
        method: str,
        registry: EdgeRegistry,
        connection: Connection[EdgeSession],
        limits: Limits,
        alias: Alias | None,
    ) -> None:
        self._visitor = visitor
        self._method = method
        self._registry = registry
        self._connection = connection
        self._limits = limits
        self._alias = alias
        self._reader: HeadReader | None = HeadReader()
        """None once the head of the answer is there."""
        self._held: tuple[int, Fields, bytearray] | None = None
        """An answer that is held back until it ends: status, fields, body so far."""
        self._timer: asyncio.TimerHandle | None = None
        self._received = 0
        self._uploaded = 0
        self._is_over = False

    def begin(self, asked: ConnectRequest) -> None:
        """Open the client's stream."""
        self._registry.in_flight[self._connection.tunnel.id] += 1
        self._registry.streams += 1
        self.stream = self._connection.session.link.open_request(asked, self)
        self._credit = Valve(self.stream.consumed)
        if self._limits.answer_timeout < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.answer_timeout, self._answer_too_late)

    def _finish(self) -> None:
        """The response has ended, one way or another: nothing more goes to the visitor."""
        if not self._is_over:
            self._is_over = True
            self._registry.in_flight[self._connection.tunnel.id] -= 1
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- from the visitor ---

    def body_received(self, data: bytes) -> None:
        self._uploaded += len(data)
        if self._uploaded > self._limits.body_bytes and self._reader is not None:
            self._fail(413, _too_large(self._limits))
        elif self.stream.sending:
            self._registry.bytes_in += len(data)
            self.stream.write(data)

    def body_ended(self) -> None:
        self.stream.write(b"", fin=True)

    def visitor_lost(self) -> None:
        self._finish()
        self.stream.reset()
        self.stream.stop()

    def pause(self) -> None:
        self._credit.close()

    def resume(self) -> None:
        self._credit.open()

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
                self._fail(502, head.error)
                return
            status, fields = _response_head(head.metadata)
        except EdgeProtocolError as error:
            self._fail(502, str(error))
            return
        self._stop_timer()
        if self._alias is not None:
            fields = self._alias.to_visitor(fields)
        if self._limits.holds(self._method, fields):
            self._held = status, fields, bytearray()
        else:
            self._visitor.send_head(status, fields)
        self._pass_on(rest)

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        self._registry.bytes_out += len(data)
        if self._held is None:
            self._visitor.send_body(data)
        else:
            self._held[2].extend(data)
            if len(self._held[2]) > MAX_HELD_BYTES:
                self._let_go()
        self._credit.passed(len(data))

    def _let_go(self) -> None:
        """Send what was held back."""
        if self._held is not None:
            (status, fields, body), self._held = self._held, None
            self._visitor.send_head(status, fields)
            self._visitor.send_body(bytes(body))

    def eof_received(self) -> None:
        if self._reader is not None:
            self._fail(502, "the client answered nothing")
            return
        self._let_go()
        self._finish()
        self._visitor.end()

    def reset_received(self) -> None:
        if self._reader is not None:
            self._fail(502, "the client reset the stream")
        elif not self._is_over:
            self._finish()
            self.stream.reset()
            self._visitor.abort()

    def stop_received(self) -> None:
        """The client wants no more of the body; its answer may still come."""

    def pause_writing(self) -> None:
        self._visitor.pause_reading()

    def resume_writing(self) -> None:
        self._visitor.resume_reading()

    def _answer_too_late(self) -> None:
        self._fail(TOO_LATE, f"the origin has not answered within {self._limits.answer_timeout:g} s")

    def _fail(self, status: int, reason: str) -> None:
        """The edge's own page in place of an answer."""
        if self._is_over:
            return
        self._finish()
        self._reader = None
        self.stream.reset()
        self.stream.stop()
        _send_page(self._visitor, status, f"{reason}\nconnection {self._connection.id}")
        self._visitor.end()


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
