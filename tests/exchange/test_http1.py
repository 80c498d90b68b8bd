"""Request heads: what is built, and what is refused."""

import http
import string
import urllib.parse

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.exchange.http1 import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    MAX_TARGET_BYTES,
    BadRequest,
    Body,
    build_request_head,
    error_answer,
    method_of,
    response_fields,
)
from actors.exchange.request import Kind, Request
from actors.wire.connect import ConnectionType, ConnectRequest
from actors.wire.heads import request_of
from tests.kit.vectors import vectors


def request(
    *fields: tuple[str, bytes],
    method: bytes = b"GET",
    target: bytes = b"/path?q=1",
    host: bytes = b"a.example",
    kind: Kind = Kind.HTTP,
) -> Request:
    return Request(kind, method, target, host, tuple((name.encode(), value) for name, value in fields))


def lines(built: Request) -> list[bytes]:
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
    ("given", "target"),
    [
        (b"/a/../b//c%2F?x=%00&y", b"/a/../b//c%2F?x=%00&y"),
        (b"", b"/"),
        (b"?x", b"/?x"),
        (b"/", b"/"),
        (b"/only/path", b"/only/path"),
        ("/\u00e4?\u20ac".encode(), b"/%C3%A4?%E2%82%AC"),
        (b"/\xff%20", b"/%FF%20"),
    ],
)
def test_target_is_forwarded_as_it_is(given: bytes, target: bytes) -> None:
    assert lines(request(target=given))[0] == b"GET " + target + b" HTTP/1.1"


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
        request(("Sec-WebSocket-Key", b"k"), ("Sec-Websocket-Version", b"13"), kind=Kind.WEBSOCKET)
    )
    assert built.upgrade
    assert built.data.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert built.data.lower().count(b"sec-websocket-version") == 1


@pytest.mark.parametrize(
    ("fields", "body", "length"),
    [
        ([], Body.UNKNOWN, 0),
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
        request(target=b"/a b"),
        request(target=b"/a#b"),
        request(target=b"/a\r\nX: y"),
        request(target=b"ftp:relative"),
        request(target=b"https://h/"),
        request(("Content-Length", b"5"), ("Content-Length", b"6")),
        request(("Content-Length", b"5"), ("Content-Length", b"5")),
        request(("Content-Length", b"5"), ("Cf-Ray", b"x"), ("Content-Length", b"6")),
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
    ],
    ids=lambda bad: repr(bad)[:80],
)
def test_refused(bad: Request) -> None:
    with pytest.raises(BadRequest) as refused:
        build_request_head(bad)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "large",
    [
        request(target=b"/" + b"a" * (MAX_TARGET_BYTES - 1)),
        request(*(("X", b"1"),) * MAX_FIELDS),
        request(*((f"X{number}", b"a" * 100) for number in range(1000))),
        request(("X", b"a" * 128 * 1024)),
        request(("Cookie", b"a" * 64 * 1024), ("X", b"a" * 64 * 1024), target=b"/" + b"a" * (MAX_TARGET_BYTES - 1)),
    ],
    ids=["target", "most fields", "1000 fields", "value", "all at once"],
)
def test_what_the_edge_takes_is_taken(large: Request) -> None:
    assert len(build_request_head(large).data) <= MAX_HEAD_BYTES


