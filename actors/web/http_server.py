"""HTTP/1.1 towards clients: requests with streamed bodies, responses as they come, raw bytes after an upgrade.

llhttp (httptools) reads; what is written here is the response's framing. One request at a time: what comes after a
request waits until that is answered; a client that sends two in one piece gets the first answered and the connection
closed, as RFC 9112 section 9.3.2 allows. An offer of another
protocol is declined by an answer in HTTP/1.1, as RFC 9110 section 7.8 has it: HTTP/2 by `Upgrade: h2c` is ignored.
"""

import asyncio
import http
import re
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast

import httptools

from actors.exchange import flow

MAX_HEAD_BYTES: Final = 256 * 1024
"""More than the service takes (32 KiB of URL, 128 KiB of fields): whoever is behind it is to meet that and more."""

WRITE_HIGH_WATER: Final = 256 * 1024
"""Bytes that wait for a slow visitor before the client behind the tunnel is told to wait too."""


_TLS_HANDSHAKE: Final = b"\x16\x03"
"""What every TLS hello begins with (RFC 8446 section 5.1), and no request."""

_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
"""A target as proxies get it (RFC 9112 section 3.2.2): authority, and the rest."""

_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")


def phrase(status: int) -> str:
    """The usual words for a status; none for one that is not registered."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


class Request(NamedTuple):
    """A visitor's request."""

    method: str
    target: bytes
    fields: list[tuple[bytes, bytes]]
    upgrade: bool
    """It asks for a WebSocket."""

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field (its name in lower case)."""
        return [value for key, value in self.fields if key.lower() == name]


class Responder(Protocol):
    """Serves one request."""

    def body_received(self, data: bytes) -> None:
        """Bytes of the request's body, or raw bytes after an upgrade."""

    def body_ended(self) -> None:
        """The body is complete; after an upgrade: the visitor has no more to say."""

    def visitor_lost(self) -> None:
        """The visitor is gone."""

    def pause(self) -> None:
        """The visitor reads more slowly than we write."""

    def resume(self) -> None:
        """It has caught up."""


