"""What the edge says over HTTP/2, and what it is answered, from and to the words that QUIC has for it. Pure."""

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final

from actors.errors import EdgeProtocolError
from actors.exchange.request import Field
from actors.wire.connect import ConnectionType, ConnectRequest, ConnectResponse
from actors.wire.heads import HEADER_PREFIX, HOST_KEY, METHOD_KEY, STATUS_KEY

PURPOSE: Final = b"cf-cloudflared-proxy-connection-upgrade"
"""The field that tells what a stream is for, if it is no plain request."""

SOURCE: Final = b"cf-cloudflared-proxy-src"
"""The field of a raw tunnel: who asks for it."""

_SERIALISED: Final = b"cf-cloudflared-response-headers"
_META: Final = b"cf-cloudflared-response-meta"
_BY_ORIGIN: Final = b'{"src":"origin"}'

_SAID_BY_FRAMES: Final = b"transfer-encoding"
"""QUIC's edge says by it that a body follows; a stream that does not end says it here."""

_URL: Final = re.compile(r"[^:/?#]*://([^/?#]*)")
"""What precedes the target. No library: it would mend, or refuse, what a test wants to arrive as it is."""

GO_AWAY: Final = 7
"""The type of the frame."""

_HEADER_BYTES: Final = 9

MAX_FRAME_BYTES: Final = 16_384
"""Bytes of a frame that the edge takes: what HTTP/2 begins with, and no more is announced."""


def opening(purpose: bytes, method: bytes = b"GET") -> list[Field]:
    """The fields of a stream that is no visitor's."""
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", b"h2.cftunnel.com"),
        (b":path", b"/"),
        (PURPOSE, purpose),
    ]


def request_fields(request: ConnectRequest) -> list[Field]:
    """A request's fields; what is not legal in HTTP/2 goes on, as a test wants it."""
    url = _URL.match(request.dest)
    authority, target = (url[1], request.dest[url.end() :] or "/") if url else ("", request.dest)
    method, host = b"GET", authority.encode("utf-8", "surrogateescape")
    fields: list[Field] = []
    for key, value in request.metadata:
        if key == METHOD_KEY:
            method = value
        elif key == HOST_KEY:
            host = value
        elif key.startswith(HEADER_PREFIX):
            name = key[len(HEADER_PREFIX) :].lower().encode("utf-8")
            if name != _SAID_BY_FRAMES:
                fields.append((name, value))
    if request.type is ConnectionType.WEBSOCKET:
        fields.insert(0, (PURPOSE, b"websocket"))
    elif request.type is ConnectionType.TCP:
        fields.insert(0, (SOURCE, b"127.0.0.9"))
    path = target.encode("utf-8", "surrogateescape")
    return [(b":method", method), (b":scheme", b"https"), (b":authority", host), (b":path", path), *fields]


def response_of(fields: Iterable[Field], asked: ConnectionType) -> ConnectResponse:
    """What a client's response says.

    Raises:
        EdgeProtocolError: it is none.
    """
    real = dict(fields)
    status = real.get(b":status", b"")
    if not status.isdigit():
        raise EdgeProtocolError("the client's answer has no status")
    meta = real.get(_META, b"")
    if meta != _BY_ORIGIN:
        return ConnectResponse(f"the client answers {status.decode()} by itself ({meta.decode('latin-1')!r})", ())
    if _SERIALISED not in real:
        raise EdgeProtocolError(f"the client's answer has no {_SERIALISED.decode()}")
    headers = list(deserialised(real[_SERIALISED]))
    if asked is ConnectionType.WEBSOCKET and status == b"200" and _says_upgrade(headers):
        status = b"101"  # HTTP/2 has no such status
    said = ((HEADER_PREFIX + name.decode("latin-1"), value) for name, value in headers)
    return ConnectResponse("", ((STATUS_KEY, status), *said))


def _says_upgrade(headers: list[Field]) -> bool:
    """What an origin's 101 says, and no other answer. Whether that is a good one, the visitor sees, as over QUIC."""
    return any(name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in headers)


def deserialised(text: bytes) -> Iterator[Field]:
    """The origin's headers, which come as one field: base64(name):base64(value), joined with semicolons.

    Raises:
        EdgeProtocolError: it is malformed.
    """
    for piece in text.split(b";"):
        if piece:
            parts = piece.split(b":")
            if len(parts) != 2:
                raise EdgeProtocolError("the client's serialised headers are malformed")
            yield _decoded(parts[0]), _decoded(parts[1])


def _decoded(text: bytes) -> bytes:
    """Base64 without padding."""
    if text.endswith(b"="):
        raise EdgeProtocolError("the client's serialised headers are padded")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True) if text else b""
    except binascii.Error as error:
        raise EdgeProtocolError(f"the client's serialised headers are malformed: {error}") from None


class FrameSplitter:
    """Parts what comes into frames: h2 takes a GOAWAY for the end of everything, so it must not see one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Take bytes: the whole frames among all that came, but for GOAWAYs, and the payloads of those.

        Raises:
            EdgeProtocolError: a frame is larger than the edge takes.
        """
        self._buffer += data
        frames, at, farewells = bytearray(), 0, []
        while len(self._buffer) - at >= _HEADER_BYTES:
            length = int.from_bytes(self._buffer[at : at + 3], "big")
            if length > MAX_FRAME_BYTES:
                raise EdgeProtocolError(f"a frame of {length} bytes; at most {MAX_FRAME_BYTES} are taken")
            end = at + _HEADER_BYTES + length
            if end > len(self._buffer):
                break
            if self._buffer[at + 3] == GO_AWAY:
                farewells.append(bytes(self._buffer[at + _HEADER_BYTES : end]))
            else:
                frames += self._buffer[at:end]
            at = end
        del self._buffer[:at]
        return bytes(frames), farewells
