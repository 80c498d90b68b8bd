"""The URL file: one line with the public URL, for any program that wants to know it.

At `$NEXO_HOME/state/tunnel.url`, else `~/.nexo/state/tunnel.url`. A reader sees the old URL, the new one or no file,
never half of one: it is written beside itself and renamed.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from actors.errors import LocalSetupError
from actors.processes.environment import variable

URL_FILE_NAME: Final = "tunnel.url"
URL_FILE_MODE: Final = 0o644
"""A public address is no secret. (Its folder is made for the user alone; one that exists already stays as it is.)"""


def default_state_folder() -> Path:
    """`$NEXO_HOME/state`, else `~/.nexo/state`.

    Raises:
        LocalSetupError: there is neither.
    """
    home = variable(os.environ, "NEXO_HOME")
    try:
        return (Path(home) if home else Path.home() / ".nexo") / "state"
    except RuntimeError as error:
        raise LocalSetupError(
            "this user has no home folder: set NEXO_HOME, or name a folder with --state-dir"
        ) from error


def url_file_path(state_folder: Path | None = None) -> Path:
    """Where the URL file is."""
    return (state_folder or default_state_folder()) / URL_FILE_NAME


def write_url_file(url: str, path: Path | None = None) -> Path:
    """Write `url` atomically and return the file's path; its folder is made if need be.

    Raises:
        OSError: it cannot be written.
    """
    target = path or url_file_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, f"{url}\n".encode(), mode=URL_FILE_MODE)
    return target


def read_url_file(path: Path | None = None) -> str | None:
    """Return the URL in the file, or None when there is none.

    Raises:
        OSError: there is one that cannot be read.
    """
    try:
        return (path or url_file_path()).read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def clear_url_file(url: str, path: Path | None = None) -> bool:
    """Remove the file if it still holds `url`; return whether it did.

    Raises:
        OSError: it cannot be read or removed.
    """
    target = path or url_file_path()
    if read_url_file(target) != url:
        return False
    target.unlink(missing_ok=True)
    return True


def write_atomically(target: Path, content: bytes, *, mode: int) -> None:
    """Replace `target` by `content`: a temporary file in the same folder, renamed.

    It is not synced: that can take seconds, and what it says is worth nothing once this machine has gone down. `mode`
    is what it has where the file system keeps modes (exFAT and CIFS do not).

    Raises:
        OSError: it cannot be written; nothing is left behind then.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), mode)
            file.write(content)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
