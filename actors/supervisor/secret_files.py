"""Where secrets stand: a file, stdin, a variable (`env:NAME`), or a credential of systemd (`credential:NAME`).

Never the command line, which every user of a machine can read.
"""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from actors.errors import UsageError
from actors.processes.environment import variable

STDIN: Final = Path("-")

MAX_BYTES: Final = 256 * 1024
"""Of a file with secrets: a thousand lines of htpasswd have a third of it."""

_VARIABLE: Final = "env:"
_CREDENTIAL: Final = "credential:"


def variable_of(place: str) -> str | None:
    """The variable with the secret; None: it stands elsewhere."""
    return place.removeprefix(_VARIABLE) if place.startswith(_VARIABLE) else None


def read(
    place: str, flag: str, what: str, environment: Mapping[str, str], warnings: list[str], limit: int = MAX_BYTES
) -> bytes:
    """What stands there.

    Args:
        place: the name of a file, `-`, `env:NAME` or `credential:NAME`.
        flag: that names it, for what is said.
        what: it is, in the words of its owner: "your tunnel".
        environment: where variables are.
        warnings: is added to if others can read it.
        limit: bytes that there may be.

    Raises:
        UsageError: there is nothing, or it cannot be read.
    """
    if (name := variable_of(place)) is not None:
        if not (text := variable(environment, name)):
            raise UsageError(f"{flag} {place}: there is no such variable, or it is empty")
        return text.encode("utf-8", "surrogateescape")
    if place.startswith(_CREDENTIAL):
        folder = variable(environment, "CREDENTIALS_DIRECTORY")
        if not folder:
            raise UsageError(f"{flag} {place}: systemd gave no credentials; the unit needs LoadCredential=")
        return read_file(Path(folder, Path(place.removeprefix(_CREDENTIAL)).name), flag, what, warnings, limit)
    return read_file(Path(place), flag, what, warnings, limit)


def read_file(path: Path, flag: str, what: str, warnings: list[str], limit: int) -> bytes:
    """The same of a file, or stdin.

    Raises:
        UsageError: it cannot be read, or is too long.
    """
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(limit + 1)
            if stat.S_ISREG(mode) and mode & stat.S_IROTH:
                warnings.append(f"every user of this machine can read {path}, which is {what}: chmod 600 {path}")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{flag} {path}: cannot be read: {cause}") from None
    if len(content) > limit:
        raise UsageError(f"{flag} {path}: has more than {limit} bytes, which no such file has")
    return content
