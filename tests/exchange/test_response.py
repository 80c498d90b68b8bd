"""Responses as origins send them: by the book, loosely, and in ways that two readers would take for two answers."""

import contextlib

import h11
import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.exchange.response import (
    MAX_CHUNK_LINE,
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    MAX_TRAILER,
    Head,
    MalformedResponse,
    ResponseReader,
)

Outcome = tuple[Head | None, bytes, bool, bool, bool] | None
"""Head, body, complete, reusable, until close; None: refused."""


def read(data: bytes, *, step: int = 0, method: str = "GET", upgrade: bool = False) -> Outcome:
    reader = ResponseReader(method, upgrade=upgrade)
    body = b""
    step = step or len(data) or 1
    try:
        for start in range(0, len(data), step):
            body += reader.feed(data[start : start + step])
    except MalformedResponse:
        return None
    return reader.head, body, reader.is_complete, reader.is_reusable, reader.is_bounded_by_close


def ok(head: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"Content-Length: 5\r\n"

BY_THE_BOOK = {
    "length": ok(HELLO, b"hello"),
    "no body": ok(b"Content-Length: 0\r\n"),
    "chunked": ok(CHUNKED, b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    "extensions and a trailer": ok(CHUNKED, b'5;a="b"\r\nhello\r\n0;x\r\nA: b\r\nC: d\r\n\r\n'),
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(HELLO, b"hello"),
    "1.0 that is kept": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + HELLO + b"\r\nhello",
    "nothing": b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
    "without a reason": b"HTTP/1.1 200\r\n" + HELLO + b"\r\nhello",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BY_THE_BOOK)
def test_by_the_book(name: str) -> None:
    for step in (0, 1, 3):
        outcome = read(BY_THE_BOOK[name], step=step)
        assert outcome is not None
        _, body, complete, reusable, _ = outcome
        assert (complete, reusable) == (True, True)
        assert body == (b"hello" if b"hello" in BY_THE_BOOK[name] or b"llo" in BY_THE_BOOK[name] else b"")


LOOSE = {
    "LF alone": b"HTTP/1.1 200 OK\nContent-Length: 5\nX: y\n\nhello",
    "LF alone at the end of the head": b"HTTP/1.1 200 OK\r\n" + HELLO + b"X: y\r\n\nhello",
    "equal lengths": ok(HELLO + b"X: y\r\n" + HELLO, b"hello"),
    "equal lengths in one field": ok(b"Content-Length: 5, 5\r\nX: y\r\n", b"hello"),
    "zeros before the length": ok(b"Content-Length: 005\r\nX: y\r\n", b"hello"),
    "length beside chunks": ok(HELLO + CHUNKED + b"X: y\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "another length beside chunks": ok(b"Content-Length: 9\r\n" + CHUNKED + b"X: y\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked twice": ok(CHUNKED + CHUNKED + b"X: y\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked 1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"X: y\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "folded": ok(HELLO + b"X:\r\n\ty\r\n", b"hello"),
    "blank before the colon": ok(HELLO + b"X : y\r\n", b"hello"),
    "field without a name": ok(b": nothing\r\n" + HELLO + b"X: y\r\n", b"hello"),
    "blanks after the size": ok(CHUNKED + b"X: y\r\n", b"5  \r\nhello\r\n0 \r\n\r\n"),
    "LF alone in chunks": ok(CHUNKED + b"X: y\r\n", b"5\nhello\n0\n\n"),
    "identity": ok(b"Transfer-Encoding: identity\r\nX: y\r\n" + HELLO, b"hello"),
    "trailer that is none": ok(CHUNKED + b"X: y\r\n", b"5\r\nhello\r\n0\r\nno field\r\n\r\n"),
}


@pytest.mark.parametrize("name", LOOSE)
def test_loose_ones_are_read_and_their_connection_serves_nobody_else(name: str) -> None:
    for step in (0, 1, 3):
        outcome = read(LOOSE[name], step=step)
        assert outcome is not None
        head, body, complete, reusable, _ = outcome
        assert head is not None
        assert (body, complete, reusable) == (b"hello", True, False)
        fields = {field.lower(): value for field, value in head.fields}
        assert fields[b"x"] == b"y"
        assert len(fields) == len(head.fields) or name == "chunked twice"
        assert fields.get(b"content-length", b"5") == b"5"
        if b"transfer-encoding" in fields:
            assert b"content-length" not in fields or name == "identity"


REFUSED = {
    "lengths that differ": ok(HELLO + b"Content-Length: 6\r\n", b"hello!"),
    "lengths that differ in one field": ok(b"Content-Length: 5, 6\r\n", b"hello!"),
    "length that is none": ok(b"Content-Length: 5 5\r\n", b"hello"),
    "negative length": ok(b"Content-Length: -5\r\n", b"hello"),
    "signed length": ok(b"Content-Length: +5\r\n", b"hello"),
    "empty length": ok(b"Content-Length:\r\n", b"hello"),
    "length beyond all bounds": ok(b"Content-Length: 9999999999999999999\r\n", b"hello"),
    "length in hexadecimal": ok(b"Content-Length: 0x5\r\n", b"hello"),
    "CR alone in a value": ok(HELLO + b"X: a\rContent-Length: 0\r\n", b"hello"),
    "CR alone between fields": b"HTTP/1.1 200 OK\r" + HELLO + b"\r\nhello",
    "CR alone in the status": b"HTTP/1.1 200 O\rK\r\n" + HELLO + b"\r\nhello",
    "CR CR LF": b"HTTP/1.1 200 OK\r\r\n" + HELLO + b"\r\nhello",
    "NUL in a value": ok(HELLO + b"X: a\0b\r\n", b"hello"),
    "NUL in a name": ok(HELLO + b"X\0: a\r\n", b"hello"),
    "control character": ok(HELLO + b"X: a\x07\r\n", b"hello"),
    "blank before the first field": ok(b" X: a\r\n" + HELLO, b"hello"),
    "folded line with nothing": ok(b"X: a\r\n \r\n" + HELLO, b"hello"),
    "folded length": ok(b"Content-Length: 5\r\n 0\r\n", b"hello"),
    "folded line with NUL": ok(b"X: a\r\n b\0\r\n" + HELLO, b"hello"),
    "blank in a name": ok(b"X Y: a\r\n" + HELLO, b"hello"),
    "line without a colon": ok(HELLO + b"nonsense\r\n", b"hello"),
    "other coding": ok(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "coding that looks like chunked": ok(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "coding after chunked": ok(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "size that is none": ok(CHUNKED, b"x\r\n"),
    "size with a sign": ok(CHUNKED, b"-5\r\nhello"),
    "size with 0x": ok(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "size beyond all bounds": ok(CHUNKED, b"1" * 17 + b"\r\n"),
    "blank before the size": ok(CHUNKED, b" 5\r\nhello\r\n0\r\n\r\n"),
    "no size": ok(CHUNKED, b"\r\nhello"),
    "chunk longer than it says": ok(CHUNKED, b"4\r\nhello\r\n0\r\n\r\n"),
    "CR alone after a size": ok(CHUNKED, b"5\rhello\r\n0\r\n\r\n"),
    "CR in an extension": ok(CHUNKED, b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "line before a chunk without an end": ok(CHUNKED, b"5;" + b"x" * MAX_CHUNK_LINE),
    "another version": b"HTTP/2 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "switch that nobody asked for": b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "head without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
    "too many fields": ok(b"X: y\r\n" * (MAX_FIELDS + 1)),
    "flood of interim responses": b"HTTP/1.1 103 X\r\n\r\n" * (MAX_INTERIM + 1) + ok(HELLO, b"hello"),
    "trailer without an end": ok(CHUNKED, b"0\r\n" + b"X: y\r\n" * (MAX_TRAILER // 6 + 1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_readers_could_read_in_two_ways_is_refused(name: str) -> None:
    assert read(REFUSED[name]) is None
    assert read(REFUSED[name], step=7 if len(REFUSED[name]) > 10_000 else 1) is None


def test_three_hundred_fields() -> None:
    outcome = read(ok(b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(300)) + HELLO, b"hello"))
    assert outcome is not None
    assert outcome[0] is not None
    assert len(outcome[0].fields) == 301
    assert outcome[3]


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (ok(HELLO), "HEAD"),
        (ok(b"X: y\r\n"), "HEAD"),
        (b"HTTP/1.1 204 No\r\n" + HELLO + b"\r\n", "GET"),
        (b"HTTP/1.1 304 No\r\n" + HELLO + b"\r\n", "GET"),
        (b"HTTP/1.1 304 No\r\n" + CHUNKED + b"\r\n", "GET"),
    ],
)
def test_origin_may_send_a_body_where_none_is_due(data: bytes, method: str) -> None:
    """It would be taken for the beginning of the next answer."""
    outcome = read(data, method=method)
    assert outcome is not None
    assert outcome[1:] == (b"", True, False, False)
    assert read(data + b"hello", method=method, step=1) == outcome, "what comes all the same reaches nobody"


@pytest.mark.parametrize("name", BY_THE_BOOK)
def test_what_comes_after_the_end_is_nobody_s(name: str) -> None:
    data = BY_THE_BOOK[name] + BY_THE_BOOK["length"].replace(b"hello", b"wrong")
    for step in (0, 1):
        outcome = read(data, step=step)
        assert outcome is not None
        assert b"wrong" not in outcome[1]
        assert outcome[2:4] == (True, False)


def test_until_close() -> None:
    for data in (b"HTTP/1.0 200 OK\r\n\r\nhello", ok(b"Connection: close\r\n", b"hello")):
        outcome = read(data, step=1)
        assert outcome is not None
        assert outcome[1:] == (b"hello", False, False, True)


def test_switch_that_was_asked_for() -> None:
    data = b"HTTP/1.1 101 Switching\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00\r\n\r\n"
    outcome = read(data, upgrade=True, step=1)
    assert outcome is not None
    assert outcome[1:] == (b"\x81\x00\r\n\r\n", False, False, True)
    assert read(data.replace(b", Upgrade", b""), upgrade=True) is None


def test_text_says_what_came_instead() -> None:
    with pytest.raises(MalformedResponse, match="TLS; try https://"):
        ResponseReader("GET").feed(b"\x15\x03\x01\x00\x02\x02\x46")
    with pytest.raises(MalformedResponse, match=r"begins with 'SSH-2.0-x\\r\\n\\x1b'"):
        ResponseReader("GET").feed(b"SSH-2.0-x\r\n\x1b")


PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204 No\n", b"HTTP/1.1 103 Hints\r\n", b"HTTP/1.1 304 Same\r\n"),
        *(HELLO, b"Content-Length: 3\r\n", b"content-length:5\n", CHUNKED, b"Transfer-Encoding: identity\r\n"),
        *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"X: y\r\n", b"X : y\n", b" folded\r\n", b": z\r\n"),
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"5\r\n", b"5 \r\n", b"5;a\r\n", b"hello", b"\r\n0\r\n", b"0\n"),
        *(b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b";", b"x" * 50),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=3), max_size=20), st.sampled_from(("GET", "HEAD")), st.booleans())
@example([b"HTTP/1.1 200 OK\r\n", CHUNKED, b"\r\n", b"5\r\n", b"hello", b"\r\n0\r\n", b"\r\n"], "GET", False)
def test_whole_and_byte_at_a_time_are_the_same(pieces: list[bytes], method: str, upgrade: bool) -> None:
    data = b"".join(pieces)
    whole = read(data, method=method, upgrade=upgrade)
    for step in (1, 2, 5):
        assert read(data, step=step, method=method, upgrade=upgrade) == whole


class Recorder:
    """What llhttp makes of a response."""

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        self.is_complete = False

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.body and not self.is_complete:
            self.fields.append((name, value.rstrip(b" \t")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True


NAMES = st.from_regex(rb"\A[A-Za-z][A-Za-z0-9-]{0,10}\Z").filter(
    lambda name: name.lower() not in (b"connection", b"upgrade", b"content-length", b"transfer-encoding")
)
VALUES = st.from_regex(rb"\A(?:[!-~\x80-\xff](?:[ -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?\Z")


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=10),
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.booleans(),
    st.sampled_from((200, 206, 404, 500)),
)
def test_three_readers_agree_on_what_is_by_the_book(
    fields: list[tuple[bytes, bytes]], parts: list[bytes], chunked: bool, status: int
) -> None:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    if chunked:
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        data = b"HTTP/1.1 %d X\r\n" % status + lines + CHUNKED + b"\r\n" + framed
    else:
        length = sum(map(len, parts))
        data = b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n" % (status, lines, length) + b"".join(parts)
    outcome = read(data)
    assert outcome is not None
    assert outcome[0] is not None
    assert outcome[1:] == (b"".join(parts), True, True, False)
    assert outcome[0].fields[:-1] == fields

    recorder = Recorder()
    parser = httptools.HttpResponseParser(recorder)
    parser.feed_data(data)
    assert (parser.get_status_code(), recorder.messages, recorder.is_complete) == (status, 1, True)
    assert (recorder.fields[: len(fields)], recorder.body) == (fields, b"".join(parts))

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    with contextlib.suppress(h11.RemoteProtocolError):  # it knows more of a value than both of us
        client.receive_data(data)
        head = client.next_event()
        assert isinstance(head, h11.Response)
        assert head.status_code == status
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        assert body == b"".join(parts)


@pytest.mark.parametrize(
    ("trailer", "expected"),
    [
        (b"", []),
        (b"A: b\r\nX-C:  d \r\n", [(b"A", b"b"), (b"X-C", b"d")]),
        (b"no field\r\n", []),
        (b"A: b\nC: d\r\n", []),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_trailers(trailer: bytes, expected: list[tuple[bytes, bytes]], step: int) -> None:
    reader = ResponseReader("GET")
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    body = b"".join(reader.feed(data[at : at + step]) for at in range(0, len(data), step))
    assert (body, reader.is_complete, reader.trailers) == (b"hello", True, expected)
