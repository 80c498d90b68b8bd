"""HTTP/1.1 towards the origin: request heads, hop-by-hop rules, body framing. Pure.

What is forwarded is what was checked, byte for byte: the target is never normalised. Whatever could be read in two
ways by two servers (RFC 9112 section 11.2) is refused, and nothing of it reaches the origin.
"""

import enum
import functools
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from actors.quic_worker.wire.connect import ConnectionType, ConnectRequest, Metadata

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 128
MAX_VALUE_BYTES: Final = 16 * 1024
MAX_TARGET_BYTES: Final = 8 * 1024
"""What common servers take (8 KiB targets, 100 fields), with some room; the edge's own limits are about as large."""

KNOWN_NAMES: Final = 512
"""Field names that are remembered with their checks: visitors send the same ones again and again. A stranger's names
push others out, and cost no more than that."""

HEADER_PREFIX: Final = "HttpHeader:"
METHOD_KEY: Final = "HttpMethod"
HOST_KEY: Final = "HttpHost"
STATUS_KEY: Final = "HttpStatus"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_TOKEN_BYTES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[/?][\x21\x22\x24-\x7e]*", re.ASCII)
_DEST = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*", re.ASCII)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%\-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_FIELD_VALUE_BYTES = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
_CONTENT_LENGTH = re.compile(rb"0|[1-9][0-9]{0,18}")
_MAX_CONTENT_LENGTH: Final = 2**63 - 1

HOP_BY_HOP: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""RFC 9110 section 7.6.1: they speak of one hop and are not forwarded."""

_NEVER_NOMINATED: Final = frozenset(("host", "content-length", "authorization", "cookie"))
"""A Connection header that names one of these tries to make it disappear on the way."""

_EDGE_INTERNAL: Final = ("cf-int-", "cf-cloudflared-", "cf-proxy-")
"""Response headers with a meaning between client and edge; an origin has no business to send them."""


class BadRequest(Exception):
    """The request is refused with 400, and the origin sees nothing of it."""


class Body(enum.Enum):
    """How a request's body is framed towards the origin."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()


class RequestHead(NamedTuple):
    """A request as the origin gets it."""

    data: bytes
    method: str
    body: Body
    length: int
    """Bytes of the body; meaningful with `Body.LENGTH`."""
    upgrade: bool


def build_request_head(request: ConnectRequest, *, host_header: str | None = None) -> RequestHead:
    """Build the head of a request to the origin from what the edge asks for.

    `host_header` replaces the visitor's Host, which then goes on as X-Forwarded-Host.

    Raises:
        BadRequest: with what is wrong; no byte may reach the origin then.
    """
    method, host, fields = _read_metadata(request.metadata)
    upgrade = request.type is ConnectionType.WEBSOCKET
    lines = [f"{method} {_target(request.dest, method)} HTTP/1.1".encode("ascii")]
    if host_header is None:
        lines.append(b"Host: " + host)
    else:
        lines.append(f"Host: {host_header}\r\nX-Forwarded-Host: ".encode("latin-1") + host)
    nominated = _nominated_by_visitor(fields)
    length: int | None = None
    chunked = False
    after_edge_s_own = False
    """The visitor's fields come first. Behind its own, an edge was seen to say the length once more."""
    for lowered, line, value in fields:
        after_edge_s_own = after_edge_s_own or lowered.startswith("cf-")
        if lowered == "content-length":
            if length is not None and not after_edge_s_own:
                raise BadRequest("two Content-Lengths")
            length = _content_length(value, length)
        elif lowered == "transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise BadRequest("Transfer-Encoding is not exactly `chunked`")
            chunked = True
        elif lowered == "host":
            if value != host:
                raise BadRequest("two different hosts")
        elif lowered not in HOP_BY_HOP and lowered not in nominated:
            if upgrade and lowered == "sec-websocket-version":
                continue
            if host_header is not None and lowered == "x-forwarded-host":
                continue
            lines.append(line + value)
    if chunked and length is not None:
        raise BadRequest("both Content-Length and Transfer-Encoding")
    body = Body.CHUNKED if chunked else Body.LENGTH if length is not None else Body.NONE
    if upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13")
        body = Body.NONE
    else:
        if body is Body.CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        elif body is Body.LENGTH:
            lines.append(b"Content-Length: %d" % (length or 0))
    data = b"\r\n".join(lines) + b"\r\n\r\n"
    if len(data) > MAX_HEAD_BYTES:
        raise BadRequest(f"head of more than {MAX_HEAD_BYTES} bytes")
    return RequestHead(data, method, body, length or 0, upgrade)


_Field = tuple[str, bytes, bytes]
"""A field of a request: its name in lower case, its name as it was sent with the colon behind it, its value."""


