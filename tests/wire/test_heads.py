"""What the heads of QUIC's streams say, as requests and responses."""

import pytest

from actors.exchange.http1 import BadRequest, build_request_head
from actors.exchange.request import Kind, Request
from actors.wire.connect import ConnectionType, ConnectRequest, Metadata
from actors.wire.heads import request_of, response_of

ASKED: Metadata = (("HttpMethod", b"GET"), ("HttpHost", b"h"))


def test_request() -> None:
    metadata = (*ASKED, ("HttpHeader:X-One", b"1"), ("FlowID", b"7"), ("HttpHeader:x", b"\xff"), ("httpheader:y", b""))
    head = ConnectRequest("https://h/a?b", ConnectionType.WEBSOCKET, metadata)
    assert request_of(head) == Request(Kind.WEBSOCKET, b"GET", b"/a?b", b"h", ((b"X-One", b"1"), (b"x", b"\xff")))


@pytest.mark.parametrize(
    ("dest", "target"),
    [
        ("https://h", b""),
        ("https://h?x", b"?x"),
        ("http://h:8080/", b"/"),
        ("/only/path", b"/only/path"),
        ("https://[::1]:80/x", b"/x"),
        ("*", b"*"),
        ("https://h/\u00e4", b"/\xc3\xa4"),
        ("https://h/\udcff%20", b"/\xff%20"),  # a byte that is no UTF-8, as Python has it
        ("ftp:relative", b"ftp:relative"),
    ],
)
def test_target(dest: str, target: bytes) -> None:
    assert request_of(ConnectRequest(dest, ConnectionType.HTTP, ASKED)).target == target


@pytest.mark.parametrize(
    "metadata",
    [
        (("HttpHost", b"h"),),
        (("HttpMethod", b"GET"),),
        (*ASKED, ("HttpMethod", b"GET")),
        (*ASKED, ("HttpHost", b"h")),
        (*ASKED, ("HttpHost", b"")),
    ],
)
def test_method_and_host_that_are_not_there_once_each_are_refused(metadata: Metadata) -> None:
    with pytest.raises(BadRequest):
        build_request_head(request_of(ConnectRequest("https://h/", ConnectionType.HTTP, metadata)))


def test_response() -> None:
    fields = [(b"Set-Cookie", b"a=1"), (b"cf-cloudflared-response-meta", b"x"), (b"Set-Cookie", b"b=\xff")]
    assert response_of(200, fields).metadata == (
        ("HttpStatus", b"200"),
        ("HttpHeader:Set-Cookie", b"a=1"),
        ("HttpHeader:Set-Cookie", b"b=\xff"),
    )
