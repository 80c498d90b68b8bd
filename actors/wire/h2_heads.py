"""Requests and responses as HTTP/2 carries them between edge and client. Pure.

A request comes as ordinary fields, names in lower case; one of them tells what the stream is for. Of a response only
status and length are fields: all fields of the origin's are serialised into one, and another says that they are its.

    cf-cloudflared-response-headers: base64(name):base64(value);base64(name):base64(value)…   (without padding)
    cf-cloudflared-response-meta: {"src":"origin"}
"""

import binascii
import enum
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from actors.exchange.http1 import HOP_BY_HOP, accepted_websocket
from actors.exchange.names import Known
from actors.exchange.request import Field, Kind, Request
from actors.wire.heads import EDGE_INTERNAL

PURPOSE: Final = b"cf-cloudflared-proxy-connection-upgrade"
"""The field that tells what a stream is for. The origin never sees it."""

SOURCE: Final = b"cf-cloudflared-proxy-src"
"""The field of a raw tunnel: who asks for it."""

RESPONSE_FIELDS: Final = b"cf-cloudflared-response-headers"
RESPONSE_META: Final = b"cf-cloudflared-response-meta"
BY_ORIGIN: Final = b'{"src":"origin"}'
BY_CLIENT: Final = b'{"src":"cloudflared"}'
"""Who answered: with the second the edge shows a page of its own."""

CONTINUE: Final[list[Field]] = [(b":status", b"100")]
"""What a visitor waits for who sent `Expect: 100-continue`."""

NO_TUNNEL: Final[list[Field]] = [(b":status", b"502"), (RESPONSE_META, BY_CLIENT), (b"content-length", b"0")]
"""The answer to a raw tunnel that could not be opened, and to what is not in the protocol."""

_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path"))
_SCHEMES: Final = frozenset((b"http", b"https"))
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE_BYTES: Final = bytes((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))

_OF_THE_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
)
"""RFC 9113 section 8.2.2: HTTP/2 has no such fields, but for `te: trailers`."""


class Malformed(Exception):
    """RFC 9113 section 8.1.1: the stream is reset, and nothing of it is passed on."""


class Forbidden(Exception):
    """A field that HTTP/2 does not have: the answer is 400, and nothing of the request is passed on."""


class Purpose(enum.Enum):
    """What a stream is for, if it carries no request."""

    CONTROL = enum.auto()
    CONFIGURATION = enum.auto()


class Asked(NamedTuple):
    """A request, and what HTTP/2 says of it besides."""

    request: Request
    awaits_continue: bool
    """Whether the visitor sends the body once `CONTINUE` has come."""


def asked_by(fields: Sequence[Field], *, ended: bool) -> Asked | Purpose:
    """What a stream is for that begins with these fields. `ended`: nothing follows them.

    Whether method, host, target and values are such is judged where all requests are (`http1.py`), with an answer.

    Raises:
        Malformed: they are no head of a request.
        Forbidden: a field of a connection is among them.
    """
    pseudo, rest = _parted(fields)
    try:
        method, scheme, path = pseudo[b":method"], pseudo[b":scheme"], pseudo[b":path"]
    except KeyError as missing:
        raise Malformed(f"no {missing.args[0].decode()}") from None
    if scheme not in _SCHEMES:
        raise Malformed("neither http nor https")
    if not path.startswith(b"/") and (path, method) != (b"*", b"OPTIONS"):
        raise Malformed("a path that does not begin with a slash")
    return _understood(method, path, pseudo.get(b":authority"), rest, ended)


