"""Whom the worker trusts to be the edge: the system's roots and the three that Cloudflare publishes for it."""

import datetime
import ssl
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import certifi

EDGE_SERVER_NAME: Final = "quic.cftunnel.com"
"""The name in the edge's certificate. A wrong one is met with silence, not with an alert."""

H2_SERVER_NAME: Final = "h2.cftunnel.com"
"""The same over TCP."""

ALPN: Final = "argotunnel"


FIRST_ROOT_EXPIRES: Final = datetime.date(2029, 8, 15)
"""When the first of the shipped roots ends. A release with newer ones is needed before."""

_WARN_BEFORE: Final = datetime.timedelta(days=30)


def expiry_warning(today: datetime.date) -> str | None:
    """What to say about the shipped roots a month before the first of them ends."""
    if today < FIRST_ROOT_EXPIRES - _WARN_BEFORE:
        return None
    return f"a shipped trust root of Cloudflare's edge expires on {FIRST_ROOT_EXPIRES}: update tunnel-supervisor"


@cache
def edge_roots() -> bytes:
    """The shipped roots, in PEM (actors/data/edge-roots.pem; a test pins their fingerprints)."""
    return resources.files("actors").joinpath("data/edge-roots.pem").read_bytes()


def in_one_file(folder: Path) -> Path:
    """Write the system's roots and the shipped ones into one file, for an engine that takes no more than one.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / "edge-trust.pem"
    path.write_bytes(Path(system_roots()).read_bytes() + b"\n" + edge_roots())
    return path


def system_roots() -> str:
    """The path of the system's roots; certifi's where the system has none."""
    path = ssl.get_default_verify_paths().cafile
    return path if path is not None and Path(path).is_file() else certifi.where()
