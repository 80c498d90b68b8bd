"""Cloudflare Access: who may come, as the token of a request proves it. Pure; `access_keys.py` fetches the keys.

The edge has checked the token already. It is checked once more here because whoever knows another way to the tunnel's
connector (a second hostname, a rule made by mistake) comes past that check.
"""

import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from actors.bus.routes import Access
from actors.exchange import reasons
from actors.exchange.gate import Refusal
from actors.exchange.request import Request

TOKEN_FIELD: Final = b"cf-access-jwt-assertion"

ALGORITHM: Final = "RS256"
"""The one that Access signs with. A token names its algorithm itself, and must not choose a weaker one."""

MAX_TOKEN_BYTES: Final = 32 * 1024
"""A real one has a thousand; those of people in very many groups have more."""

NOT_BEFORE_LEEWAY: Final = 300.0
"""Seconds by which this machine's clock may be behind the one that made a token; the Go client grants as many."""

MIN_KEY_BITS: Final = 2048
"""Of a key that is believed: shorter ones can be broken."""

Keys = Mapping[str, RSAPublicKey]
"""Public keys of an issuer, by their ids."""

_JWS: Final = jwt.PyJWS(algorithms=[ALGORITHM])


class Unfit(Exception):
    """Not a token of the issuer's, or not its keys; the text says why."""


def token_of(request: Request, access: Access) -> str | Refusal:
    """The token of a request, which is unchecked; or that there is none that could be checked."""
    values = [value for name, value in request.fields if name.lower() == TOKEN_FIELD]
    if not values:
        message = "this address is protected by Cloudflare Access, and the request came without its token"
        return Refusal(403, message, reasons.ACCESS_ABSENT)
    if len(values) > 1 or len(values[0]) > MAX_TOKEN_BYTES or not values[0].isascii():
        return broken("more than one, or none that is one")
    if not access.issuer:
        return broken("the rule names no team whose tokens would be good")
    return values[0].decode("ascii")


def broken(why: str) -> Refusal:
    """The token cannot be believed."""
    return Refusal(502, f"the token of Cloudflare Access cannot be verified: {why}", reasons.ACCESS_BROKEN)


def key_id(token: str) -> str:
    """By which key a token says that it is signed.

    Raises:
        Unfit: it is no token, or one that is signed in another way.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise Unfit("it is no JWT") from error
    if header.get("alg") != ALGORITHM:
        raise Unfit(f"its algorithm is not {ALGORITHM}")
    if "crit" in header or "b64" in header:
        raise Unfit("it demands what is not understood here")
    if not isinstance(name := header.get("kid"), str):
        raise Unfit("it names no key")
    return name


def verdict(token: str, key: RSAPublicKey, access: Access, now: float) -> Refusal | None:
    """Why `token`, which names `key`, lets nobody in; None: it does. `now` is in seconds since 1970."""
    try:
        claims = _claims(_JWS.decode(token, key, algorithms=[ALGORITHM]))
    except (jwt.PyJWTError, ValueError, RecursionError):
        return broken("its signature is wrong")
    except Unfit as error:
        return broken(str(error))
    if claims.get("iss") != access.issuer:
        return broken("it is of another issuer")
    if not (_is_time(expires := claims.get("exp")) and now < expires):
        return broken("it has expired")
    if "nbf" in claims and not (_is_time(begins := claims["nbf"]) and now + NOT_BEFORE_LEEWAY >= begins):
        return broken("it is not valid yet")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if not any(one in access.audiences for one in named if isinstance(one, str)):
        message = "the token of Cloudflare Access is for another application"
        return Refusal(403, message, reasons.ACCESS_REFUSED)
    return None


def _claims(payload: bytes) -> dict[str, Any]:
    claims = json.loads(payload)
    if not isinstance(claims, dict):
        raise Unfit("it claims nothing")
    return claims


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_keys(data: bytes) -> dict[str, RSAPublicKey]:
    """The keys in an issuer's JWKS (RFC 7517). Those of other kinds, and those that cannot be read, are passed over.

    Raises:
        Unfit: there are none.
    """
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise Unfit("it is no set of keys") from error
    keys: dict[str, RSAPublicKey] = {}
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("kty") != "RSA" or each.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(each, ALGORITHM).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, binascii.Error):
            continue
        if isinstance(name := each.get("kid"), str) and isinstance(key, RSAPublicKey) and key.key_size >= MIN_KEY_BITS:
            keys[name] = key
    if not keys:
        raise Unfit("there is no key in it")
    return keys
