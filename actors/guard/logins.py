"""A name and a password, as a request has them (Basic, RFC 7617). Pure, but for the time that bcrypt takes.

A hash of bcrypt takes a good part of a second of the processor, on purpose. So a password that was right is remembered
for a while, as a digest by a key that nobody knows: a page of fifty files costs one verification, and what is
remembered is of no use to anybody who reads it.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.bus.guards import Login

REMEMBERED: Final = 256
"""Logins that were right, of one worker: one per person and password."""

REMEMBERED_FOR: Final = 300.0
"""Seconds for which they are."""

MAX_CREDENTIALS: Final = 1024
"""Bytes of a name and a password in base64."""

BCRYPT_BYTES: Final = 72
"""All that bcrypt looks at of a password; `htpasswd` cuts off the rest, too."""


class Credentials(NamedTuple):
    """What a visitor says."""

    name: bytes
    password: bytes


def read(authorization: bytes) -> Credentials | None:
    """What an Authorization field of the scheme Basic says; None: it is of another one, or says nothing."""
    scheme, _, value = authorization.partition(b" ")
    value = value.strip(b" ")
    if scheme.lower() != b"basic" or len(value) > MAX_CREDENTIALS:
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).partition(b":")
    except binascii.Error:
        return None
    return Credentials(name, password) if colon else None


class Logins:
    """Those that are let in."""

    def __init__(self, logins: Sequence[Login]) -> None:
        self._plain = [(each.name.encode(), each.password.encode()) for each in logins if not each.is_hash]
        self._hashes = {each.name.encode(): each.password.encode() for each in logins if each.is_hash}
        self._slowest = max(self._hashes.values(), key=lambda made: made[4:6], default=b"")
        """What a name is held against that there is not: the cost stands behind the kind."""
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, float] = {}
        """Digests of logins that were right, and until when that is believed."""

    def __bool__(self) -> bool:
        return bool(self._plain or self._hashes)

    def know(self, given: Credentials, now: float) -> bool | None:
        """Whether they are right, as far as that can be said at once; None: `verify` can say it. `now` is in seconds of
        a monotonic clock."""
        is_right = False
        for name, password in self._plain:
            is_right |= _same(name, given.name) & _same(password, given.password)
        if is_right or not self._hashes:
            return is_right
        return True if self._known.get(self._digest(given), now) > now else None

    def may_be_ours(self, given: Credentials, now: float) -> bool:
        """Whether the application must not see them: they are right, or it would take long to say that they are not."""
        is_right = self.know(given, now)
        return given.name in self._hashes if is_right is None else is_right

    def verify(self, given: Credentials) -> bool:
        """Whether they are right. It takes long, and as long for a name that there is not."""
        import bcrypt  # here, since few have hashes

        made = self._hashes.get(given.name)
        try:
            is_right = bcrypt.checkpw(given.password[:BCRYPT_BYTES], made or self._slowest)
        except ValueError:  # a zero byte: no password has one
            return False
        return is_right and made is not None

    def remember(self, given: Credentials, now: float) -> None:
        """They are right."""
        if len(self._known) >= REMEMBERED:
            self._known = {digest: until for digest, until in self._known.items() if until > now}
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[self._digest(given)] = now + REMEMBERED_FOR

    def _digest(self, given: Credentials) -> bytes:
        return hmac.digest(self._key, len(given.name).to_bytes(4, "big") + given.name + given.password, "sha256")


def _same(ours: bytes, given: bytes) -> bool:
    """In a time that tells nothing of either, not even the length."""
    return hmac.compare_digest(hashlib.sha256(ours).digest(), hashlib.sha256(given).digest())
