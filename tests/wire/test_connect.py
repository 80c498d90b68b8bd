"""Stream heads: split anywhere, and hostile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import EdgeProtocolError
from actors.wire.connect import (
    DATA_SIGNATURE,
    MAX_METADATA,
    RPC_SIGNATURE,
    ConnectionType,
    ConnectRequest,
    ConnectResponse,
    HeadReader,
    RpcStream,
    encode_request,
    encode_response,
)

REQUEST = ConnectRequest(
    "https://a.example/päth?q=1", ConnectionType.WEBSOCKET, (("HttpMethod", b"GET"), ("HttpHeader:X", b"\xff\x80"))
)

METADATA = st.lists(st.tuples(st.text(st.characters(codec="ascii", min_codepoint=1)), st.binary()), max_size=8)


@given(st.builds(ConnectRequest, st.text(), st.sampled_from(ConnectionType), METADATA.map(tuple)))
def test_request_survives_the_wire(request: ConnectRequest) -> None:
    assert HeadReader().feed(encode_request(request)) == request


def test_target_that_is_no_utf_8_survives_the_wire() -> None:
    """Browsers and scripts send such ones; as a Text it would have cost the request."""
    raw = b"https://a.example/caf\xe9\xff"
    request = ConnectRequest(raw.decode("utf-8", "surrogateescape"), ConnectionType.HTTP, ())
    data = encode_request(request)
    assert raw + b"\0" in data
    assert HeadReader().feed(data) == request


def test_error_and_status_survive_the_wire() -> None:
    response = ConnectResponse("no way", (("HttpStatus", b"502"),))
    assert HeadReader().feed_response(encode_response(response)) == response


def test_request_may_be_split_at_every_boundary() -> None:
    data = encode_request(REQUEST) + b"body"
    for cut in range(1, len(data)):
        reader = HeadReader()
        first = reader.feed(data[:cut])
        assert (first or reader.feed(data[cut:])) == REQUEST
        assert reader.rest == (b"body" if first is None else data[len(data) - 4 : cut])


def test_request_may_come_byte_by_byte() -> None:
    reader = HeadReader()
    results = [reader.feed(bytes([byte])) for byte in encode_request(REQUEST)]
    assert results == [None] * (len(results) - 1) + [REQUEST]


@pytest.mark.parametrize("cut", range(len(RPC_SIGNATURE) + 1))
def test_rpc_signature(cut: int) -> None:
    reader = HeadReader()
    results = [reader.feed(RPC_SIGNATURE[:cut]), reader.feed(RPC_SIGNATURE[cut:] + b"rpc")]
    assert RpcStream() in results


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n", "no signature"),
        (DATA_SIGNATURE + b"02", "no signature"),
        (DATA_SIGNATURE[:3] + b"x", "no signature"),
        (DATA_SIGNATURE + b"01" + (16).to_bytes(4, "little"), "17 segments"),
        (DATA_SIGNATURE + b"01" + bytes(4) + (1 << 20).to_bytes(4, "little"), "at most"),
        (DATA_SIGNATURE + b"01" + bytes(4) + (1).to_bytes(4, "little") + b"\xff" * 8, "malformed"),
    ],
)
def test_bad_heads(data: bytes, message: str) -> None:
    with pytest.raises(EdgeProtocolError, match=message):
        HeadReader().feed(data)


def test_empty_message_is_an_empty_request() -> None:
    assert HeadReader().feed(DATA_SIGNATURE + b"01" + bytes(4) + (1).to_bytes(4, "little") + bytes(8)) == (
        ConnectRequest("", ConnectionType.HTTP, ())
    )


def test_metadata_is_counted() -> None:
    request = ConnectRequest("", ConnectionType.HTTP, (("", b""),) * (MAX_METADATA + 1))
    with pytest.raises(EdgeProtocolError, match="metadata entries"):
        HeadReader().feed(encode_request(request))


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_garbage_is_refused_with_the_documented_error_only(data: bytes, cut: int) -> None:
    for prefix in (b"", DATA_SIGNATURE + b"01"):
        whole = prefix + data
        reader = HeadReader()
        try:
            reader.feed(whole[:cut])
            reader.feed(whole[cut:])
        except EdgeProtocolError:
            continue


@settings(max_examples=500)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_mutated_request_is_refused_with_the_documented_error_only(where: int, what: bytes) -> None:
    data = bytearray(encode_request(REQUEST))
    where %= len(data)
    data[where : where + len(what)] = what
    try:
        HeadReader().feed(bytes(data))
    except EdgeProtocolError:
        return
