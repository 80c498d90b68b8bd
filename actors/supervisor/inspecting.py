"""What was asked for of the inspector: who may see how much of requests, and where."""

import argparse
import ipaddress
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from actors.bus.addresses import HostPort
from actors.errors import UsageError

DEFAULT_BODY: Final = 64 * 1024
"""Bytes of each body: all of a webhook, and the beginning of what nobody reads to its end anyway."""

USUAL: Final = HostPort("127.0.0.1", 4040)
"""Where programs look for a tunnel's agent."""

MAX_PASSWORD_BYTES: Final = 1024

MIN_PASSWORD_BYTES: Final = 8

_MORE: Final = ("inspect_body", "inspect_mask", "inspect_password_file")
"""Flags that say more of `--inspect`."""


@dataclass(frozen=True)
class Inspecting:
    """The inspector's settings."""

    http: HostPort = USUAL
    may_move: bool = True
    """Whether the next free port will do."""
    body_limit: int = DEFAULT_BODY
    mask: tuple[str, ...] = ()
    """Names of fields beside those that are always masked."""
    password: str = field(default="", repr=False)
    """Empty: none is asked for."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """One per start."""


def of(given: argparse.Namespace) -> Inspecting | None:
    """What the flags ask for; None: no inspector.

    Raises:
        UsageError: they make no sense together, or the password cannot be read.
    """
    if not given.inspect:
        for name in _MORE:
            if getattr(given, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} needs --inspect")
        return None
    where = given.inspect if isinstance(given.inspect, HostPort) else None
    password = _password(given.inspect_password_file) if given.inspect_password_file is not None else ""
    if where is not None and not password and not _is_loopback(where.host):
        raise UsageError(
            f"--inspect {where}: whoever reaches this address would see all requests; give --inspect-password-file "
            "FILE, or an address of this machine alone, as 127.0.0.1"
        )
    return Inspecting(
        http=where or USUAL,
        may_move=where is None,
        body_limit=DEFAULT_BODY if given.inspect_body is None else given.inspect_body,
        mask=tuple(given.inspect_mask or ()),
        password=password,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _password(path: Path) -> str:
    """The first line of a file that nobody else can read.

    Raises:
        UsageError: it holds no password, or others could have read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_PASSWORD_BYTES + 1)
        password = content.decode().partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise UsageError(f"--inspect-password-file {path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"--inspect-password-file {path}: is no text") from None
    if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UsageError(f"--inspect-password-file {path}: every user of this machine can read it: chmod 600 {path}")
    if not MIN_PASSWORD_BYTES <= len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise UsageError(f"--inspect-password-file {path}: the password, its first line, must have 8 to 1024 bytes")
    return password
