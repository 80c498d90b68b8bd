"""A tunnel that outlives its supervisor (`--keep`): what is kept of it, and when that is of use to the next one. Pure.

The state folder holds it (`state_folder.py`), `keeper.py` decides when.
"""

import uuid
from typing import Final

import msgspec

from actors.bus.messages import DECODE_ERRORS, Credentials
from actors.supervisor.provisioning import MAX_SECRET_BYTES, public_url

CLIENT_ID_BYTES: Final = 16
"""A UUID, as the protocol wants it."""

UNITS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
"""Seconds and their names, for people."""


class NotOfUse(ValueError):
    """What was kept helps no more; the text says why, and holds nothing of it."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A tunnel as it is kept. The secret shows in no repr."""

    url: str
    tunnel_id: str
    account_tag: str
    secret: bytes
    service_url: str
    """The API that gave it: another one's edge would not know it."""
    client_id: bytes
    """Of the connector that had it. Its connections may still be known to the edge, and only the same connector can
    take their places: another one would get a share of the requests, and the dead ones would get the rest."""
    assigned_at: float
    """Unix seconds."""

    def __repr__(self) -> str:
        return f"Kept(tunnel_id={self.tunnel_id!r}, url={self.url!r}, secret=…)"

    @classmethod
    def of(cls, credentials: Credentials, *, service_url: str, client_id: bytes, assigned_at: float) -> "Kept":
        """A tunnel that was just assigned."""
        return cls(
            url=credentials.url,
            tunnel_id=credentials.tunnel_id,
            account_tag=credentials.account_tag,
            secret=credentials.secret,
            service_url=service_url,
            client_id=client_id,
            assigned_at=assigned_at,
        )

    @property
    def credentials(self) -> Credentials:
        """What its workers need."""
        return Credentials(self.tunnel_id, self.url, self.account_tag, self.secret)


def write(kept: Kept) -> bytes:
    """The content of its file."""
    return msgspec.json.format(msgspec.json.encode(kept)) + b"\n"


def read(content: bytes, *, service_url: str, unused: float, keep_for: float) -> Kept:
    """Read such a file, of a tunnel that has served nobody for `unused` seconds.

    Raises:
        NotOfUse: it is broken, of another API than `service_url`, or `unused` is more than `keep_for` seconds.
    """
    try:
        kept = msgspec.json.decode(content, type=Kept)
        well_formed = (
            str(uuid.UUID(kept.tunnel_id)) == kept.tunnel_id
            and public_url(kept.url) == kept.url
            and bool(kept.account_tag)
            and kept.account_tag.isascii()
            and 0 < len(kept.secret) <= MAX_SECRET_BYTES
            and len(kept.client_id) == CLIENT_ID_BYTES
        )
    except (*DECODE_ERRORS, ValueError):  # their texts may quote the file
        well_formed = False
    if not well_formed:
        raise NotOfUse("its file is broken")
    if kept.service_url != service_url:
        raise NotOfUse(f"it is of {kept.service_url}, and this start is to ask {service_url}")
    if unused > keep_for:
        raise NotOfUse(f"it was last used {in_words(unused)} ago, and is kept for {in_words(keep_for)} (--keep-for)")
    return kept


def in_words(seconds: float) -> str:
    """A time for people, in its largest unit."""
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s"