class HttpConnection(asyncio.Protocol):
    """One visitor's connection. `serve` is called with every request."""

    def __init__(self, serve: Callable[["HttpConnection", Request], Responder]) -> None:
        self._serve = serve
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._responder: Responder | None = None
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._line = b""
        """What came of a request line that has no end yet."""
        self._head_bytes = 0
        self._held = b""
        """What came before the present request was answered. A client knows by the length that it has a whole answer,
        and may ask again before whoever serves it has said so."""
        self._in_head = True
        self._method = ""
        self._version = "1.1"
        self._raw = False
        self._chunked = False
        self._bodyless = False
        self._keep_alive = True
        self._upgrade = False
        self._declines = False
        """The present request offers another protocol than a WebSocket."""
        self._visitor_ended = False
        """After an upgrade: the visitor has no more to say."""

    @property
    def visitor(self) -> str:
        """The visitor's address."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else ""

    @property
    def scheme(self) -> str:
        """`https` if the visitor speaks TLS, else `http`."""
        return "https" if self._is_tls else "http"

    @property
    def _is_tls(self) -> bool:
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is not None

    # --- the response ---

    def send_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the response; the framing of its body follows from it."""
        assert self._transport is not None
        lines = [f"HTTP/1.1 {status} {phrase(status)}".encode()]
        lines += [name + b": " + value for name, value in fields]
        names = {name.lower() for name, _ in fields}
        if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._raw = True
        else:
            self._bodyless = self._method == "HEAD" or status in (204, 304)
            if not self._bodyless and b"content-length" not in names:
                if self._version == "1.1":
                    self._chunked = True
                    lines.append(b"Transfer-Encoding: chunked")
                else:
                    self._keep_alive = False
            if not self._keep_alive:
                lines.append(b"Connection: close")
        self._transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def send_body(self, data: bytes) -> None:
        """Send bytes of the response's body, or raw ones."""
        assert self._transport is not None
        if data and not self._bodyless:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        """The response is complete; after an upgrade: no more raw bytes."""
        assert self._transport is not None
        if self._raw:
            self._end_raw()
            return
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")
        self._responder = None
        self._chunked = self._bodyless = False
        if not self._in_head:
            # The rest of the request is read and thrown away: closing now could cost the visitor the response.
            self.resume_reading()
        elif not self._keep_alive:
            self._transport.close()
        elif self._held:
            asyncio.get_running_loop().call_soon(self._take_held)

    def _take_held(self) -> None:
        held, self._held = self._held, b""
        self.resume_reading()
        if self._transport is not None and not self._transport.is_closing():
            self.data_received(held)

    def _end_raw(self) -> None:
        assert self._transport is not None
        if self._transport.can_write_eof() and not self._visitor_ended:
            self._transport.write_eof()
        else:
            self._responder = None
            self._transport.close()

    def abort(self) -> None:
        """The response broke off: the visitor must not take it for the whole."""
        self._responder = None
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        flow.stop(self._transport)

    def resume_reading(self) -> None:
        flow.start(self._transport)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        if self._raw or self._upgrade:
            if self._responder is not None:
                self._responder.body_received(data)
            return
        if self._held or (self._in_head and self._responder is not None):
            self._held += data
            if len(self._held) > MAX_HEAD_BYTES:
                self.pause_reading()
            return
        if self._in_head:
            is_in_line = self._head_bytes == len(self._line)
            self._head_bytes += len(data)
            if is_in_line:
                self._line += data
                if self._line.startswith(_TLS_HANDSHAKE):
                    self._refuse(http.HTTPStatus.BAD_REQUEST, "TLS to a port that speaks plain HTTP: ask for http://")
                    return
                if b"\n" not in self._line and self._head_bytes <= MAX_HEAD_BYTES:
                    return
                data, self._line = _escaped(self._line), b""
        self._feed(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head of over {MAX_HEAD_BYTES} bytes")

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._refuse(http.HTTPStatus.BAD_REQUEST, f"no request in HTTP/1.1: {error}")

    def _switched(self, rest: bytes) -> None:
        """llhttp reads no further: `rest` is raw if a WebSocket was asked for, and else still HTTP/1.1."""
        if self._parser.get_method() == b"CONNECT":
            self._refuse(http.HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT: this is no proxy")
        elif self._declines:
            self._read_again(rest)
        elif self._responder is not None and rest:
            self._responder.body_received(rest)

    def _read_again(self, rest: bytes) -> None:
        """Read the request without its Upgrade fields, and with the body that llhttp would not look for."""
        version, kept = self._parser.get_http_version().encode(), []
        for name, value in self._fields:
            if name.lower() != b"upgrade":
                kept.append(b"%b: %b\r\n" % (name, value))
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (self._parser.get_method(), self._target, version, b"".join(kept))
        self._parser = httptools.HttpRequestParser(self)
        self._feed(head + rest)

    def eof_received(self) -> bool:
        if (self._raw or self._upgrade) and self._responder is not None:
            self._visitor_ended = True
            self._responder.body_ended()
            return not self._is_tls  # which knows no half-open connections
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._responder is not None:
            responder, self._responder = self._responder, None
            responder.visitor_lost()

    def pause_writing(self) -> None:
        if self._responder is not None:
            self._responder.pause()

    def resume_writing(self) -> None:
        if self._responder is not None:
            self._responder.resume()

    def _refuse(self, status: http.HTTPStatus, why: str) -> None:
        if self._responder is None and self._transport is not None and not self._transport.is_closing():
            self._keep_alive, self._method = False, ""
            page = f"{why}\n".encode()
            self.send_head(status, [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(page))])
            self.send_body(page)
            self._transport.close()
            return
        responder, self._responder = self._responder, None
        if responder is not None:
            responder.visitor_lost()
        self.abort()

    # --- what llhttp reports ---

    def on_message_begin(self) -> None:
        self._target = b""
        self._fields = []
        self._in_head, self._declines = True, False

    def on_url(self, data: bytes) -> None:
        self._target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._transport is not None
        self._in_head = False
        self._head_bytes = 0
        if self._responder is not None:
            self._keep_alive = False  # pipelined: the first one is answered, then the connection closes
            return
        self._method = self._parser.get_method().decode("ascii")
        self._version = self._parser.get_http_version()
        self._keep_alive = self._parser.should_keep_alive()
        upgrade = [value.lower() for name, value in self._fields if name.lower() == b"upgrade"]
        self._upgrade = self._parser.should_upgrade() and upgrade == [b"websocket"]
        if self._parser.should_upgrade() and not self._upgrade:
            self._declines = True
            return
        if self._upgrade:
            self._keep_alive = False  # what follows is raw, or nothing
        if self._version == "1.1" and any(
            name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in self._fields
        ):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._responder = self._serve(self, self._request())

    def _request(self) -> Request:
        target, fields = self._target, self._fields
        if absolute := _ABSOLUTE_FORM.fullmatch(target):
            host, target = absolute[1], absolute[2]
            if not target.startswith(b"/"):
                target = b"*" if not target and self._method == "OPTIONS" else b"/" + target
            fields = [(b"Host", host), *(field for field in fields if field[0].lower() != b"host")]
        return Request(self._method, target, fields, self._upgrade)

    def on_body(self, data: bytes) -> None:
        if self._responder is not None:
            self._responder.body_received(data)

    def on_message_complete(self) -> None:
        if self._declines:
            return  # it is read again
        self._in_head = True
        if self._responder is not None and not self._upgrade:
            self._responder.body_ended()
        elif self._responder is None and not self._keep_alive and self._transport is not None:
            self._transport.close()


def _escaped(request: bytes) -> bytes:
    """Its first line with the raw bytes of other alphabets percent-encoded, which curl sends and llhttp refuses."""
    line, newline, rest = request.partition(b"\n")
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line) + newline + rest
