"""Who may come in to the inspector: who is of this machine, or has the password; and never anybody by the tunnel. Pure.

A browser of this machine visits foreign pages too, and these must neither read nor do anything here:

- *DNS rebinding*: their own name leads to 127.0.0.1 all of a sudden. But it stands in Host, and only our own do there.
- *requests across sites*: what changes something wants the token, which no foreign page can read; and a browser says
  where a request comes from (Origin, Sec-Fetch-Site).

What came through the tunnel has fields of the edge, whatever its Host has become on the way.
"""

import base64
import binascii
import hmac
import ipaddress
import urllib.parse
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.bus.addresses import HostPort, joined
from actors.bus.inspection import Field

TOKEN_FIELD: Final = b"x-inspector-token"

_OF_THE_EDGE: Final = (b"cf-", b"cdn-loop")

REALM: Final = b'Basic realm="tunnel inspector", charset="UTF-8"'

_SITES: Final = (b"same-origin", b"none")
"""Of Sec-Fetch-Site: our own page, or the user's hand."""


class Refusal(NamedTuple):
    """Why somebody does not come in."""

    status: int
    message: str
    fields: tuple[Field, ...] = ()
    is_guess: bool = False
    """Somebody may be trying passwords."""


class Door:
    """Judges requests by their heads."""

    def __init__(self, bound: HostPort, *, token: str, password: str = "", named: str = "") -> None:
        """`bound`: where the inspector listens, an IP address. `named`: the host as the user wrote it. `password`:
        empty where only this machine reaches it."""
        self._port = bound.port
        self._token = token.encode()
        self._password = password.encode()
        self._any_address = ipaddress.ip_address(bound.host).is_unspecified
        self._hosts = {"127.0.0.1", "::1", "localhost", bound.host.lower(), named.lower()} - {""}

    def refusal(self, method: str, path: str, fields: Sequence[Field], query_token: str = "") -> Refusal | None:
        """Why a request is not answered; None: it is. `query_token`: that of `?token=`."""
        if any(name.lower().startswith(_OF_THE_EDGE) for name, _ in fields):
            return Refusal(403, "this came through the tunnel: the inspector is for this machine alone")
        hosts = _values(fields, b"host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            where = joined("127.0.0.1", self._port)
            return Refusal(403, f"the inspector is not known by this name (DNS rebinding?): ask for http://{where}/")
        has_token = self.has_token(fields, query_token)
        if self._password and not has_token and not self._has_password(fields):
            message = "give the password of --inspect-password-file; any user name will do"
            return Refusal(401, message, ((b"WWW-Authenticate", REALM),), bool(_values(fields, b"authorization")))
        if any(not self._is_our_origin(origin) for origin in _values(fields, b"origin")):
            return Refusal(403, "this comes from a page of another site")
        opens_page = method in ("GET", "HEAD") and path == "/"  # a link from elsewhere may lead there
        if not opens_page and any(site not in _SITES for site in _values(fields, b"sec-fetch-site")):
            return Refusal(403, "this comes from a page of another site")
        if method not in ("GET", "HEAD") and not has_token:
            return Refusal(403, "this needs the inspector's token: X-Inspector-Token, or Authorization: Bearer")
        return None

    def has_token(self, fields: Sequence[Field], query_token: str = "") -> bool:
        """Whether a request has the token."""
        given = [*_values(fields, TOKEN_FIELD), *_after(fields, b"bearer "), query_token.encode()]
        return any(hmac.compare_digest(each, self._token) for each in given)

    def _has_password(self, fields: Sequence[Field]) -> bool:
        for value in _after(fields, b"basic "):
            try:
                given = base64.b64decode(value, validate=True).partition(b":")[2]
            except binascii.Error:
                continue
            if hmac.compare_digest(given, self._password):
                return True
        return False

    def _is_ours(self, host: bytes) -> bool:
        return self._is_place("http", host.decode("latin-1"))

    def _is_our_origin(self, origin: bytes) -> bool:
        scheme, separator, place = origin.decode("latin-1").partition("://")
        return bool(separator) and scheme == "http" and self._is_place(scheme, place)

    def _is_place(self, scheme: str, place: str) -> bool:
        try:
            parts = urllib.parse.urlsplit(f"{scheme}://{place}")
            host, port = (parts.hostname or "").rstrip("."), parts.port or 80
        except ValueError:
            return False
        if parts.netloc != place or parts.username is not None or port != self._port:
            return False
        return host in self._hosts or (self._any_address and _is_address(host))


def _is_address(host: str) -> bool:
    """Whether it is an IP address: no name can be made to lead elsewhere then."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _values(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value.strip() for key, value in fields if key.lower() == name]


def _after(fields: Sequence[Field], scheme: bytes) -> list[bytes]:
    """What stands behind a scheme in Authorization."""
    values = _values(fields, b"authorization")
    return [value[len(scheme) :].strip() for value in values if value[: len(scheme)].lower() == scheme]
