"""Requests and responses as the heads of a QUIC stream carry them. Pure.

A ConnectRequest has one URL and a list of keys with values; so has a ConnectResponse, without the URL:

    HttpMethod · HttpHost · HttpStatus   once each
    HttpHeader:NAME                      once for each field, in their order

Keys with other names are of no interest to an origin.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final

from actors.exchange.request import Field, Kind, Request
from actors.wire.connect import ConnectionType, ConnectRequest, ConnectResponse

HEADER_PREFIX: Final = "HttpHeader:"
METHOD_KEY: Final = "HttpMethod"
HOST_KEY: Final = "HttpHost"
STATUS_KEY: Final = "HttpStatus"

KNOWN_NAMES: Final = 512
"""Names of fields that are remembered with their keys. A stranger's names push others out, and cost no more."""

EDGE_INTERNAL: Final = ("cf-int-", "cf-cloudflared-", "cf-proxy-")
"""Fields of a response with a meaning between client and edge; an origin has no business to send them."""

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*", re.ASCII)

_KINDS: Final = {ConnectionType.HTTP: Kind.HTTP, ConnectionType.WEBSOCKET: Kind.WEBSOCKET, ConnectionType.TCP: Kind.TCP}

ACCEPTED: Final = ConnectResponse("", ())
"""The answer to a request of type TCP whose tunnel is open."""


def request_of(head: ConnectRequest) -> Request:
    """The request that the edge asks for.

    A method or a host that is given twice becomes a list of both, as fields of one name do (RFC 9110 section 5.3):
    none is valid then, and the request is refused for that.
    """
    methods: list[bytes] = []
    hosts: list[bytes] = []
    fields: list[Field] = []
    for key, value in head.metadata:
        if (name := _name(key)) is not None:
            fields.append((name, value))
        elif key == METHOD_KEY:
            methods.append(value)
        elif key == HOST_KEY:
            hosts.append(value)
    match = _AUTHORITY.match(head.dest)
    target = head.dest[match.end() :] if match else head.dest
    raw = target.encode("utf-8", "surrogateescape")
    return Request(_KINDS[head.type], b", ".join(methods), raw, b", ".join(hosts), tuple(fields))


@functools.lru_cache(maxsize=KNOWN_NAMES)
def _name(key: str) -> bytes | None:
    """The name of the field that a key is of; None if it is of none."""
    return key[len(HEADER_PREFIX) :].encode("utf-8") if key.startswith(HEADER_PREFIX) else None


def response_of(status: int, fields: Sequence[Field]) -> ConnectResponse:
    """The answer that says what the origin answered."""
    return ConnectResponse("", ((STATUS_KEY, b"%d" % status), *_entries(fields)))


def _entries(fields: Sequence[Field]) -> Iterable[tuple[str, bytes]]:
    return [(key, value) for name, value in fields if (key := _key(name)) is not None]


@functools.lru_cache(maxsize=KNOWN_NAMES)
def _key(name: bytes) -> str | None:
    """The key of a response's field; None for one that does not go on."""
    text = name.decode("latin-1")
    return None if text.lower().startswith(EDGE_INTERNAL) else HEADER_PREFIX + text
