"""What a visitor sends, framed as the head of its request says, and held while nobody can take it."""

import pytest

from actors.exchange import reasons
from actors.exchange.http1 import Body, RequestHead
from actors.exchange.upload import UnfitBody, Upload


class Sink:
    """A backend that takes whatever comes."""

    may_be_stale = reusable = False

    def __init__(self) -> None:
        self.got: list[bytes | str] = []

    def begin(self, handler: object, head: RequestHead, *, raw: bool = False) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...

    def write(self, data: bytes) -> None:
        self.got.append(data)

    def write_eof(self) -> None:
        self.got.append("eof")


class Sent:
    """An upload and what it led to."""

    def __init__(self, body: Body, length: int = 0, *, connected: bool = True) -> None:
        self.credit = 0
        self.passed: list[bytes] = []
        self.sink = Sink()
        self.upload = Upload(self._consumed, self.passed.append)
        self.upload.announce(RequestHead(b"", "POST", body, length, upgrade=False))
        if connected:
            self.upload.connect(self.sink)

    def _consumed(self, count: int) -> None:
        self.credit += count


def test_length_is_counted_down() -> None:
    sent = Sent(Body.LENGTH, 5)
    sent.upload.add(b"hel")
    halfway = sent.upload.is_complete
    sent.upload.add(b"lo")
    sent.upload.end()
    assert sent.sink.got == sent.passed == [b"hel", b"lo"]
    assert (halfway, sent.upload.is_complete, sent.credit) == (False, True, 5)


@pytest.mark.parametrize("body", ["raw", "chunked", "length"])
def test_what_offends_the_backend_is_counted_all_the_same(body: str) -> None:
    class Offended(Sink):
        def write(self, data: bytes) -> None:
            sent.upload.close_for_good()  # as the exchange does, which ends in here

    sent = Sent(Body.CHUNKED if body == "chunked" else Body.LENGTH, 5, connected=False)
    if body == "raw":
        sent.upload.become_raw()
    sent.upload.connect(Offended())
    sent.upload.add(b"hello")
    assert sent.passed == [b"hello"]


def test_chunks() -> None:
    sent = Sent(Body.CHUNKED)
    sent.upload.add(b"hello world")
    halfway = sent.upload.is_complete
    sent.upload.end()
    assert sent.sink.got == [b"b\r\nhello world\r\n", b"0\r\n\r\n"]
    assert (halfway, sent.upload.is_complete) == (False, True)


@pytest.mark.parametrize("body", [Body.NONE, Body.LENGTH])
def test_none(body: Body) -> None:
    sent = Sent(body)
    assert sent.upload.is_complete
    sent.upload.end()
    assert sent.sink.got == []


@pytest.mark.parametrize(
    ("body", "length", "data", "reason"),
    [
        (Body.NONE, 0, b"x", reasons.NO_LENGTH),
        (Body.LENGTH, 0, b"x", reasons.WRONG_LENGTH),
        (Body.LENGTH, 2, b"xyz", reasons.WRONG_LENGTH),
        (Body.LENGTH, 2, b"x", reasons.WRONG_LENGTH),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_what_was_not_announced_does_not_pass(
    body: Body, length: int, data: bytes, reason: reasons.Reason, *, early: bool
) -> None:
    sent = Sent(body, length, connected=not early)
    with pytest.raises(UnfitBody) as unfit:
        sent.upload.add(data)
        sent.upload.end()
        sent.upload.connect(sent.sink)
    assert unfit.value.reason is reason
    assert sent.credit == len(data)
    assert sent.sink.got == ([data] if len(data) < length else [])


def test_raw_bytes_and_their_end_are_held_until_somebody_takes_them() -> None:
    sent = Sent(Body.NONE, connected=False)
    sent.upload.become_raw()
    sent.upload.add(b"a")
    sent.upload.add(b"b")
    sent.upload.end()
    assert (sent.sink.got, sent.credit) == ([], 0)
    sent.upload.connect(sent.sink)
    assert sent.sink.got == [b"a", b"b", "eof"]
    assert sent.credit == 2
