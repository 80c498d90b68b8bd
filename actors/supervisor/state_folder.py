"""The state folder: its lock, the URL file, and `tunnel.json`, in which other programs find the running tunnel."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from actors.errors import AlreadyRunning, LocalSetupError
from actors.url_file import URL_FILE_NAME, clear_url_file, write_atomically, write_url_file

STATE_FILE_NAME: Final = "tunnel.json"
STATE_FILE_MODE: Final = 0o600
LOCK_FILE_NAME: Final = "tunnel.lock"
FOLDER_MODE: Final = 0o700


class TunnelState(msgspec.Struct, frozen=True):
    """What `tunnel.json` holds."""

    url: str
    tunnel_id: str
    pid: int
    started_at: float
    """Unix seconds."""
    version: str
    origin: str
    events_endpoint: str
    metrics_endpoint: str
    location: str


class StateFolder:
    """One instance's hold on a state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._written: TunnelState | None = None

    def acquire(self) -> None:
        """Take the lock, which the kernel frees however this process ends.

        Raises:
            AlreadyRunning: another instance has it. LocalSetupError: the folder cannot be used.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            lock = os.open(self.path / LOCK_FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LocalSetupError(
                f"cannot use the state folder {self.path}: {error.strerror}. Choose another with --state-dir."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            raise AlreadyRunning(
                f"another tunnel-supervisor (process {holder or 'unknown'}) holds {self.path}. "
                "Stop it, or give this one a folder of its own with --state-dir."
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; the lock is what counts
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        self._remove_stale()

    def _remove_stale(self) -> None:
        """What an instance that was killed left behind: it says that a tunnel is there, and none is."""
        for name in (URL_FILE_NAME, STATE_FILE_NAME):
            with contextlib.suppress(OSError):
                (self.path / name).unlink(missing_ok=True)

    def write(self, state: TunnelState) -> None:
        """Write both files.

        Raises:
            OSError: one of them cannot be written.
        """
        self._written = state
        content = msgspec.json.format(msgspec.json.encode(state)) + b"\n"
        write_atomically(self.path / STATE_FILE_NAME, content, mode=STATE_FILE_MODE)
        write_url_file(state.url, self.path / URL_FILE_NAME)

    def clear(self) -> None:
        """Remove both files, if they are still ours.

        Raises:
            OSError: one of them cannot be removed.
        """
        if self._written is None:
            return
        clear_url_file(self._written.url, self.path / URL_FILE_NAME)
        path = self.path / STATE_FILE_NAME
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            if msgspec.json.decode(path.read_bytes(), type=TunnelState) == self._written:
                path.unlink()
        self._written = None

    def release(self) -> None:
        """Let the lock go."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