def _read_metadata(metadata: Metadata) -> tuple[str, bytes, list[_Field]]:
    """Return method, host and fields, each checked."""
    method: str | None = None
    host: bytes | None = None
    fields: list[_Field] = []
    for key, value in metadata:
        if key.startswith(HEADER_PREFIX):
            name, line = _field_name(key)
            if len(value) > MAX_VALUE_BYTES:
                raise BadRequest(f"field value of more than {MAX_VALUE_BYTES} bytes")
            if value.translate(None, _FIELD_VALUE_BYTES):
                raise BadRequest("control character in a field value")
            fields.append((name, line, value.strip(b" \t")))
        elif key == METHOD_KEY:
            if method is not None or not _TOKEN_BYTES.fullmatch(value):
                raise BadRequest("method given twice, or no token")
            method = value.decode("ascii")
        elif key == HOST_KEY:
            if host is not None or not _HOST.fullmatch(value):
                raise BadRequest("host given twice, or no host")
            host = value
    if method is None or host is None:
        raise BadRequest("no method or no host")
    if len(fields) > MAX_FIELDS:
        raise BadRequest(f"more than {MAX_FIELDS} fields")
    # Servers that read X_A as X-A (CGI, WSGI) would see one field twice, and perhaps the forged one.
    names = {name for name, _, _ in fields}
    for name in names:
        if "_" in name and name.replace("_", "-") in names:
            raise BadRequest(f"both {name} and its twin with hyphens")
    return method, host, fields


@functools.lru_cache(maxsize=KNOWN_NAMES)
def _field_name(key: str) -> tuple[str, bytes]:
    name = key[len(HEADER_PREFIX) :]
    if not _TOKEN.fullmatch(name):
        raise BadRequest("field name that is no token")
    return name.lower(), name.encode("ascii") + b": "


def _target(dest: str, method: str) -> str:
    """The origin-form of `dest`: scheme and authority are dropped, an empty path is `/`, the rest stays as it is."""
    if dest == "*" and method == "OPTIONS":
        return dest
    match = _DEST.match(dest)
    target = dest[match.end() :] if match else dest
    if not target.startswith("/"):
        if target and not target.startswith("?"):
            raise BadRequest("target that is no absolute path")
        target = "/" + target
    if len(target) > MAX_TARGET_BYTES:
        raise BadRequest(f"target of more than {MAX_TARGET_BYTES} bytes")
    if not _TARGET.fullmatch(target):
        raise BadRequest("character in the target that no URL has")
    return target


def _content_length(value: bytes, earlier: int | None) -> int:
    if not _CONTENT_LENGTH.fullmatch(value) or int(value) > _MAX_CONTENT_LENGTH:
        raise BadRequest("Content-Length that is no length")
    if earlier is not None and earlier != int(value):
        raise BadRequest("two different Content-Lengths")
    return int(value)


def _nominated(fields: Iterable[tuple[str, bytes]]) -> frozenset[str]:
    """The fields that Connection declares to be of this hop only, in lower case."""
    return frozenset(
        option.strip(b" \t").decode("latin-1").lower()
        for name, value in fields
        if name.lower() == "connection"
        for option in value.split(b",")
    )


def _nominated_by_visitor(fields: Iterable[_Field]) -> frozenset[str]:
    names = _nominated((name, value) for name, _, value in fields)
    if forbidden := sorted(name for name in names if name in _NEVER_NOMINATED or name.startswith("cf-")):
        raise BadRequest(f"Connection names {forbidden[0]}")
    return names


def response_metadata(status: int, fields: Iterable[tuple[bytes, bytes]], *, upgraded: bool) -> Metadata:
    """The metadata of the answer to the edge: the status and the fields that are not of this hop, in their order."""
    named = [(name.decode("latin-1"), value) for name, value in fields]
    dropped = HOP_BY_HOP | _nominated(named)
    if upgraded:
        dropped -= {"connection", "upgrade"}
    kept = (
        (HEADER_PREFIX + name, value)
        for name, value in named
        if name.lower() not in dropped and not name.lower().startswith(_EDGE_INTERNAL)
    )
    return ((STATUS_KEY, b"%d" % status), *kept)


def error_metadata(status: int, length: int) -> Metadata:
    """The metadata of an answer that this program gives itself."""
    return (
        (STATUS_KEY, b"%d" % status),
        (HEADER_PREFIX + "Content-Type", b"text/plain; charset=utf-8"),
        (HEADER_PREFIX + "Content-Length", b"%d" % length),
        (HEADER_PREFIX + "Cache-Control", b"no-store"),
    )


def chunk(data: bytes) -> bytes:
    """`data` as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
