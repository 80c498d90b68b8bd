"""Requests and responses as the heads of a QUIC stream carry them. Pure.

A ConnectRequest has one URL and a list of keys with values; so has a ConnectResponse, without the URL:

    HttpMethod · HttpHost · HttpStatus   once each
    HttpHeader:NAME                      once for each field, in their order

Keys with other names are of no interest to an origin.
"""

import functools
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.exchange.request import Field, Kind, Request
from actors.wire import offsets
from actors.wire.connect import (
    DATA_PREAMBLE,
    ConnectionType,
    ConnectRequest,
    ConnectResponse,
    decode_request,
    encode_response,
)

HEADER_PREFIX: Final = "HttpHeader:"
METHOD_KEY: Final = "HttpMethod"
HOST_KEY: Final = "HttpHost"
STATUS_KEY: Final = "HttpStatus"

KNOWN_SETS: Final = 256
"""Sets of keys that are remembered with what they mean: a visitor's requests, and an origin's answers, have the same
ones again and again. Others push them out."""

EDGE_INTERNAL: Final = (b"cf-int-", b"cf-cloudflared-", b"cf-proxy-")
"""Fields of a response with a meaning between client and edge; an origin has no business to send them."""

_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")

_KINDS: Final[dict[int, Kind]] = {
    ConnectionType.HTTP: Kind.HTTP,
    ConnectionType.WEBSOCKET: Kind.WEBSOCKET,
    ConnectionType.TCP: Kind.TCP,
}

_ACCEPTED: Final = encode_response(ConnectResponse("", ()))


# --- requests ---


def read_request(message: bytes) -> Request:
    """The request that the edge asks for, from the Cap'n Proto message that says so.

    Raises:
        EdgeProtocolError: it is none.
    """
    raw = offsets.read_request(message)
    if raw is None or raw.kind not in _KINDS or (keys := _meaning(raw.keys)) is None:
        return request_of(decode_request(message))
    values = raw.values
    fields = [(name, value) for name, value in zip(keys.names, values, strict=True) if name is not None]
    return Request(_KINDS[raw.kind], values[keys.method], _target(raw.dest), values[keys.host], tuple(fields))


class _Keys(NamedTuple):
    """What a head's keys mean."""

    method: int
    """Which one is the method."""
    host: int
    names: tuple[bytes | None, ...]
    """Which are fields, and of which name."""


@functools.lru_cache(maxsize=KNOWN_SETS)
def _meaning(keys: tuple[bytes, ...]) -> _Keys | None:
    """What these keys mean; None if it takes a closer look."""
    if not all(key.isascii() for key in keys) or keys.count(_METHOD) != 1 or keys.count(_HOST) != 1:
        return None
    names = [key[len(_PREFIX) :] if key.startswith(_PREFIX) else None for key in keys]
    return _Keys(keys.index(_METHOD), keys.index(_HOST), tuple(names))


_PREFIX, _METHOD, _HOST, _STATUS = (text.encode() for text in (HEADER_PREFIX, METHOD_KEY, HOST_KEY, STATUS_KEY))


def request_of(head: ConnectRequest) -> Request:
    """The request that the edge asks for.

    A method or a host that is given twice becomes a list of both, as fields of one name do (RFC 9110 section 5.3):
    none is valid then, and the request is refused for that.
    """
    methods: list[bytes] = []
    hosts: list[bytes] = []
    fields: list[Field] = []
    for key, value in head.metadata:
        if key.startswith(HEADER_PREFIX):
            fields.append((key[len(HEADER_PREFIX) :].encode(), value))
        elif key == METHOD_KEY:
            methods.append(value)
        elif key == HOST_KEY:
            hosts.append(value)
    target = _target(head.dest.encode("utf-8", "surrogateescape"))
    return Request(_KINDS[head.type], b", ".join(methods), target, b", ".join(hosts), tuple(fields))


def _target(dest: bytes) -> bytes:
    """A URL without scheme and authority."""
    match = _AUTHORITY.match(dest)
    return dest[match.end() :] if match else dest


# --- responses ---


def write_response(status: int, fields: Sequence[Field]) -> bytes:
    """The bytes that say what the origin answered."""
    keys = _keys(tuple([name for name, _ in fields])) if len(fields) < offsets.MAX_ENTRIES else None
    written = None
    if keys is not None:
        written = offsets.write_response(DATA_PREAMBLE, keys, [b"%d" % status, *[value for _, value in fields]])
    return encode_response(response_of(status, fields)) if written is None else written


@functools.lru_cache(maxsize=KNOWN_SETS)
def _keys(names: tuple[bytes, ...]) -> tuple[bytes, ...] | None:
    """The keys of the status and of fields with these names; None if they do not all go on, or are very long."""
    if sum(map(len, names)) > offsets.MAX_BYTES or not all(_goes_on(name) for name in names):
        return None
    return (_STATUS, *[_PREFIX + name for name in names])


def response_of(status: int, fields: Sequence[Field]) -> ConnectResponse:
    """The answer that says what the origin answered."""
    entries = [(HEADER_PREFIX + name.decode("latin-1"), value) for name, value in fields if _goes_on(name)]
    return ConnectResponse("", ((STATUS_KEY, b"%d" % status), *entries))


def _goes_on(name: bytes) -> bool:
    return not name.lower().startswith(EDGE_INTERNAL)


def write_accepted() -> bytes:
    """The bytes that say that a raw tunnel is open."""
    return _ACCEPTED


def write_refused(message: str) -> bytes:
    """The bytes that say that there is none, and why."""
    return encode_response(ConnectResponse(message, ()))