def _parted(fields: Sequence[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    """The pseudo-header fields, and the others."""
    pseudo: dict[bytes, bytes] = {}
    rest: list[Field] = []
    for field in fields:
        name, value = field
        if not name.startswith(b":"):
            rest.append(field)
        elif rest or name in pseudo or name not in _PSEUDO:
            raise Malformed("a pseudo-header field that is unknown, twice there or too late")
        else:
            pseudo[name] = value
    return pseudo, rest


def _understood(
    method: bytes, path: bytes, authority: bytes | None, fields: list[Field], ended: bool
) -> Asked | Purpose:
    kind = Kind.HTTP
    purpose = source = b""
    kept: list[Field] = []
    cookies: list[bytes] = []
    awaits = has_length = False
    for name, value in fields:
        canonical = _CANONICAL[name]
        if name in _OF_THE_CONNECTION and not (name == b"te" and value.lower() == b"trailers"):
            raise Forbidden(f"request header {canonical.decode()!r} is not valid in HTTP/2")
        if name == PURPOSE:
            purpose = value
        elif name == b"host" and authority in (None, value):
            authority = value  # another one goes on, and is refused as it is over QUIC
        elif name == b"expect" and value.lower() == b"100-continue":
            awaits = True
        elif name == b"cookie":
            cookies.append(value)
            if len(cookies) == 1:
                place = len(kept)
        else:
            source = value if name == SOURCE else source
            has_length = has_length or name == b"content-length"
            kept.append((canonical, value))
    if cookies:
        kept.insert(place, (b"Cookie", b"; ".join(cookies)))  # RFC 9113 section 8.2.3
    if purpose == b"update-configuration":
        return Purpose.CONFIGURATION
    if purpose == b"websocket":
        kind = Kind.WEBSOCKET
    elif source:
        kind = Kind.TCP
    elif purpose == b"control-stream":
        return Purpose.CONTROL
    elif not ended and not has_length:
        kept.append((b"Transfer-Encoding", b"chunked"))  # as HTTP/1.1 says that a body follows
    return Asked(Request(kind, method, path, authority or b"", tuple(kept)), awaits and not ended)


def _canonical(name: bytes) -> bytes:
    """A name as it is spelt over QUIC, and by most who write HTTP/1.1: origins that compare the case see no difference.

    Raises:
        Malformed: it is none.
    """
    if not _NAME.fullmatch(name):
        raise Malformed("a field name that is none")
    return b"-".join([part.capitalize() for part in name.split(b"-")])


_CANONICAL: Final = Known(_canonical)


def answered(status: int, fields: Iterable[Field]) -> list[Field]:
    """The fields of a response: `status` and `fields` are the origin's."""
    serialised: list[bytes] = []
    length: bytes | None = None
    for name, value in fields:
        spelt, is_length = _SERIALISED_NAMES[name]
        if spelt is not None:
            serialised.append(spelt + _base64(value))
            if is_length and length is None:
                length = value
    upgraded = status == 101  # HTTP/2 has no such status
    head = [
        (b":status", b"200" if upgraded else b"%d" % status),
        (RESPONSE_FIELDS, b";".join(serialised)),
        (RESPONSE_META, BY_ORIGIN),
    ]
    if length is not None:
        head.append((b"content-length", length))
    return head


def _serialised_name(name: bytes) -> tuple[bytes | None, bool]:
    """A name of the origin's with what follows it; None for one that does not go on. And whether it says the length."""
    lowered = name.lower()
    if lowered.startswith((*EDGE_INTERNAL, b":")):
        return None, False
    return _base64(name) + b":", lowered == b"content-length"


_SERIALISED_NAMES: Final = Known(_serialised_name)


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=")


def trailers(fields: Iterable[Field]) -> list[Field]:
    """The fields that follow the origin's body: ordinary ones, as HTTP/2 has them."""
    return [
        (lowered, value)
        for name, value in fields
        if _NAME.fullmatch(lowered := name.lower())
        and lowered not in HOP_BY_HOP
        and not lowered.startswith(EDGE_INTERNAL)
        and not value.translate(None, _VALUE_BYTES)
    ]


def tunnel_opened(request: Request) -> list[Field]:
    """The fields that say that a raw tunnel is open; to a WebSocket around it, as HTTP says it."""
    return answered(200, accepted_websocket(request))
