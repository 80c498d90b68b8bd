"""What a replay sends."""

import pytest

from actors.bus.inspection import MAX_BODY_BYTES, Answered, Head
from actors.inspector.edits import CannotReplay, Edits, read_edits, replay_of
from actors.inspector.store import Recorded
from tests.kit.seen import MASKS, recorded

FIELDS = [(b"Content-Length", b"3"), (b"Authorization", b"one"), (b"Authorization", b"two"), (b"A", b"\xe4")]


def hook(**given: object) -> Recorded:
    return recorded(method="POST", target="/hook?a=%20", fields=FIELDS, body=b"abc", **given)


def test_as_it_was() -> None:
    made = replay_of(hook(), Edits(), MASKS, 7)
    assert (made.number, made.of, made.body) == (7, "0.1.1", b"abc")
    assert made.head == Head("http", b"POST", b"/hook?a=%20", b"a.example", FIELDS)


def test_edited() -> None:
    edits = Edits(
        method="put", target="/other", fields=[("Host", "evil"), ("X", "ü"), ("Content-Length", "9")], body="é"
    )
    made = replay_of(hook(), edits, MASKS, 1)
    assert (made.head.method, made.head.target, made.body) == (b"PUT", b"/other", "é".encode())
    assert made.head.fields == [(b"X", "ü".encode()), (b"Content-Length", b"2")]
    assert made.head.host == b"a.example", "rules go by it"


def test_framing_follows_the_body() -> None:
    assert replay_of(hook(), Edits(body=""), MASKS, 1).head.fields[-1] == (b"Content-Length", b"0")
    made = replay_of(hook(), Edits(method="GET", body=""), MASKS, 1)
    assert all(name != b"Content-Length" for name, _ in made.head.fields)
    chunked = recorded(method="POST", fields=[(b"Transfer-Encoding", b"chunked")], body=b"abc")
    assert replay_of(chunked, Edits(), MASKS, 1).head.fields == [(b"Transfer-Encoding", b"chunked")]
    assert replay_of(chunked, Edits(body="x"), MASKS, 1).head.fields == [(b"Content-Length", b"1")]
    assert replay_of(hook(), Edits(body_base64="/w=="), MASKS, 1).body == b"\xff"


def test_mask_stands_for_what_it_hides() -> None:
    given = [("authorization", "[masked]"), ("A", "[masked]"), ("Authorization", "[masked]")]
    made = replay_of(hook(), Edits(fields=given), MASKS, 1)
    assert made.head.fields[:3] == [(b"authorization", b"one"), (b"A", b"[masked]"), (b"Authorization", b"two")]
    with pytest.raises(CannotReplay, match="behind this mask"):
        replay_of(hook(), Edits(fields=[("Cookie", "[masked]")]), MASKS, 1)


def test_body_that_was_cut_off_has_to_be_given() -> None:
    cut = hook(request=[b"ab"], request_bytes=900)
    with pytest.raises(CannotReplay, match="cut off"):
        replay_of(cut, Edits(), MASKS, 1)
    assert replay_of(cut, Edits(body="all of it"), MASKS, 1).body == b"all of it"


def test_what_cannot_be_replayed() -> None:
    for entry in (
        recorded(answered=Answered(0.1, 101, [])),
        recorded(kind="tcp"),
        recorded(head=Head("http", b"GET", b"/", b"a", [], is_stripped=True)),
    ):
        for edits in (Edits(), Edits(body="x")):
            with pytest.raises(CannotReplay):
                replay_of(entry, edits, MASKS, 1)


@pytest.mark.parametrize(
    "edits",
    [
        Edits(body="a", body_base64="YQ=="),
        Edits(body_base64="?"),
        Edits(method="GÄT"),
        Edits(fields=[("Ä", "x")]),
        Edits(body="x" * (MAX_BODY_BYTES + 1)),
    ],
)
def test_edits_that_make_no_sense(edits: Edits) -> None:
    with pytest.raises(CannotReplay):
        replay_of(hook(), edits, MASKS, 1)


def test_reading_edits() -> None:
    assert read_edits(b" ") == read_edits(b"{}") == Edits()
    assert read_edits(b'{"fields":[["A","b"]],"body":"x"}') == Edits(fields=[("A", "b")], body="x")
    for data in (b"[", b"[]", b'{"boddy":1}', b'{"fields":[["A"]]}', b"\xff", b'{"body":1}', b"[" * 100_000):
        with pytest.raises(CannotReplay) as refused:
            read_edits(data)
        assert refused.value.status == 400
