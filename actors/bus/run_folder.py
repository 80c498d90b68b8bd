"""The run folder: a private place for one instance's sockets.

It is not in the state folder, which can lie too deep for a socket's path; and it is never shared, because a second bind
on a live ipc path succeeds in silence and steals its traffic. A lock in it says that its owner lives: what a killed
instance left behind is removed by the next one. Where locks do not work, it stays.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from actors.errors import LocalSetupError
from actors.processes.text import is_text

_PREFIX: Final = "tunnel-supervisor-"
_LOCK_NAME: Final = "lock"

_PROBE_NAME: Final = "a-trial"
"""No shorter than the longest name of a socket there."""

_WITHOUT_A_TEMPORARY_FOLDER: Final = ("/tmp", "/dev/shm")
"""Where sockets can live if the folder that was named, or the usual one, takes none. The second is memory, and can be
written in most containers whose root cannot."""

_ABANDONED_AFTER: Final = 3600.0
"""Seconds after which a folder without a lock is one whose owner died while it made it."""


def places() -> Iterator[Path]:
    """Where the run folders of this user may be, best first."""
    seen: set[Path] = set()
    for parent in _wanted():
        if parent not in seen and is_text(str(parent)):  # as endpoints are, which travel in messages
            yield parent
        seen.add(parent)


def others() -> list[Path]:
    """The run folders that are there, of this user's instances."""
    return [folder for place in places() for folder in place.glob(f"{_PREFIX}*") if _is_private(folder)]


@contextlib.contextmanager
def private() -> Iterator[Path]:
    """A fresh folder (mode 0700) for the length of the block, in the first place that takes one.

    Raises:
        LocalSetupError: none does.
    """
    refused = []
    for parent in places():
        _remove_stale(parent)
        try:
            folder, lock = _make(parent)
        except OSError as error:
            refused.append(f"{parent}: {error.strerror or error}")
        else:
            break
    else:
        raise LocalSetupError(
            f"cannot make a folder for sockets ({'; '.join(refused)}). Set TMPDIR to a folder with a short name, on a "
            "file system that has space, can be written and takes sockets (for a container: --tmpfs /tmp)."
        )
    try:
        yield folder
    finally:
        remove(folder)
        os.close(lock)


def _wanted() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and _is_private(Path(runtime)):
        yield Path(runtime)
    with contextlib.suppress(OSError):  # there is none that can be written
        yield Path(tempfile.gettempdir())
    yield from map(Path, _WITHOUT_A_TEMPORARY_FOLDER)


def _make(parent: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        _try_a_socket(folder)
        return folder, _lock(folder, os.O_CREAT)
    except BlockingIOError:  # another instance takes it for a stale one at this very moment
        return _make(parent)
    except OSError:
        remove(folder)
        raise


def _try_a_socket(folder: Path) -> None:
    """See whether sockets can be there: not on exFAT or CIFS, nor at the end of a long path.

    Raises:
        OSError: they cannot.
    """
    path = folder / _PROBE_NAME
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(path))
    with contextlib.suppress(OSError):  # it goes with the folder
        path.unlink()


def remove(folder: Path) -> None:
    """Remove a run folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, flags: int = 0) -> int:
    """Take the folder's lock; return its descriptor.

    Raises:
        OSError: somebody holds it, there is none, or (of a folder that was there before) locks do not work.
    """
    descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK and flags & os.O_CREAT:
            return descriptor  # it is fresh and ours alone; nobody can tell later whether its owner lives
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
