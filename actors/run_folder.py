"""The run folder: a private place for one instance's sockets.

It is not in the state folder, which can lie too deep for a socket's path; and it is never shared, because a second bind
on a live ipc path succeeds in silence and steals its traffic. A lock in it says that its owner lives: what a killed
instance left behind is removed by the next one.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from actors.bus import MAX_IPC_PATH
from actors.errors import LocalSetupError

_PREFIX: Final = "tunnel-supervisor-"
_LOCK_NAME: Final = "lock"

_ABANDONED_AFTER: Final = 3600.0
"""Seconds after which a folder without a lock is one whose owner died while it made it."""


def place() -> Path:
    """Where the run folders of this user are."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime if runtime and _is_private(Path(runtime)) else tempfile.gettempdir())


def others() -> list[Path]:
    """The run folders that are there, of this user's instances."""
    return [folder for folder in place().glob(f"{_PREFIX}*") if _is_private(folder)]


@contextlib.contextmanager
def private() -> Iterator[Path]:
    """A fresh folder (mode 0700) for the length of the block.

    Raises:
        LocalSetupError: none can be made.
    """
    parent = place()
    _remove_stale(parent)
    try:
        folder, lock = _make(parent)
    except OSError as error:
        raise LocalSetupError(
            f"cannot make a folder for sockets in {parent}: {error.strerror}. "
            "Free some space there, or set TMPDIR to a folder that can be written."
        ) from error
    try:
        if len(os.fsencode(folder / "metrics")) > MAX_IPC_PATH:
            raise LocalSetupError(f"the path {folder} is too long for a socket: set TMPDIR to a shorter one, as /tmp")
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        return folder, _lock(folder, os.O_CREAT)
    except BlockingIOError:  # another instance takes it for a stale one at this very moment
        return _make(parent)
    except OSError:
        remove(folder)
        raise


def remove(folder: Path) -> None:
    """Remove a run folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, flags: int = 0) -> int:
    """Take the folder's lock; return its descriptor.

    Raises:
        OSError: somebody holds it, or there is none.
    """
    descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_stale(parent: Path) -> None:
    """Remove the folders of this user's instances that live no more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if not _is_private(folder):
                continue
            try:
                lock = _lock(folder)  # fails while its owner lives
            except FileNotFoundError:
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER:
                    remove(folder)
                continue
            remove(folder)
            os.close(lock)


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and os.access(folder, os.W_OK)
