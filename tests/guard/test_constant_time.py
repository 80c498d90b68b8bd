"""What is compared with a secret is compared whole, with all of them, and as digests of one length.

However wrong it is, the time that it takes tells nothing. No clock is asked: each comparison is counted."""

import base64
import hmac

import pytest

from actors.bus.guards import Login, Webhook
from actors.guard.logins import Credentials, Logins
from actors.guard.tokens import Tokens
from actors.guard.webhooks import Delivery, judge
from tests.guard.kit import asked

_compare = hmac.compare_digest


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The lengths of what was compared."""
    lengths: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        lengths.append((len(one), len(other)))
        return _compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return lengths


def times(compared: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found = compared[:]
    compared.clear()
    return found


TOKENS = ["the-first-token-of-chance", "the-second-token", "x"]


@pytest.mark.parametrize(
    "given", [*TOKENS, "", "t", "the-first-token-of-chancf", "zhe-first-token-of-chance", "y" * 5000]
)
def test_tokens(compared: list[tuple[int, int]], given: str) -> None:
    Tokens(TOKENS).admit(given.encode())
    assert times(compared) == [(32, 32)] * 3


@pytest.mark.parametrize("name", ["ann", "anz", "bob", "", "x" * 500])
@pytest.mark.parametrize("password", ["sesame", "sesamf", "zesame", "", "x" * 500])
def test_logins(compared: list[tuple[int, int]], name: str, password: str) -> None:
    logins = Logins([Login("ann", "sesame", is_hash=False), Login("bob", "open", is_hash=False)])
    logins.know(Credentials(name.encode(), password.encode()), 0.0)
    assert times(compared) == [(32, 32)] * 4


def test_cookies(compared: list[tuple[int, int]]) -> None:
    tokens = Tokens(TOKENS)
    ticket = tokens.ticket(TOKENS[1].encode(), 0.0)
    times(compared)
    for change in (ticket, ticket[:-1] + b"x", ticket.replace(b".", b".x")[:-1], b"1234567890." + b"0" * 64):
        tokens.honours(change, 0.0)
        assert times(compared) == [(64, 64)] * 3


def test_signatures(compared: list[tuple[int, int]]) -> None:
    body = b"{}"
    good = "sha256=" + hmac.new(b"two", body, "sha256").hexdigest()
    for signature in (good, good[:-1] + "x", "x" + good[1:], "sha256=" + "0" * 64):
        request = asked("/", ("X-Hub-Signature-256", signature))
        judge(Webhook("github", ("one", "two", "three")), Delivery(request, body, 0.0))
        assert times(compared) == [(71, 71)] * 3
    made = base64.b64encode(hmac.digest(b"key", b"id.100.{}", "sha256")).decode()
    for place in range(3):
        said = ["v1," + "A" * 44] * 3
        said[place] = f"v1,{made}"
        fields = (("svix-id", "id"), ("svix-timestamp", "100"), ("svix-signature", " ".join(said)))
        judge(Webhook("svix", (base64.b64encode(b"key").decode(),)), Delivery(asked("/", *fields), body, 100.0))
        assert times(compared) == [(44, 44)] * 3


@pytest.mark.parametrize("given", ["agreed", "agreee", "zgreed", "", "x" * 300])
def test_secrets_that_are_sent_as_they_are(compared: list[tuple[int, int]], given: str) -> None:
    judge(
        Webhook("telegram", ("agreed", "older")),
        Delivery(asked("/", ("X-Telegram-Bot-Api-Secret-Token", given)), b"", 0.0),
    )
    assert times(compared) == [(32, 32)] * 2
