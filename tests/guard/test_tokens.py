"""Access tokens, and the cookies that browsers get for them."""

import pytest

from actors.guard.tokens import LIFETIME, Tokens, bearer, in_address
from tests.guard.kit import asked

TOKENS = Tokens(["one-long-token-of-chance", "another-token-of-chance"])
NOW = 1_800_000_000.0


def test_each_of_them_is_let_in() -> None:
    assert TOKENS.admit(b"one-long-token-of-chance")
    assert TOKENS.admit(b"another-token-of-chance")
    for wrong in (b"", b"one-long-token-of-chanc", b"one-long-token-of-chance ", b"ONE-LONG-TOKEN-OF-CHANCE"):
        assert not TOKENS.admit(wrong)
    assert not Tokens([]).admit(b"")


def test_cookie_is_good_for_a_while_and_for_its_token_alone() -> None:
    ticket = TOKENS.ticket(b"another-token-of-chance", NOW)
    assert TOKENS.honours(ticket, NOW + LIFETIME - 1)
    assert not TOKENS.honours(ticket, NOW + LIFETIME)
    assert Tokens(["another-token-of-chance"]).honours(ticket, NOW), "it outlives a restart"
    assert not Tokens(["one-long-token-of-chance"]).honours(ticket, NOW), "and ends with its token"


@pytest.mark.parametrize("change", [b"", b".", b"9999999999.", b"x", b"9999999999." + b"0" * 64])
def test_forged_cookie(change: bytes) -> None:
    seal = TOKENS.ticket(b"another-token-of-chance", NOW).partition(b".")[2]
    for forged in (change, change + seal, seal + change, change.partition(b".")[0] + b"." + seal):
        assert not TOKENS.honours(forged, NOW)


def test_where_a_token_stands() -> None:
    assert bearer(b"Bearer x") == bearer(b"bEARER  x ") == b"x"
    assert bearer(b"Basic x") is None
    assert in_address(asked("/?access_token=a%2Bb")) == b"a+b"
    assert in_address(asked("/?access_token=a&access_token=a")) is None
    assert in_address(asked("/?x=1")) is None
