"""Request heads: what is built, and what is refused."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.quic_worker.http1 import BadRequest, Body, build_request_head, chunk, error_metadata, response_metadata
from actors.quic_worker.wire.connect import ConnectionType, ConnectRequest
from tests.kit.vectors import vectors


def request(
    *fields: tuple[str, bytes],
    method: bytes = b"GET",
    dest: str = "https://a.example/path?q=1",
    host: bytes = b"a.example",
    kind: ConnectionType = ConnectionType.HTTP,
) -> ConnectRequest:
    metadata = [("HttpMethod", method), ("HttpHost", host)]
    return ConnectRequest(dest, kind, (*metadata, *((f"HttpHeader:{name}", value) for name, value in fields)))


def lines(built: ConnectRequest) -> list[bytes]:
    return build_request_head(built).data.removesuffix(b"\r\n\r\n").split(b"\r\n")


def test_plain_get() -> None:
    assert lines(request(("Accept", b"*/*"), ("X-Twice", b"1"), ("X-Twice", b"2"))) == [
        b"GET /path?q=1 HTTP/1.1",
        b"Host: a.example",
        b"Accept: */*",
        b"X-Twice: 1",
        b"X-Twice: 2",
    ]


@pytest.mark.parametrize(
    ("dest", "target"),
    [
        ("https://h/a/../b//c%2F?x=%00&y", b"/a/../b//c%2F?x=%00&y"),
        ("https://h", b"/"),
        ("https://h?x", b"/?x"),
        ("http://h:8080/", b"/"),
        ("/only/path", b"/only/path"),
        ("https://[::1]:80/x", b"/x"),
    ],
)
def test_target_is_forwarded_as_it_is(dest: str, target: bytes) -> None:
    assert lines(request(dest=dest))[0] == b"GET " + target + b" HTTP/1.1"


def test_hop_by_hop_and_nominated_fields_stay_behind() -> None:
    built = lines(
        request(
            ("Connection", b"keep-alive, X-Mine"),
            ("X-Mine", b"1"),
            ("Keep-Alive", b"5"),
            ("TE", b"trailers"),
            ("Upgrade", b"h2c"),
            ("Proxy-Authorization", b"x"),
            ("X-Yours", b"2"),
        )
    )
    assert built[2:] == [b"X-Yours: 2"]


def test_websocket_upgrade_is_made_anew() -> None:
    built = build_request_head(
        request(("Sec-WebSocket-Key", b"k"), ("Sec-Websocket-Version", b"13"), kind=ConnectionType.WEBSOCKET)
    )
    assert built.upgrade
    assert built.data.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert built.data.lower().count(b"sec-websocket-version") == 1


@pytest.mark.parametrize(
    ("fields", "body", "length"),
    [
        ([], Body.NONE, 0),
        ([("Content-Length", b"5")], Body.LENGTH, 5),
        ([("Content-Length", b"0")], Body.LENGTH, 0),
        ([("Content-Length", b"7"), ("Cf-Ray", b"x"), ("Content-Length", b"7")], Body.LENGTH, 7),
        ([("Transfer-Encoding", b"chunked")], Body.CHUNKED, 0),
        ([("transfer-encoding", b"Chunked")], Body.CHUNKED, 0),
    ],
)
def test_body_framing(fields: list[tuple[str, bytes]], body: Body, length: int) -> None:
    head = build_request_head(request(*fields, method=b"POST"))
    assert (head.body, head.length) == (body, length)
    assert head.data.lower().count(b"content-length") == (body is Body.LENGTH)
    assert head.data.lower().count(b"transfer-encoding: chunked") == (body is Body.CHUNKED)


@pytest.mark.parametrize(
    "bad",
    [
        request(("X", b"a\r\nY: b")),
        request(("X", b"a\0")),
        request(("X", b"\x7f")),
        request(("X Y", b"1")),
        request(("", b"1")),
        request(("X:Y", b"1")),
        request(("Ä", b"1")),
        request(method=b"GET "),
        request(method=b""),
        request(method=b"G\xc3\x84T"),
        request(host=b""),
        request(host=b"a b"),
        request(host=b"a,b"),
        request(host=b"user@a"),
        request(host=b"a/b"),
        request(host=b"a:99x"),
        request(("Host", b"other")),
        request(dest="https://h/a b"),
        request(dest="https://h/a#b"),
        request(dest="https://h/ä"),
        request(dest="https://h/a\r\nX: y"),
        request(dest="ftp:relative"),
        request(("Content-Length", b"5"), ("Content-Length", b"6")),
        request(("Content-Length", b"5"), ("Content-Length", b"5")),
        request(("Content-Length", b"5"), ("Cf-Ray", b"x"), ("Content-Length", b"6")),
        request(("X_Forwarded_For", b"1"), ("X-Forwarded-For", b"2")),
        request(("Content-Length", b"5, 5")),
        request(("Content-Length", b"+5")),
        request(("Content-Length", b"-5")),
        request(("Content-Length", b"0x5")),
        request(("Content-Length", b"1_0")),
        request(("Content-Length", b"05")),
        request(("Content-Length", b"")),
        request(("Content-Length", "٥".encode())),
        request(("Content-Length", b"9223372036854775808")),
        request(("Content-Length", b"9" * 20)),
        request(("Content-Length", b"5"), ("Transfer-Encoding", b"chunked")),
        request(("Transfer-Encoding", b"gzip, chunked")),
        request(("Transfer-Encoding", b"chunked"), ("Transfer-Encoding", b"chunked")),
        request(("Transfer-Encoding", b"\x0bchunked")),
        request(("Transfer-Encoding", b"xchunked")),
        request(("Connection", b"Host")),
        request(("Connection", b"close, content-length")),
        request(("Connection", b"cf-connecting-ip")),
        request(*(("X", b"1"),) * 129),
        request(("X", b"a" * 16385)),
        request(dest="https://h/" + "a" * 8192),
        request(*((f"X{number}", b"a" * 16000) for number in range(5))),
        ConnectRequest("https://h/", ConnectionType.HTTP, (("HttpHost", b"h"),)),
        ConnectRequest("https://h/", ConnectionType.HTTP, (("HttpMethod", b"GET"),)),
        ConnectRequest("https://h/", ConnectionType.HTTP, (("HttpMethod", b"GET"),) * 2 + (("HttpHost", b"h"),)),
        ConnectRequest("https://h/", ConnectionType.HTTP, (("HttpMethod", b"GET"),) + (("HttpHost", b"h"),) * 2),
    ],
    ids=lambda bad: repr(bad)[:80],
)
def test_refused(bad: ConnectRequest) -> None:
    with pytest.raises(BadRequest):
        build_request_head(bad)


@given(
    method=st.sampled_from([b"GET", b"POST", b"get", b"M-SEARCH"]),
    dest=st.text(max_size=30).map(lambda path: f"https://h/{path}"),
    fields=st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=20)), max_size=5),
)
def test_whatever_is_built_is_one_request_to_another_parser(
    method: bytes, dest: str, fields: list[tuple[str, bytes]]
) -> None:
    try:
        head = build_request_head(request(*fields, method=method, dest=dest))
    except BadRequest:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(head.data)
    seen = server.next_event()
    assert isinstance(seen, h11.Request)
    assert (seen.method, seen.target) == (method, dest.removeprefix("https://h").encode())
    if head.body is Body.NONE:
        assert isinstance(server.next_event(), h11.EndOfMessage)
    assert server.trailing_data[0] == b""


def test_response_fields_keep_their_order_and_lose_the_hop() -> None:
    fields = [
        (b"Set-Cookie", b"a=1"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"cf-cloudflared-response-meta", b"x"),
        (b"Set-Cookie", b"b=\xff"),
    ]
    assert response_metadata(200, fields, upgraded=False) == (
        ("HttpStatus", b"200"),
        ("HttpHeader:Set-Cookie", b"a=1"),
        ("HttpHeader:Set-Cookie", b"b=\xff"),
    )


def test_upgrade_keeps_its_fields() -> None:
    fields = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"x")]
    assert len(response_metadata(101, fields, upgraded=True)) == 4


def test_own_answers_and_chunks() -> None:
    assert dict(error_metadata(502, 10))["HttpHeader:Content-Length"] == b"10"
    assert chunk(b"hello world") == b"b\r\nhello world\r\n"


@pytest.mark.parametrize("vector", list(vectors()), ids=lambda vector: vector[0])
def test_every_smuggling_vector_is_refused(vector: tuple[str, str, list[tuple[str, str]]]) -> None:
    _, dest, metadata = vector
    with pytest.raises(BadRequest):
        build_request_head(
            ConnectRequest(dest, ConnectionType.HTTP, tuple((key, value.encode("latin-1")) for key, value in metadata))
        )
