"""Heads read and written by their offsets are what pycapnp reads and writes, or are left to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import EdgeProtocolError
from actors.exchange.request import Request
from actors.wire.connect import (
    DATA_PREAMBLE,
    ConnectionType,
    ConnectRequest,
    ConnectResponse,
    HeadReader,
    decode_request,
    encode_request,
    encode_response,
)
from actors.wire.heads import read_request, request_of, response_of, write_response
from actors.wire.offsets import MAX_BYTES, MAX_ENTRIES, Raw
from actors.wire.offsets import read_request as read_raw

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "wire-golden.json").read_text())

KEYS = st.sampled_from(["HttpHeader:Accept", "HttpHeader:X", "HttpHeader:Cookie", "HttpHeader:", "FlowID"])
ODD_KEYS = st.sampled_from(["HttpMethod", "HttpHost", "HttpHeader:ä"])
USUAL = st.lists(st.tuples(KEYS, st.binary(max_size=40)), max_size=12)
ODD = st.lists(st.tuples(KEYS | ODD_KEYS, st.binary(max_size=40)), max_size=MAX_ENTRIES + 2)
ASKED = (("HttpMethod", b"GET"), ("HttpHost", b"x.example"))
METADATA = (USUAL | USUAL | ODD).map(lambda fields: (*ASKED, *fields)) | ODD.map(tuple)
REQUESTS = st.builds(ConnectRequest, st.text(max_size=40), st.sampled_from(ConnectionType), METADATA)


def message_of(request: ConnectRequest) -> bytes:
    return encode_request(request)[len(DATA_PREAMBLE) :]


def slowly(message: bytes) -> Request:
    """As pycapnp reads it."""
    return request_of(decode_request(message))


def outcome(read: Callable[[bytes], Request], message: bytes) -> Request | None:
    """What is read, or None if it is refused."""
    try:
        return read(message)
    except EdgeProtocolError:
        return None


def as_decoded(raw: Raw) -> ConnectRequest:
    metadata = tuple((key.decode(), value) for key, value in zip(raw.keys, raw.values, strict=True))
    return ConnectRequest(raw.dest.decode("utf-8", "surrogateescape"), ConnectionType(raw.kind), metadata)


@pytest.mark.parametrize("entry", GOLDEN["edge_request_streams"], ids=["get", "post", "websocket"])
def test_requests_of_real_edges_are_read(entry: dict[str, Any]) -> None:
    message = HeadReader().message(bytes.fromhex(entry["hex"]))
    assert isinstance(message, bytes)
    raw = read_raw(message)
    assert raw is not None
    assert as_decoded(raw) == decode_request(message)
    assert raw.dest.decode() == entry["fields"]["dest"]


@pytest.mark.parametrize("entry", GOLDEN["client_responses"], ids=["200", "head", "404"])
def test_responses_are_the_real_client_s_bytes(entry: dict[str, Any]) -> None:
    (_, status), *metadata = entry["fields"]["metadata"]
    fields = [(key.removeprefix("HttpHeader:").encode(), value.encode()) for key, value in metadata]
    assert write_response(int(status), fields) + entry["fields"]["body"].encode() == bytes.fromhex(entry["hex"])


@pytest.mark.slow
@given(REQUESTS)
def test_what_is_read_is_what_was_written(request: ConnectRequest) -> None:
    message = message_of(request)
    raw = read_raw(message)
    if raw is None:
        assert not 0 < len(request.metadata) <= MAX_ENTRIES
    else:
        assert as_decoded(raw) == request
    assert read_request(message) == request_of(request)


@pytest.mark.slow
@settings(max_examples=3000)
@given(REQUESTS, st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_hostile_bytes_are_read_as_pycapnp_reads_them_or_not_at_all(
    request: ConnectRequest, where: int, what: bytes
) -> None:
    message = bytearray(message_of(request))
    read_raw(bytes(message))  # so that the layout is known
    where %= len(message)
    message[where : where + len(what)] = what
    hostile = bytes(message[: len(message) // 8 * 8])
    assert outcome(read_request, hostile) == outcome(slowly, hostile)


@pytest.mark.parametrize("at", range(0, 160, 8))
def test_pointers_at_their_limits(at: int) -> None:
    request = ConnectRequest("https://x/", ConnectionType.HTTP, (("HttpMethod", b"GET"), ("HttpHost", b"x")))
    for value in (0, 1, 2**64 - 1, 2**63, 2**32 | 1, 2**32 - 1, 2**35 - 1, 2**61 - 1, 1 << 35 | 2 << 32 | 1):
        message = bytearray(message_of(request))
        message[at : at + 8] = value.to_bytes(8, "little")
        assert outcome(read_request, bytes(message)) == outcome(slowly, bytes(message))


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"Content-Type", b"X", b"Eight-by", b"cf-int-x", b"CF-Cloudflared-y"]), st.binary(max_size=60)
    ),
    max_size=MAX_ENTRIES + 2,
)


@pytest.mark.slow
@given(st.integers(100, 999), FIELDS)
def test_responses_are_pycapnp_s_bytes(status: int, fields: list[tuple[bytes, bytes]]) -> None:
    written = write_response(status, fields)
    expected = response_of(status, fields)
    assert HeadReader().feed_response(written) == expected
    if len(written) < 8000:  # pycapnp begins a second segment then
        assert written == encode_response(expected)


def test_large_heads_are_left_to_pycapnp() -> None:
    large = (("HttpMethod", b"GET"), ("HttpHost", b"x"), ("HttpHeader:Cookie", b"a" * MAX_BYTES))
    request = ConnectRequest("https://x/", ConnectionType.HTTP, large)
    assert read_raw(message_of(request)) is None
    assert read_request(message_of(request)) == request_of(request)
    written = write_response(200, [(b"Set-Cookie", b"a" * MAX_BYTES)])
    assert HeadReader().feed_response(written) == ConnectResponse(
        "", (("HttpStatus", b"200"), ("HttpHeader:Set-Cookie", b"a" * MAX_BYTES))
    )
