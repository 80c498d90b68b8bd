"""Access tokens: what is as good as a password, and can be sent in a link. Pure.

A token comes as `Authorization: Bearer TOKEN`; or once in the address (`?access_token=TOKEN`), and then a browser gets
a cookie for it, which is signed, says until when it is good, and is of no use once the token is another one. So the
token stands in one line of a browser's history, and in no Referer.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from actors.exchange.request import Request
from actors.guard import fields

PARAMETER: Final = "access_token"

COOKIE: Final = b"tunnel_access"

LIFETIME: Final = 7 * 86400
"""Seconds for which a cookie is good: whoever opened the link on Monday need not look for it on Friday."""

MAX_TOKEN: Final = 4096
"""Bytes of one that a request brings."""

_STAMP_DIGITS: Final = 10


class Tokens:
    """Those that are let in."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]
        # Of the token, so that a cookie outlives a restart, and ends with the token.
        self._keys = [hmac.digest(token.encode(), b"cookie of tunnel-supervisor", "sha256") for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def admit(self, given: bytes) -> bool:
        """Whether this is one of them, found out in a time that tells nothing of them."""
        return self._which(given) is not None

    def _which(self, given: bytes) -> int | None:
        found = None
        digest = _digest(given[:MAX_TOKEN])
        for index, known in enumerate(self._digests):
            if hmac.compare_digest(known, digest):
                found = index
        return found

    def ticket(self, given: bytes, now: float) -> bytes:
        """The value of a cookie for whoever has brought this token, which is one of them. `now`: seconds since 1970."""
        index = self._which(given)
        assert index is not None
        until = b"%0*d" % (_STAMP_DIGITS, int(now) + LIFETIME)
        return until + b"." + _seal(self._keys[index], until)

    def honours(self, ticket: bytes, now: float) -> bool:
        """Whether a cookie is one of ours, and still good."""
        until, _, seal = ticket.partition(b".")
        is_ours = False
        for key in self._keys:
            is_ours |= hmac.compare_digest(_seal(key, until), seal)
        return is_ours and len(until) == _STAMP_DIGITS and until.isdigit() and now < int(until)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _seal(key: bytes, until: bytes) -> bytes:
    return hmac.digest(key, until, "sha256").hex().encode()


def bearer(authorization: bytes) -> bytes | None:
    """The token in an Authorization field; None: it is of another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else None


def in_address(request: Request) -> bytes | None:
    """The token in the address; None: there is none there, or more than one."""
    found = fields.parameters(request, PARAMETER)
    return as_token(found[0]) if len(found) == 1 else None


def as_token(parameter: str) -> bytes:
    """The value of a parameter, as a token."""
    return parameter.encode("utf-8", "surrogateescape")


def set_cookie(name: bytes, value: bytes, *, seconds: int, is_secure: bool) -> tuple[bytes, bytes]:
    """The field that gives a browser a cookie of ours, which no script reads and no other site sends along."""
    attributes = b"; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d" % seconds
    return b"Set-Cookie", name + b"=" + value + attributes + (b"; Secure" if is_secure else b"")
