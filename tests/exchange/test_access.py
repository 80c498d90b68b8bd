"""Tokens of Cloudflare Access: which one lets its bearer in, and which not."""

import base64
import contextlib
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.routes import Access
from actors.exchange import reasons
from actors.exchange.access import (
    MAX_TOKEN_BYTES,
    NOT_BEFORE_LEEWAY,
    Unfit,
    key_id,
    read_keys,
    token_of,
    verdict,
)
from actors.exchange.gate import Refusal
from actors.exchange.request import Field, Kind, Request

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
ISSUER = "https://team.cloudflareaccess.com"
ACCESS = Access(ISSUER, ("ours", "ours-too"))
NOW = 1_000_000.0
CLAIMS = {"iss": ISSUER, "aud": ["ours"], "exp": NOW + 60, "nbf": NOW - 60, "sub": "somebody"}


def token(key: Any = KEY, *, algorithm: str = "RS256", kid: str | None = "one", **claims: Any) -> str:
    """A token with these claims in the place of the usual ones; those that are None are left out."""
    given = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid} if kid is not None else {})


def jwk(key: rsa.RSAPrivateKey, kid: str = "one", **more: Any) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


def asked(*fields: Field) -> Request:
    return Request(Kind.HTTP, b"GET", b"/", b"a.example", fields)


def judged(text: str, access: Access = ACCESS, now: float = NOW) -> Refusal | None:
    return verdict(text, KEY.public_key(), access, now)


@pytest.mark.parametrize("audience", ["ours", "ours-too", ["theirs", "ours"]])
def test_good_token(audience: object) -> None:
    assert judged(token(aud=audience)) is None


def test_not_before_is_not_taken_too_exactly_and_need_not_be_said() -> None:
    assert judged(token(nbf=NOW + NOT_BEFORE_LEEWAY)) is None
    assert judged(token(nbf=None)) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW},
        {"exp": NOW - 3600},
        {"exp": None},
        {"exp": float("nan")},
        {"nbf": float("nan")},
        {"nbf": NOW + NOT_BEFORE_LEEWAY + 1},
        {"iss": None},
        {"iss": ISSUER + "/"},
        {"iss": "https://other.cloudflareaccess.com"},
        {"iss": "http://team.cloudflareaccess.com"},
    ],
    ids=str,
)
def test_token_that_cannot_be_believed_is_a_gateway_s_error(claims: dict[str, Any]) -> None:
    refusal = judged(token(**claims))
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (502, reasons.ACCESS_BROKEN)


@pytest.mark.parametrize("audience", ["theirs", ["theirs"], [], None, ["our"], ["ours "], [["ours"]]], ids=str)
def test_token_for_another_application_is_refused(audience: object) -> None:
    claims = {**CLAIMS, "aud": audience}
    refusal = judged(jwt.PyJWS().encode(json.dumps(claims).encode(), KEY, algorithm="RS256"))
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (403, reasons.ACCESS_REFUSED)


def test_nobody_is_let_in_where_no_audience_is_named() -> None:
    refusal = judged(token(), Access(ISSUER, ()))
    assert refusal is not None


@pytest.mark.parametrize(
    "payload", [b"", b"1", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"exp":NaN}', b'{"exp":true}']
)
def test_odd_claims(payload: bytes) -> None:
    refusal = judged(jwt.PyJWS().encode(payload, KEY, algorithm="RS256"))
    assert refusal is not None
    assert refusal.status == 502


def test_signature_of_somebody_else() -> None:
    assert judged(token(OTHER)) is not None
    head, claims, _ = token().split(".")
    _, _, signature = token(sub="me").split(".")
    assert judged(f"{head}.{claims}.{signature}") is not None
    assert judged(f"{head}.{claims}.") is not None


def test_other_algorithms_are_not_even_looked_at() -> None:
    pem = b"the public key, which everybody has, as a secret"
    for made in (
        token(pem, algorithm="HS256"),
        token(KEY, algorithm="RS512"),
        token(KEY, algorithm="PS256"),
        token(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        token(None, algorithm="none"),
    ):
        with pytest.raises(Unfit, match="RS256"):
            key_id(made)
        assert judged(made) is not None, "nor by who does not ask"


def test_token_that_demands_what_is_not_understood_here() -> None:
    for header in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}):
        head = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "one", **header}).encode()).rstrip(b"=")
        with pytest.raises(Unfit):
            key_id(f"{head.decode()}.e30.AAAA")
    with pytest.raises(Unfit, match="names no key"):
        key_id(token(kid=None))


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode() + ".e30.AAAA"))
def test_whatever_comes_as_a_token_is_told_apart(text: str) -> None:
    with contextlib.suppress(Unfit):
        key_id(text)
    assert judged(text) is not None


# --- what a request brings ---


def test_request_without_a_token() -> None:
    refusal = token_of(asked((b"Cookie", b"CF_Authorization=x")), ACCESS)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (403, reasons.ACCESS_ABSENT)


@pytest.mark.parametrize("name", [b"Cf-Access-Jwt-Assertion", b"cf-access-jwt-assertion"])
def test_request_with_one(name: bytes) -> None:
    assert token_of(asked((name, b"a.b.c")), ACCESS) == "a.b.c"


@pytest.mark.parametrize("values", [(b"a.b.c", b"a.b.c"), (b"x" * (MAX_TOKEN_BYTES + 1),), (b"\xff",)], ids=len)
def test_request_with_what_could_be_read_in_two_ways(values: tuple[bytes, ...]) -> None:
    refusal = token_of(asked(*((b"Cf-Access-Jwt-Assertion", value) for value in values)), ACCESS)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 502


def test_rule_that_demands_a_token_of_nobody_lets_nobody_in() -> None:
    nobody = Access("", ())
    for fields, status in (((), 403), (((b"Cf-Access-Jwt-Assertion", b"a.b.c"),), 502)):
        refusal = token_of(asked(*fields), nobody)
        assert isinstance(refusal, Refusal)
        assert refusal.status == status


# --- keys ---


def test_keys_by_their_names() -> None:
    keys = read_keys(json.dumps({"keys": [jwk(KEY), jwk(OTHER, "two", use="sig", alg="RS256")], "more": 1}).encode())
    assert {name: key.public_numbers() for name, key in keys.items()} == {
        "one": KEY.public_key().public_numbers(),
        "two": OTHER.public_key().public_numbers(),
    }


def test_keys_that_are_none_of_ours_are_passed_over() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    odd: list[Any] = [
        jwk(OTHER, "encrypts", use="enc"),
        jwk(weak, "weak"),
        {"kty": "EC", "kid": "curve"},
        {"kty": "RSA", "kid": "no numbers"},
        {"kty": "RSA", "kid": "odd", "n": "*", "e": 1},
        *(1, None, "x", []),
        {**jwk(OTHER), "kid": 7},
        jwk(KEY),
    ]
    assert list(read_keys(json.dumps({"keys": odd}).encode())) == ["one"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"<html>", b"\xff", b"[" * 100_000]
)
def test_no_keys(data: bytes) -> None:
    with pytest.raises(Unfit):
        read_keys(data)
