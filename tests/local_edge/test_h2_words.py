"""What the edge says over HTTP/2, and reads: golden bytes of the real client, and what no client may send."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import EdgeProtocolError
from actors.local_edge.h2_words import (
    MAX_FRAME_BYTES,
    FrameSplitter,
    deserialised,
    request_fields,
    response_of,
)
from actors.wire.connect import ConnectionType, ConnectRequest

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "wire-http2-golden.json").read_text())


def pairs(told: list[list[str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in told]


def test_serialised_headers_of_the_real_client() -> None:
    read = list(deserialised(GOLDEN["serialized"]["string"].encode()))
    tokens = GOLDEN["serialized"]["tokens"]
    assert read == [(token["name"].encode(), bytes.fromhex(token["value_hex"])) for token in tokens]


@pytest.mark.parametrize("text", [b"WA", b"WA:WA:WA", b"WA==:WA", b"W:WA", b"W!:WA"])
def test_malformed_serialised_headers(text: bytes) -> None:
    with pytest.raises(EdgeProtocolError):
        list(deserialised(text))


@pytest.mark.parametrize("name", [name for name, told in GOLDEN["exchanges"].items() if "answer" in told])
def test_answers_of_the_real_client(name: str) -> None:
    answer = GOLDEN["exchanges"][name]["answer"]
    if not answer["h2"]:
        return  # it was reset before its head
    response = response_of(pairs(answer["h2"]), ConnectionType.HTTP)
    if dict(answer["h2"]).get("cf-cloudflared-response-meta") != '{"src":"origin"}':
        assert str(answer.get("status", "")) in response.error
        assert not response.metadata
        return
    (_, status), *headers = response.metadata
    assert int(status) == answer["status"]
    told = sorted([key.removeprefix("HttpHeader:"), value.decode("latin-1")] for key, value in headers)
    assert told == sorted(answer["origin_headers"])


def test_upgrade_has_its_status_again() -> None:
    fields = pairs(GOLDEN["exchanges"]["websocket"]["response"])
    assert response_of(fields, ConnectionType.WEBSOCKET).metadata[0] == ("HttpStatus", b"101")
    assert response_of(fields, ConnectionType.HTTP).metadata[0] == ("HttpStatus", b"200")
    refused = pairs(GOLDEN["exchanges"]["websocket_refused"]["response"])
    assert response_of(refused, ConnectionType.WEBSOCKET).metadata[0] == ("HttpStatus", b"403")


@pytest.mark.parametrize(
    "fields", [[], [(b":status", b"x")], [(b":status", b"200"), (b"cf-cloudflared-response-meta", b'{"src":"origin"}')]]
)
def test_answers_that_are_none(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(EdgeProtocolError):
        response_of(fields, ConnectionType.HTTP)


def test_requests() -> None:
    metadata = (
        ("HttpMethod", b"POST"),
        ("HttpHost", b"app.example.com"),
        ("HttpHeader:X-One", b"1"),
        ("HttpHeader:X-One", b"2"),
        ("HttpHeader:Transfer-Encoding", b"chunked"),
        ("Other", b"x"),
    )
    asked = ConnectRequest("https://app.example.com/p//q/../r;x?y=%zz", ConnectionType.WEBSOCKET, metadata)
    assert request_fields(asked) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"app.example.com"),
        (b":path", b"/p//q/../r;x?y=%zz"),
        (b"cf-cloudflared-proxy-connection-upgrade", b"websocket"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
    ]
    odd = request_fields(ConnectRequest("https://x/a\0\nb?c#d", ConnectionType.HTTP, ()))
    assert odd[2:4] == [(b":authority", b"x"), (b":path", b"/a\0\nb?c#d")]
    assert request_fields(ConnectRequest("*", ConnectionType.HTTP, ()))[3] == (b":path", b"*")
    assert request_fields(ConnectRequest("https://x", ConnectionType.TCP, ()))[3:] == [
        (b":path", b"/"),
        (b"cf-cloudflared-proxy-src", b"127.0.0.9"),
    ]


@given(st.lists(st.tuples(st.sampled_from([0, 1, 4, 7, 200]), st.binary(max_size=300)), max_size=8), st.integers(1, 64))
def test_frames_are_parted_wherever_the_bytes_are_cut(frames: list[tuple[int, bytes]], cut: int) -> None:
    encoded = [len(payload).to_bytes(3, "big") + bytes([kind]) + bytes(5) + payload for kind, payload in frames]
    splitter, passed, farewells = FrameSplitter(), b"", []
    whole = b"".join(encoded)
    for at in range(0, len(whole), cut):
        more, told = splitter.feed(whole[at : at + cut])
        passed += more
        farewells += told
    assert passed == b"".join(one for one, (kind, _) in zip(encoded, frames, strict=True) if kind != 7)
    assert farewells == [payload for kind, payload in frames if kind == 7]


def test_frames_that_are_too_large_are_refused_before_they_are_there() -> None:
    assert FrameSplitter().feed(MAX_FRAME_BYTES.to_bytes(3, "big") + bytes(6)) == (b"", [])
    with pytest.raises(EdgeProtocolError):
        FrameSplitter().feed((MAX_FRAME_BYTES + 1).to_bytes(3, "big") + bytes(6))
