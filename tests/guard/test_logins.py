"""Names and passwords."""

import base64

import bcrypt
import pytest

from actors.bus.guards import Login
from actors.guard.logins import REMEMBERED, REMEMBERED_FOR, Credentials, Logins, read

HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()


def basic(text: bytes, scheme: str = "Basic") -> bytes:
    return f"{scheme} ".encode() + base64.b64encode(text)


def test_what_a_field_says() -> None:
    assert read(basic(b"ann:open:sesame")) == Credentials(b"ann", b"open:sesame")
    assert read(basic(b"ann:x", "bAsIc")) == Credentials(b"ann", b"x")


@pytest.mark.parametrize(
    "field",
    [
        *(
            b"",
            b"Basic",
            b"Basic ",
            b"Basic !!!",
            b"Bearer YTpi",
            b"YTpi",
            b"Basic YTpi YTpi",
            b"Basic YTpi,Basic YTpi",
        ),
        *(basic(b"no colon"), basic(b"a:" + b"x" * 2000), b"Basic YTpi\x00", b"Basic\tYTpi", b"Basic YTp"),
    ],
)
def test_what_says_nothing(field: bytes) -> None:
    assert read(field) is None


def test_plain_password_is_known_at_once() -> None:
    logins = Logins([Login("ann", "pass:word", is_hash=False)])
    assert logins.know(Credentials(b"ann", b"pass:word"), 0.0) is True
    for name, password in ((b"ann", b"pass:wor"), (b"Ann", b"pass:word"), (b"", b""), (b"ann", b"pass:word ")):
        assert logins.know(Credentials(name, password), 0.0) is False


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hash_of_bcrypt(prefix: str) -> None:
    logins = Logins([Login("ann", prefix + HASH[4:])])
    given = Credentials(b"ann", b"open sesame")
    assert logins.know(given, 0.0) is None, "it takes long to say"
    assert logins.verify(given)
    for name, password in ((b"ann", b"open"), (b"bob", b"open sesame"), (b"ann", b"open sesame\0"), (b"ann", b"")):
        assert not logins.verify(Credentials(name, password))


def test_password_longer_than_bcrypt_looks() -> None:
    long = b"x" * 100
    logins = Logins([Login("ann", bcrypt.hashpw(long[:72], bcrypt.gensalt(4)).decode())])
    assert logins.verify(Credentials(b"ann", long))


def test_name_that_is_not_there_costs_a_verification_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def check(password: bytes, made: bytes) -> bool:
        tried.append(made)
        return True

    monkeypatch.setattr(bcrypt, "checkpw", check)
    assert not Logins([Login("ann", HASH)]).verify(Credentials(b"nobody", b"open sesame"))
    assert tried == [HASH.encode()]


def test_what_was_right_is_remembered_for_a_while() -> None:
    logins = Logins([Login("ann", HASH)])
    given = Credentials(b"ann", b"open sesame")
    logins.remember(given, 100.0)
    assert logins.know(given, 100.0 + REMEMBERED_FOR - 1) is True
    assert logins.know(given, 100.0 + REMEMBERED_FOR) is None
    assert logins.know(Credentials(b"anno", b"pen sesame"), 100.0) is None
    assert b"sesame" not in repr(vars(logins)["_known"]).encode()


def test_no_more_is_remembered_than_may_be() -> None:
    logins = Logins([Login("ann", HASH)])
    for number in range(REMEMBERED + 5):
        logins.remember(Credentials(b"ann", b"%d" % number), 0.0)
    assert len(logins._known) == REMEMBERED
