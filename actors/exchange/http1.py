"""HTTP/1.1 towards the origin: request heads, hop-by-hop rules, body framing. Pure.

What is forwarded is what was checked, byte for byte: the target is never normalised, but for bytes that no URL may hold
as they are (RFC 3986), which are percent-encoded. Whatever could be read in two ways by two servers (RFC 9112 section
11.2) is refused, and nothing of it reaches the origin.
"""

import base64
import enum
import hashlib
import http
import re
from typing import Final, NamedTuple

from actors.exchange.names import Known
from actors.exchange.request import Field, Kind, Request

MAX_TARGET_BYTES: Final = 32 * 1024
MAX_HEAD_BYTES: Final = MAX_TARGET_BYTES + 132 * 1024
MAX_FIELDS: Final = 1024
"""What Cloudflare's edge takes of a visitor: a URL of 32 KiB, and 1000 fields with 128 KiB in all, in one or in many.
It adds a dozen of its own, for which there is room. What an origin takes is the origin's affair."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[/?][\x21\x22\x24-\x7e]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%\-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_FIELD_VALUE_BYTES = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
_CONTENT_LENGTH = re.compile(rb"0|[1-9][0-9]{0,18}")
_MAX_CONTENT_LENGTH: Final = 2**63 - 1

HOP_BY_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
"""RFC 9110 section 7.6.1: they speak of one hop and are not forwarded."""

_NEVER_NOMINATED: Final = frozenset((b"host", b"content-length", b"authorization", b"cookie"))
"""A Connection header that names one of these tries to make it disappear on the way."""


class BadRequest(Exception):
    """The request is refused, and the origin sees nothing of it: `status` is what the visitor gets."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Body(enum.Enum):
    """How a request's body is framed towards the origin."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNKNOWN = enum.auto()
    """No length was said, and no end has come: whether there is a body is known once its first bytes come, or FIN."""


class RequestHead(NamedTuple):
    """A request as the origin gets it."""

    data: bytes
    method: str
    body: Body
    length: int
    """Bytes of the body; meaningful with `Body.LENGTH`."""
    upgrade: bool

    @property
    def announces_no_body(self) -> bool:
        """Whether bytes of a body would be a surprise."""
        return (self.body is Body.NONE or self.body is Body.UNKNOWN) and not self.upgrade and bool(self.method)

    def framed(self, *, has_body: bool) -> "RequestHead":
        """The same request, of which no length was said, now that it is known whether a body comes."""
        if has_body:
            return self._replace(data=self.data[:-2] + _IS_CHUNKED, body=Body.CHUNKED)
        if self.method not in _MEANT_FOR_BODIES:
            return self._replace(body=Body.NONE)
        return self._replace(data=self.data[:-2] + b"Content-Length: 0\r\n\r\n", body=Body.LENGTH)

    def with_length(self, length: int) -> "RequestHead":
        """The same request, whose body would have come in chunks, now that its length is known."""
        data = self.data.removesuffix(_IS_CHUNKED) + b"Content-Length: %d\r\n\r\n" % length
        return self._replace(data=data, body=Body.LENGTH, length=length)


_IS_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
"""How a head ends whose body is."""

NO_HEAD: Final = RequestHead(b"", "", Body.NONE, 0, upgrade=False)
"""What is sent ahead where no HTTP is spoken: nothing."""

_MEANT_FOR_BODIES: Final = frozenset(("POST", "PUT", "PATCH"))
"""Methods of which an origin expects to be told that there is no body (RFC 9110 section 8.6); some answer 411 else."""

_HARDLY_EVER_WITH_BODY: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
"""Methods of which none is waited for: whatever a visitor waits for begins with one of these."""


def build_request_head(request: Request, *, refuse_twins: bool = False, trailers: bool = False) -> RequestHead:
    """Build the head of a request to the origin from what the edge asks for.

    `refuse_twins`: refuse X_A beside X-A, for an origin that takes the two for one (CGI, WSGI). `trailers`: fields
    after the response's body reach the visitor, so that the origin is told who wants some (gRPC's clients do).

    Raises:
        BadRequest: with what is wrong; no byte may reach the origin then.
    """
    kind, method, target, host, given = request
    if not _TOKEN.fullmatch(method):
        raise BadRequest("no method, or one that is no token")
    if not _HOST.fullmatch(host):
        raise BadRequest("no host, or one that is none")
    if len(given) > MAX_FIELDS:
        raise BadRequest(f"more than {MAX_FIELDS} fields", status=431)
    body, length, upgrade = Body.UNKNOWN, 0, kind is Kind.WEBSOCKET
    try:
        if upgrade or refuse_twins:
            raise _Special
        lines = [_PLAIN[name] + value.strip(b" \t") for name, value in given]
    except _Special:
        lines, body, length, upgrade = _judge(request, refuse_twins=refuse_twins, trailers=trailers)
    if body is Body.UNKNOWN and method in _HARDLY_EVER_WITH_BODY:
        body = Body.NONE
    data = b"\r\n".join([b"%b %b HTTP/1.1" % (method, _checked(target, method)), b"Host: " + host, *lines, b"", b""])
    if data.translate(None, _FIELD_VALUE_BYTES) != b"\r\n" * (len(lines) + 3):  # at once, since names are right
        raise BadRequest("control character in a field value")
    if len(data) > MAX_HEAD_BYTES:
        raise BadRequest(f"head of more than {MAX_HEAD_BYTES} bytes", status=431)
    return RequestHead(data, method.decode("ascii"), body, length, upgrade)


_SPECIAL_NAMES: Final = HOP_BY_HOP | {b"host", b"content-length"}
"""Fields that decide how the request is framed, or that are of the visitor's hop."""


