"""The head of a stream that carries a request, and the head of its answer.

    signature (6 bytes) · version "01" · one Cap'n Proto message · the raw body until FIN

The edge opens the stream and writes a ConnectRequest; the client answers on the same stream with a ConnectResponse.
A stream with the RPC signature carries Cap'n Proto RPC instead (`rpc.py`).
"""

import enum
from typing import Any, Final, NamedTuple, cast

from actors.errors import EdgeProtocolError
from actors.wire import schema
from actors.wire.framing import MAX_REQUEST_BYTES, message_length

DATA_SIGNATURE: Final = bytes.fromhex("0A36CD12A13E")
RPC_SIGNATURE: Final = bytes.fromhex("52BB825CDB65")
VERSION: Final = b"01"
DATA_PREAMBLE: Final = DATA_SIGNATURE + VERSION

MAX_METADATA: Final = 2048
"""Entries of a head: twice the fields that a request may have (`http1.py`), so that one with a few too many is answered
in HTTP. 1000 empty ones fit in 48 bytes, so they are counted."""

Metadata = tuple[tuple[str, bytes], ...]


class ConnectionType(enum.IntEnum):
    """What the stream carries."""

    HTTP = 0
    WEBSOCKET = 1
    TCP = 2


class ConnectRequest(NamedTuple):
    """What the edge asks for: where to, as what, with which metadata."""

    dest: str
    """A URL as the visitor sent it. Bytes that are not UTF-8 are in it as Python has them (PEP 383)."""
    type: ConnectionType
    metadata: Metadata


class ConnectResponse(NamedTuple):
    """The answer: an error text, or metadata."""

    error: str
    metadata: Metadata


class RpcStream(NamedTuple):
    """The stream turned out to carry RPC."""


# Heads are read and written by field, not by name: that takes two thirds of the time.
_DEST, _TYPE, _METADATA = (schema.tunnel.ConnectRequest.schema.fields[name] for name in ("dest", "type", "metadata"))
_KEY, _VAL = (schema.tunnel.Metadata.schema.fields[name] for name in ("key", "val"))
_TYPES = {int(kind): kind for kind in ConnectionType}


def encode_request(request: ConnectRequest) -> bytes:
    """The bytes that open a request stream (the edge's side)."""
    dest = request.dest.encode("utf-8", "surrogateescape") + b"\0"
    message = schema.tunnel.ConnectRequest.new_message(dest=dest, type=int(request.type))
    _fill(message, request.metadata)
    return DATA_PREAMBLE + cast(bytes, message.to_bytes())


def encode_response(response: ConnectResponse) -> bytes:
    """The bytes that answer one (the client's side)."""
    message = schema.tunnel.ConnectResponse.new_message()
    if response.error:
        message.error = response.error
    _fill(message, response.metadata)
    return DATA_PREAMBLE + cast(bytes, message.to_bytes())


def _fill(message: Any, metadata: Metadata) -> None:
    entries = message.init("metadata", len(metadata))
    for entry, (key, value) in zip(entries, metadata, strict=True):
        entry._set_by_field(_KEY, key)
        entry._set_by_field(_VAL, value + b"\0")


def decode_request(message: bytes) -> ConnectRequest:
    """Decode the Cap'n Proto message of a request's head.

    Raises:
        EdgeProtocolError: it is none.
    """
    with schema.reading(schema.tunnel.ConnectRequest, message) as root:
        kind = root._get_by_field(_TYPE).raw
        if kind not in _TYPES:
            raise EdgeProtocolError(f"ConnectRequest of the unknown type {kind}")
        dest = _text(root._get_by_field(_DEST)).decode("utf-8", "surrogateescape")
        return ConnectRequest(dest, _TYPES[kind], _metadata(root._get_by_field(_METADATA)))


def decode_response(message: bytes) -> ConnectResponse:
    """Decode the Cap'n Proto message of an answer's head.

    Raises:
        EdgeProtocolError: it is none.
    """
    with schema.reading(schema.tunnel.ConnectResponse, message) as root:
        return ConnectResponse(root.error, _metadata(root.metadata))


def _metadata(entries: Any) -> Metadata:
    if len(entries) > MAX_METADATA:
        raise EdgeProtocolError(f"head with {len(entries)} metadata entries; at most {MAX_METADATA} are taken")
    return tuple([(entry._get_by_field(_KEY), _text(entry._get_by_field(_VAL))) for entry in entries])


def _text(value: bytes) -> bytes:
    """A Text, read as bytes, without the NUL that ends it."""
    if value and value[-1] != 0:
        raise EdgeProtocolError("text without the NUL that ends it")
    return value[:-1]


class HeadReader:
    """Reads the head of a stream as its bytes arrive, however they are split.

    `feed` returns None until the head is complete, and then what it is; `rest` holds what came after it.
    Memory: at most `MAX_REQUEST_BYTES` and one chunk more.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""

    def feed(self, data: bytes) -> ConnectRequest | RpcStream | None:
        """Take the next bytes of a stream that the edge opened.

        Raises:
            EdgeProtocolError: an unknown signature or version, or a message that is malformed or too large.
        """
        message = self.message(data)
        return decode_request(message) if isinstance(message, bytes) else message

    def message(self, data: bytes) -> bytes | RpcStream | None:
        """As `feed`, with a request as its Cap'n Proto message."""
        self._buffer = data = self._buffer + data if self._buffer else data
        if data.startswith(RPC_SIGNATURE):
            self.rest = data[len(RPC_SIGNATURE) :]
            return RpcStream()
        return self._message()

    def feed_response(self, data: bytes) -> ConnectResponse | None:
        """Take the next bytes of the answer on a stream that we opened (the edge's side).

        Raises:
            EdgeProtocolError: as `feed`.
        """
        self._buffer += data
        message = self._message()
        return None if message is None else decode_response(message)

    def _message(self) -> bytes | None:
        buffer, start = self._buffer, len(DATA_PREAMBLE)
        if not buffer.startswith(DATA_PREAMBLE):
            if DATA_PREAMBLE.startswith(buffer) or RPC_SIGNATURE.startswith(buffer):
                return None
            raise EdgeProtocolError(f"stream begins with {buffer[:start].hex()}, which is no signature of the protocol")
        length = message_length(buffer, limit=MAX_REQUEST_BYTES, start=start)
        if length is None or start + length > len(buffer):
            return None
        self.rest = buffer[start + length :]
        return buffer[start : start + length]
