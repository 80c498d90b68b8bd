"""CONNECT, as said and as understood."""

import pytest

from actors.bus.messages import Proxy
from actors.quic_worker.proxy import ProxyRefused, check, connect_request, is_complete


def test_request() -> None:
    assert connect_request(Proxy("h", 1), "192.0.2.1:7844") == (
        b"CONNECT 192.0.2.1:7844 HTTP/1.1\r\nHost: 192.0.2.1:7844\r\n\r\n"
    )
    assert b"\r\nProxy-Authorization: Basic eA==\r\n\r\n" in connect_request(Proxy("h", 1, "Basic eA=="), "[::1]:7844")


def test_answer() -> None:
    assert not is_complete(b"")
    assert not is_complete(b"HTTP")
    assert not is_complete(b"HTTP/1.1 200 OK\r\n")
    assert is_complete(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n")
    check(b"HTTP/1.0 200 Connection established\r\n\r\n", "h:1")


@pytest.mark.parametrize("answer", [b"SSH-2.0-x", b"\x15\x03\x01", b"HTTP/1.1 200" + b"x" * 20_000], ids=len)
def test_what_is_no_proxy(answer: bytes) -> None:
    with pytest.raises(ProxyRefused, match="no HTTP proxy"):
        is_complete(answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "USER:PASSWORD"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden to CONNECT h:1: does it allow"),
        (b"HTTP/1.1 503\r\n\r\n", "answered 503 to"),
        (b"HTTP/1.1 yes\r\n\r\n", "no HTTP proxy"),
    ],
)
def test_refusal_says_what_to_do(answer: bytes, words: str) -> None:
    with pytest.raises(ProxyRefused, match=words):
        check(answer, "h:1")