class _Special(Exception):
    """Among the fields is one of those, or something else is unusual."""


def _line(name: bytes) -> bytes:
    """The line of a field up to its value."""
    if not _TOKEN.fullmatch(name):
        raise BadRequest("field name that is no token")
    return name + b": "


def _plain_line(name: bytes) -> bytes:
    if name.lower() in _SPECIAL_NAMES:
        raise _Special
    return _line(name)


_PLAIN: Final = Known(_plain_line)
"""Lines of fields that go on as they are; `_Special` for those that need to be judged."""


def _judge(request: Request, *, refuse_twins: bool, trailers: bool) -> tuple[list[bytes], Body, int, bool]:
    """All the lines of fields, the framing of the body, and whether it is an upgrade: of any request."""
    names: list[bytes] = []
    lines: list[bytes] = []
    """Of what passes as it is, each with its name."""
    special: list[_SpecialField] = []
    for name, value in request.fields:
        line, lowered = _line(name), name.lower()
        if lowered in _SPECIAL_NAMES:
            special.append((lowered, value.strip(b" \t"), len(names)))
        else:
            names.append(lowered)
            lines.append(line + value.strip(b" \t"))
    if refuse_twins:
        _refuse_twins({*names, *(name for name, _, _ in special)})
    body, length, dropped, websocket = _judge_special(special, names, request.host)
    upgrade = request.kind is Kind.WEBSOCKET or (websocket and request.method == b"GET" and not length)
    if upgrade:
        body, length, dropped = Body.NONE, 0, dropped | {b"sec-websocket-version"}
    if dropped:
        lines = [line for name, line in zip(names, lines, strict=True) if name not in dropped]
    if upgrade:
        lines += b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
    elif trailers and any(name == b"te" and b"trailers" in _options(value) for name, value, _ in special):
        lines += b"TE: trailers", b"Connection: TE"  # RFC 9110 section 10.1.4: of our hop, too
    if body is Body.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    elif body is Body.LENGTH:
        lines.append(b"Content-Length: %d" % length)
    return lines, body, length, upgrade


_SpecialField = tuple[bytes, bytes, int]
"""Its name in lower case, its value, and how many fields that pass came before it."""


def _judge_special(
    special: list[_SpecialField], names: list[bytes], host: bytes
) -> tuple[Body, int, frozenset[bytes], bool]:
    """How the body is framed, the fields that Connection declares to be of the visitor's hop, and whether a WebSocket
    is asked for.

    That is the one upgrade that is passed on: the edge carries no other, and h2c would hide requests from it.
    """
    length: int | None = None
    chunked = websocket = False
    nominated: frozenset[bytes] = frozenset()
    if b"".join([value for _, value, _ in special]).translate(None, _FIELD_VALUE_BYTES):
        raise BadRequest("control character in a field value")
    for name, value, before in special:
        if name == b"content-length":
            # The visitor's fields come first. Behind its own, an edge was seen to say the length once more.
            if length is not None and not any(earlier.startswith(b"cf-") for earlier in names[:before]):
                raise BadRequest("two Content-Lengths")
            length = _content_length(value, length)
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise BadRequest("Transfer-Encoding is not exactly `chunked`")
            chunked = True
        elif name == b"host":
            if value != host:
                raise BadRequest("two different hosts")
        elif name == b"connection":
            nominated |= _options(value)
        elif name == b"upgrade":
            websocket = websocket or b"websocket" in _options(value)
    if chunked and length is not None:
        raise BadRequest("both Content-Length and Transfer-Encoding")
    if forbidden := sorted(name for name in nominated if name in _NEVER_NOMINATED or name.startswith(b"cf-")):
        raise BadRequest(f"Connection names {forbidden[0].decode('latin-1')}")
    body = Body.CHUNKED if chunked else Body.LENGTH if length is not None else Body.UNKNOWN
    return body, length or 0, nominated, websocket and not chunked


