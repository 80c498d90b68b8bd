"""Whatever head we emit is one request, the same one, to three parsers of others: h11, llhttp and http.server."""

import io
import random
from http.server import BaseHTTPRequestHandler
from typing import Any

import h11
import llhttp
import pytest

from actors.exchange.http1 import BadRequest, Body, RequestHead, build_request_head
from actors.exchange.request import Kind, Request

CASES = 100_000

Fields = list[tuple[str, bytes]]
Seen = tuple[bytes, bytes, Fields]

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND"]
NAMES = [
    *("Accept", "Cookie", "X-A", "x-b", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection", "Host"),
    *("TE", "Upgrade", "Expect", "X_C", "Keep-Alive", "Range", "Via", "!#$%&'*+-.^_`|~1", "Cf-Ray", "Bad Name", ""),
]
VALUES = [
    *(b"", b"1", b"0", b"chunked", b"close", b"keep-alive, X-A", b"a, b", b"x" * 300, b"\xc3\xa4", b"\xa0 \x85"),
    *(b" padded\t", b"a.example", b"gzip, chunked", b"5, 5", b"+1", b"0x1", b"a\rb", b"a\nb: c", b"a\0", b"\x7f"),
    *(b"100-continue", b"websocket", b"h2c"),
]
PATHS = [
    *("/", "", "?q", "/a/../b//%2e%2f", "/?a=b&c", "/x;y=z", "/~user/'(!)*"),
    *("/ space", "/\u00e4", "/\udcff?\u20ac", "/a#b", "//h/x", "/%00"),
]


class Llhttp(llhttp.Request):  # type: ignore[misc]
    """Collects what llhttp reports."""

    def __init__(self) -> None:
        super().__init__()
        self.url = b""
        self.names: list[bytes] = []
        self.values: list[bytes] = []
        self.heads = self.messages = 0

    def on_url(self, data: bytes) -> None:
        self.url += data

    def on_header_field(self, data: bytes) -> None:
        if len(self.names) == len(self.values):
            self.names.append(b"")
        self.names[-1] += data

    def on_header_value(self, data: bytes) -> None:
        if len(self.values) < len(self.names):
            self.values.append(b"")
        self.values[-1] += data

    def on_header_value_complete(self) -> None:
        if len(self.values) < len(self.names):
            self.values.append(b"")

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_message_complete(self) -> None:
        self.messages += 1


class Server(BaseHTTPRequestHandler):
    """http.server's parser, without a server."""

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.wfile = io.BytesIO()
        self.raw_requestline = self.rfile.readline(65537)
        self.client_address = ("127.0.0.1", 1)
        self.parsed = self.parse_request()

    def handle_expect_100(self) -> bool:
        return True


def generate(rng: random.Random) -> Request:
    fields: Fields = [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.randrange(6))]
    if rng.random() < 0.5:  # mostly good ones, so that there is something to parse
        fields = [field for field in fields if field[0] not in ("Bad Name", "", "Host", "Content-Length", "Connection")]
        fields = [field for field in fields if field[0] != "Transfer-Encoding" or field[1] == b"chunked"]
        fields = [(name, value) for name, value in fields if not set(value) & {0, 10, 13, 127}]
    method, host = rng.choice(METHODS), rng.choice([b"a.example", b"[::1]:80", b"x:1"])
    kind = rng.choice([Kind.HTTP] * 9 + [Kind.WEBSOCKET])
    target = rng.choice(PATHS).encode("utf-8", "surrogateescape")
    return Request(kind, method, target, host, tuple((name.encode(), value) for name, value in fields))


def body_of(head: RequestHead) -> bytes:
    return {Body.NONE: b"", Body.LENGTH: b"x" * head.length, Body.CHUNKED: b"1\r\nx\r\n0\r\n\r\n"}[head.body]


def by_h11(head: RequestHead) -> Seen:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(head.data + body_of(head))
    event = server.next_event()
    assert isinstance(event, h11.Request)
    while not isinstance(rest := server.next_event(), h11.EndOfMessage):
        assert isinstance(rest, h11.Data)
    assert server.trailing_data[0] == b""
    return event.method, event.target, [(name.decode(), value) for name, value in event.headers]


def by_llhttp(head: RequestHead) -> Seen:
    parser = Llhttp()
    try:
        parser.execute(head.data + body_of(head))
    except llhttp.PAUSED_UPGRADE:
        assert head.upgrade
    assert (parser.heads, parser.messages) == (1, 1)
    names = [name.decode().lower() for name in parser.names]
    return parser.method.encode(), parser.url, list(zip(names, parser.values, strict=True))


def by_http_server(head: RequestHead) -> Seen:
    server = Server(head.data + body_of(head))
    assert server.parsed
    assert server.rfile.read() == body_of(head)
    fields = [(name.lower(), value.encode("latin-1")) for name, value in server.headers.items()]
    # It shortens // at the start of a path, to guard its own redirects: the request line is what it read.
    return server.command.encode(), server.requestline.split(" ")[1].encode(), fields


def expected(head: RequestHead) -> Seen:
    request_line, *lines = head.data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    fields = [line.split(b": ", 1) for line in lines]
    return method, target, [(name.decode().lower(), value) for name, value in fields]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_request_with_the_same_fields_and_nothing_left_over() -> None:
    rng = random.Random(20261122)
    built = 0
    while built < CASES:
        request = generate(rng)
        try:
            head = build_request_head(request)
        except BadRequest:
            continue
        if head.body is Body.UNKNOWN or (head.body is Body.NONE and not head.upgrade and rng.random() < 0.1):
            head = head.framed(has_body=rng.random() < 0.5)
        built += 1
        truth = expected(head)
        seen: list[Any] = [by_h11(head), by_llhttp(head), by_http_server(head)]
        assert seen == [truth] * 3, head.data
