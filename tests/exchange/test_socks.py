"""SOCKS5, as its server speaks it: the conversation, and which addresses may be reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.routes import IpRule
from actors.exchange.socks import MAX_WORDS, Conversation, Refused, Wanted, allowed, reply

GREETING = b"\5\1\0"
BY_NAME = b"\5\1\0\3\x0bexample.com\0\x16"
IPV4 = b"\5\1\0\1\x7f\0\0\1\x1f\x90"
IPV6 = b"\5\1\0\4" + b"\0" * 15 + b"\1\0\x50"


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [(BY_NAME, Wanted("example.com", 22)), (IPV4, Wanted("127.0.0.1", 8080)), (IPV6, Wanted("::1", 80))],
)
def test_a_conversation(request_: bytes, wanted: Wanted) -> None:
    conversation = Conversation()
    assert conversation.feed(GREETING) == b"\5\0"
    assert conversation.feed(request_ + b"SSH") == b""
    assert conversation.wanted == wanted
    assert conversation.rest() == b"SSH"


@given(st.sampled_from([BY_NAME, IPV4, IPV6]), st.lists(st.integers(0, 30)))
def test_it_may_come_in_any_pieces(request_: bytes, cuts: list[int]) -> None:
    conversation, answered = Conversation(), b""
    data = GREETING + request_ + b"rest"
    begin = 0
    for cut in [*sorted(cuts), len(data)]:
        answered += conversation.feed(data[begin:cut])
        begin = max(begin, cut)
    assert answered == b"\5\0"
    assert conversation.wanted is not None
    assert conversation.rest() == b"rest"


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (b"GET / HTTP/1.1", b""),
        (b"\4\1\0\x50", b""),
        (b"\5\1\2", b"\5\xff"),
        (b"\5\0", b"\5\xff"),
        (GREETING + b"\4", b""),
        (GREETING + b"\5\2\0\1\x7f\0\0\1\0\x50", reply(7)),
        (GREETING + b"\5\3\0\1\x7f\0\0\1\0\x50", reply(7)),
        (GREETING + b"\5\1\0\2\0\0\0", reply(8)),
        (GREETING + b"\5\1\0\3\0\0\x50", reply(8)),
        (GREETING + b"\5\1\0\3\1\xff\0\x50", reply(8)),
        (GREETING + b"\5\1\0\3\1\0\0\x50", reply(8)),
    ],
)
def test_what_is_refused_and_in_which_words(said: bytes, last: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Conversation().feed(said)
    assert refused.value.reply == last


@given(st.lists(st.binary(max_size=64)))
def test_whatever_is_said_it_ends_or_stays_small(pieces: list[bytes]) -> None:
    conversation = Conversation()
    try:
        for piece in pieces:
            conversation.feed(piece)
            assert conversation.wanted is not None or len(conversation._buffer) <= MAX_WORDS
    except Refused:
        pass


RULES = (
    IpRule("10.1.0.0/16", (22, 80), allow=True),
    IpRule("10.1.2.3/32"),
    IpRule("10.0.0.0/8", allow=True),
    IpRule("fd00::/8", allow=True),
)


@pytest.mark.parametrize(
    ("address", "port", "may"),
    [
        ("10.1.2.3", 22, True),
        ("10.1.2.3", 23, False),
        ("10.1.2.4", 23, True),
        ("192.0.2.1", 22, False),
        ("fd00::1", 22, True),
        ("fe80::1%eth0", 22, False),
        ("::ffff:10.1.2.3", 23, False),
        ("::ffff:10.1.2.4", 23, True),
    ],
)
def test_first_rule_that_is_about_it_decides(address: str, port: int, may: bool) -> None:
    assert allowed(RULES, address, port) is may


def test_without_rules_nothing_may_be_reached() -> None:
    assert not allowed((), "127.0.0.1", 80)