@pytest.mark.parametrize(
    ("large", "status"),
    [
        (request(target=b"/" + b"a" * MAX_TARGET_BYTES), 414),
        (request(target=b"/" + b"\xc3\xa4" * (MAX_TARGET_BYTES // 2)), 414),
        (request(*(("X", b"1"),) * (MAX_FIELDS + 1)), 431),
        (request(("X", b"a" * MAX_HEAD_BYTES)), 431),
        (request(*((f"X{number}", b"a" * 16384) for number in range(MAX_HEAD_BYTES // 16384 + 1))), 431),
    ],
    ids=["target", "target beyond ASCII", "fields", "value", "values"],
)
def test_what_is_larger_than_that_is_refused_as_too_large(large: Request, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        build_request_head(large)
    assert refused.value.status == status


def test_twins_pass_unless_the_origin_takes_them_for_one() -> None:
    twins = request(("X_Forwarded_For", b"1"), ("X-Forwarded-For", b"2"))
    assert lines(twins)[2:] == [b"X_Forwarded_For: 1", b"X-Forwarded-For: 2"]
    with pytest.raises(BadRequest, match="x_forwarded_for"):
        build_request_head(twins, refuse_twins=True)
    build_request_head(request(("X_A", b"1"), ("X-B", b"2")), refuse_twins=True)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"MKCOL", b"PROPFIND", b"REPORT", b"x"])
def test_whether_a_body_comes_is_not_known_if_nothing_says_so(method: bytes) -> None:
    head = build_request_head(request(("X", b"1"), method=method))
    assert head.body is Body.UNKNOWN
    with_body = head.framed(has_body=True)
    assert with_body.data == head.data[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
    assert with_body.body is Body.CHUNKED
    without = head.framed(has_body=False)
    if method in (b"POST", b"PUT", b"PATCH"):
        assert without.data == head.data[:-2] + b"Content-Length: 0\r\n\r\n"
        assert (without.body, without.length) == (Body.LENGTH, 0)
    else:
        assert without == head._replace(body=Body.NONE)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE"])
def test_requests_that_hardly_ever_have_a_body_wait_for_none(method: bytes) -> None:
    head = build_request_head(request(method=method))
    assert head.body is Body.NONE
    assert head.framed(has_body=True).body is Body.CHUNKED  # one that has come already is not lost


@pytest.mark.parametrize(
    "fields",
    [
        [("Upgrade", b"websocket")],
        [("upgrade", b"WebSocket"), ("Connection", b"keep-alive, Upgrade")],
        [("Upgrade", b"h2c, websocket"), ("Content-Length", b"0")],
    ],
)
def test_websocket_that_comes_as_type_http_is_one(fields: list[tuple[str, bytes]]) -> None:
    head = build_request_head(request(*fields, ("Sec-WebSocket-Key", b"k")))
    assert (head.upgrade, head.body) == (True, Body.NONE)
    assert head.data.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert b"Content-Length" not in head.data


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        (b"GET", [("Upgrade", b"h2c"), ("Connection", b"Upgrade, HTTP2-Settings"), ("HTTP2-Settings", b"x")]),
        (b"GET", [("Upgrade", b"TLS/1.3")]),
        (b"POST", [("Upgrade", b"websocket")]),
        (b"GET", [("Upgrade", b"websocket"), ("Content-Length", b"5")]),
        (b"GET", [("Upgrade", b"websocket"), ("Transfer-Encoding", b"chunked")]),
    ],
)
def test_any_other_upgrade_stays_behind(method: bytes, fields: list[tuple[str, bytes]]) -> None:
    head = build_request_head(request(*fields, method=method))
    assert not head.upgrade
    assert b"upgrade" not in head.data.lower()
    assert b"http2-settings" not in head.data.lower()


def test_method_of_a_request_that_is_refused() -> None:
    assert method_of(request(method=b"HEAD")) == "HEAD"
    assert method_of(request(method=b"GET /evil")) == ""
    assert method_of(request(method=b"")) == ""


@given(
    method=st.sampled_from([b"GET", b"POST", b"get", b"M-SEARCH"]),
    path=st.text(max_size=30).map(lambda path: f"/{path}"),
    fields=st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=20)), max_size=5),
)
def test_whatever_is_built_is_one_request_to_another_parser(
    method: bytes, path: str, fields: list[tuple[str, bytes]]
) -> None:
    try:
        head = build_request_head(request(*fields, method=method, target=path.encode()))
    except BadRequest:
        return
    server = h11.Connection(h11.SERVER)
    server.receive_data(head.data)
    seen = server.next_event()
    assert isinstance(seen, h11.Request)
    target = urllib.parse.quote(path, safe=string.punctuation)  # nothing but what is not ASCII
    assert (seen.method, seen.target) == (method, target.encode())
    if head.body is Body.NONE:
        assert isinstance(server.next_event(), h11.EndOfMessage)
    assert server.trailing_data[0] == b""


def test_response_fields_keep_their_order_and_lose_the_hop() -> None:
    fields = [
        (b"Set-Cookie", b"a=1"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"b=\xff"),
    ]
    assert response_fields(fields, upgraded=False) == [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=\xff")]


def test_upgrade_keeps_its_fields() -> None:
    fields = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"x")]
    assert response_fields(fields, upgraded=True) == fields


def test_own_answers() -> None:
    fields, body = error_answer(http.HTTPStatus.BAD_GATEWAY, "nobody there", method="GET")
    assert body == b"502 Bad Gateway\n\ntunnel-supervisor: nobody there\n"
    assert dict(fields)[b"Content-Length"] == b"%d" % len(body)
    assert error_answer(http.HTTPStatus.BAD_GATEWAY, "nobody there", method="HEAD") == (fields, b"")


@pytest.mark.parametrize("vector", list(vectors()), ids=lambda vector: vector[0])
def test_every_smuggling_vector_is_refused(vector: tuple[str, str, list[tuple[str, str]]]) -> None:
    _, dest, metadata = vector
    with pytest.raises(BadRequest):
        entries = tuple((key, value.encode("latin-1")) for key, value in metadata)
        build_request_head(request_of(ConnectRequest(dest, ConnectionType.HTTP, entries)), refuse_twins=True)


@pytest.mark.parametrize("trailers", [True, False])
@pytest.mark.parametrize("value", [b"trailers", b"gzip, Trailers"])
def test_an_origin_is_told_who_wants_trailers_where_they_can_pass(trailers: bool, value: bytes) -> None:
    request = Request(Kind.HTTP, b"POST", b"/", b"h", ((b"Te", value), (b"Content-Length", b"1")))
    lines = build_request_head(request, trailers=trailers).data.split(b"\r\n")
    assert [line for line in lines if line in (b"TE: trailers", b"Connection: TE")] == (
        [b"TE: trailers", b"Connection: TE"] if trailers else []
    )
    assert not any(b"gzip" in line for line in lines)
    assert b"Content-Length: 1" in lines
