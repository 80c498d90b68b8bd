"""What was asked for of the inspector: who may see how much of requests, and where."""

import argparse
import dataclasses
import os
import stat
from pathlib import Path
from typing import Final

from actors.bus.addresses import HostPort, is_loopback
from actors.errors import UsageError
from actors.supervisor.settings import Inspecting
from actors.supervisor.sources import in_words

MAX_PASSWORD_BYTES: Final = 1024

MIN_PASSWORD_BYTES: Final = 8

_MORE: Final = ("inspect_body", "inspect_mask", "inspect_password_file")
"""Flags that say more of `--inspect`."""


def of(given: argparse.Namespace) -> Inspecting | None:
    """What the flags ask for; None: no inspector.

    Raises:
        UsageError: they make no sense together, or the password cannot be read.
    """
    if not given.inspect:
        for name in _MORE:
            if getattr(given, name) is not None:
                raise UsageError(f"{in_words(name)} needs --inspect")
        return None
    where = given.inspect if isinstance(given.inspect, HostPort) else None
    password = _password(given.inspect_password_file) if given.inspect_password_file is not None else ""
    if where is not None and not password and not is_loopback(where.host):
        raise UsageError(
            f"--inspect {where}: whoever reaches this address would see all requests; give --inspect-password-file "
            "FILE, or an address of this machine alone, as 127.0.0.1"
        )
    asked = Inspecting(mask=tuple(given.inspect_mask or ()), password=password)
    if where is not None:
        asked = dataclasses.replace(asked, http=where, may_move=False)
    if given.inspect_body is not None:
        asked = dataclasses.replace(asked, body_limit=given.inspect_body)
    return asked


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