def _refuse_twins(names: set[bytes]) -> None:
    """Servers that read X_A as X-A (CGI, WSGI) would see one field twice, and perhaps the forged one."""
    for name in names:
        if b"_" in name and name.replace(b"_", b"-") in names:
            raise BadRequest(f"both {name.decode()} and its twin with hyphens")


def _checked(target: bytes, method: bytes) -> bytes:
    """The target as the origin gets it: an empty path is `/`, the rest stays as it is, but for raw bytes past ASCII,
    which are percent-encoded: that is what they mean, and many servers refuse them else."""
    if target == b"*" and method == b"OPTIONS":
        return b"*"
    if not target.startswith(b"/"):
        if target and not target.startswith(b"?"):
            raise BadRequest("target that is no absolute path")
        target = b"/" + target
    if len(target) > MAX_TARGET_BYTES:
        raise BadRequest(f"target of more than {MAX_TARGET_BYTES} bytes", status=414)
    if not target.isascii():
        target = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target)
    if not _TARGET.fullmatch(target):
        raise BadRequest("character in the target that no URL has")
    return target


def _content_length(value: bytes, earlier: int | None) -> int:
    if not _CONTENT_LENGTH.fullmatch(value) or int(value) > _MAX_CONTENT_LENGTH:
        raise BadRequest("Content-Length that is no length")
    if earlier is not None and earlier != int(value):
        raise BadRequest("two different Content-Lengths")
    return int(value)


def _options(value: bytes) -> frozenset[bytes]:
    """The fields that a Connection field declares to be of this hop only, in lower case."""
    return frozenset(option.strip(b" \t").lower() for option in value.split(b","))


def method_of(request: Request) -> str:
    """The method of a request that may be refused yet; nothing if it is none."""
    return request.method.decode("ascii") if _TOKEN.fullmatch(request.method) else ""


def is_host(value: bytes) -> bool:
    """Whether this is a host, with a port or without."""
    return _HOST.fullmatch(value) is not None


def response_fields(fields: list[Field], *, upgraded: bool) -> list[Field]:
    """The fields of an origin's response that are not of its hop, in their order."""
    for name, _ in fields:
        if _IS_OF_HOP[name]:
            break
    else:
        return fields
    nominated: set[bytes] = set()
    for name, value in fields:
        if name.lower() == b"connection":
            nominated |= _options(value)
    dropped = (HOP_BY_HOP | nominated) - (_UPGRADE if upgraded else set())
    return [field for field in fields if field[0].lower() not in dropped]


_UPGRADE: Final = frozenset((b"connection", b"upgrade"))
"""What an answer of 101 says of the hop, and the edge needs to know."""

_IS_OF_HOP: Final = Known(lambda name: name.lower() in HOP_BY_HOP)


def error_answer(status: http.HTTPStatus, message: str, *, method: str) -> tuple[list[Field], bytes]:
    """Fields and body of an answer that this program gives itself; without a message it is the status alone."""
    more = f"\ntunnel-supervisor: {message}\n" if message else ""
    page = f"{status.value} {status.phrase}\n{more}".encode()
    fields = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", b"%d" % len(page)),
        (b"Cache-Control", b"no-store"),
    ]
    return fields, b"" if method == "HEAD" else page


_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


def accepted_websocket(request: Request) -> list[Field]:
    """The fields with which the WebSocket of `request` is accepted (RFC 6455 section 4.2.2). Without a key there are
    none: whoever asks so speaks to us by other means."""
    key = next((value for name, value in request.fields if name.lower() == b"sec-websocket-key"), None)
    if key is None:
        return []
    accept = base64.b64encode(hashlib.sha1(key.strip() + _ACCEPT_GUID, usedforsecurity=False).digest())
    return [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Accept", accept)]
