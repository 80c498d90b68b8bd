"""A tunnel of one's own: its token, or its credentials file, read and checked. Pure.

Both are the whole of what proves a tunnel to be ours. So no error shows what was read, nor any part of it. The Go
client checks nothing, and learns from the edge's refusals; here what cannot be a token is refused before anything is
dialled.
"""

import base64
import binascii
import json
import re
import uuid
from typing import Any, Final, NamedTuple

from actors.bus.messages import Credentials
from actors.errors import UsageError

SECRET_BYTES: Final = 32
"""What every tunnel's secret has."""

MAX_BYTES: Final = 64 * 1024
"""Of a token or a credentials file: a real one has two hundred."""

_ACCOUNT_TAG = re.compile(r"[0-9a-fA-F]{32}")
_HYPHENED = "[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_TUNNEL_ID = re.compile(rf"(?:urn:uuid:)?{_HYPHENED}|\{{{_HYPHENED}\}}|[0-9a-f]{{32}}", re.IGNORECASE)
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.IGNORECASE)

_TOKEN_LIKE = re.compile(r"\s*ey[A-Za-z0-9+/=_-]{30}")
"""How the base64 of a JSON object begins."""

_WHERE_FROM: Final = "Cloudflare's dashboard shows it, and `cloudflared tunnel token NAME` prints it"


class OwnTunnel(NamedTuple):
    """A tunnel of one's own: what proves it, and the region of the edge that it is bound to (empty: the usual one)."""

    credentials: Credentials
    region: str = ""


def read_token(text: str, what: str, *, named: str = "") -> OwnTunnel:
    """Read a token.

    `what`: how errors call it, as "the token in FILE". `named`: the tunnel as argument or configuration name it, by id
    or by a name, which says nothing here; empty: neither does.

    Raises:
        UsageError: it is none, or another tunnel's; with what is wrong with it, and nothing of itself.
    """
    packed = _unbroken(text).strip()
    if not packed:
        raise UsageError(f"{what} is empty; {_WHERE_FROM}")
    if packed.startswith("{"):
        raise UsageError(f"{what} is JSON, as credentials files are: give such a file with --credentials-file")
    if " " in packed or "\t" in packed:
        raise UsageError(f"{what} has blanks inside: give the token alone, not the command that it was copied with")
    try:
        content = base64.b64decode(packed, validate=True)
    except (ValueError, binascii.Error):
        raise UsageError(
            f"{what} is no token: it is not base64 with its padding. Was it cut off? {_WHERE_FROM}."
        ) from None
    fields = _fields(content)
    if fields is None:
        raise UsageError(f"{what} is no token: what it holds is no JSON object. Was it cut off? {_WHERE_FROM}.")
    found = _tunnel(
        what,
        account=_text(fields, "a", what, "the account tag (a)"),
        secret=_text(fields, "s", what, "the secret (s)"),
        tunnel=_text(fields, "t", what, "the tunnel id (t)"),
        region=_text(fields, "e", what, "the endpoint (e)"),
    )
    return _of(found, named, what)


def read_credentials(content: bytes, what: str, *, named: str = "") -> OwnTunnel:
    """Read a credentials file, as `read_token` reads a token. Old ones do not say of which tunnel they are.

    Raises:
        UsageError: it is none, or another tunnel's, or nothing says which one's.
    """
    fields = _fields(content)
    if fields is None:
        raise UsageError(
            f"{what} is no credentials file: it is no JSON object, as `cloudflared tunnel create` writes it"
        )
    told = _text(fields, "TunnelID", what, "TunnelID")
    if not told and tunnel_id(named) is None:
        raise UsageError(
            f"{what} has no TunnelID, as old ones: name the tunnel by its id, as in `tunnel-supervisor run ID`, or by "
            "`tunnel:` in the file of --config"
        )
    found = _tunnel(
        what,
        account=_text(fields, "AccountTag", what, "AccountTag"),
        secret=_text(fields, "TunnelSecret", what, "TunnelSecret"),
        tunnel=told or named,
        region=_text(fields, "Endpoint", what, "Endpoint"),
    )
    return _of(found, named, what)


def _of(found: OwnTunnel, named: str, what: str) -> OwnTunnel:
    wanted, present = tunnel_id(named), found.credentials.tunnel_id
    if wanted not in (None, present):
        raise UsageError(f"{what} is of tunnel {present}, and {wanted} was named; each tunnel has its own")
    return found


def tunnel_id(text: str) -> str | None:
    """A tunnel's id as we write it, from any of its four forms; None: it is no id."""
    return str(uuid.UUID(text)) if _TUNNEL_ID.fullmatch(text) else None


def looks_like_token(text: str) -> bool:
    """Whether a word that stands somewhere else is a token by mistake: then no error may show it."""
    return _TOKEN_LIKE.match(text) is not None


def _unbroken(text: str) -> str:
    """Without line breaks, which Go's base64 passes over."""
    return text.replace("\r", "").replace("\n", "")


def _fields(content: bytes) -> dict[str, Any] | None:
    """The fields of a JSON object as Go reads them: keys in any case, the last of a repeated one; None: it is none."""
    try:
        value = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=lambda pairs: {key.casefold(): part for key, part in pairs}
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(fields: dict[str, Any], name: str, what: str, called: str) -> str:
    value = fields.get(name.casefold())
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{what}: {called} is no text")
    return value or ""


def _tunnel(what: str, *, account: str, secret: str, tunnel: str, region: str) -> OwnTunnel:
    again = f"Copy it again: {_WHERE_FROM}."
    if not _ACCOUNT_TAG.fullmatch(account):
        raise UsageError(f"{what}: its account tag is {'missing' if not account else 'not 32 hex digits'}. {again}")
    identifier = tunnel_id(tunnel)
    if identifier is None:
        raise UsageError(f"{what}: its tunnel id is {'missing' if not tunnel else 'no UUID'}. {again}")
    try:
        key = base64.b64decode(_unbroken(secret), validate=True)
    except (ValueError, binascii.Error):
        raise UsageError(f"{what}: its secret is not base64 with its padding. {again}") from None
    if len(key) != SECRET_BYTES:
        raise UsageError(f"{what}: its secret has {len(key)} bytes, and a tunnel's has {SECRET_BYTES}. {again}")
    if region and not _REGION.fullmatch(region):
        raise UsageError(f"{what}: its endpoint is no region, which are named as in us or fed. {again}")
    return OwnTunnel(Credentials(tunnel_id=identifier, url="", account_tag=account, secret=key), region.lower())
