"""The state folder: its lock, the URL file, `tunnel.json`, in which other programs find the running tunnel, and with
`--keep` the tunnel that outlives its supervisor."""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import time
from pathlib import Path
from typing import Final

import msgspec

from actors.errors import AlreadyRunning, LocalSetupError
from actors.supervisor.readiness import called
from actors.url_file import URL_FILE_NAME, clear_url_file, write_atomically, write_url_file

STATE_FILE_NAME: Final = "tunnel.json"
STATE_FILE_MODE: Final = 0o600
LOCK_FILE_NAME: Final = "tunnel.lock"
KEPT_FILE_NAME: Final = "kept.json"
"""The tunnel of `--keep` with its secret. When it was last touched is when it was last known to serve."""
RULES_FILE_NAME: Final = "configuration.json"
"""The rules that the service pushed last, and that were good."""
FOLDER_MODE: Final = 0o700

TOKEN_FILE_NAME: Final = "inspector.token"
"""What the inspector wants of programs that replay, or show what is masked."""

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""What everybody but the owner may do with a file."""

OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

MAX_RULES_BYTES: Final = 8 * 1024 * 1024
"""Of the file of the rules: a configuration of 1 MiB, as JSON within JSON."""

MAX_KEPT_BYTES: Final = 64 * 1024
"""A kept tunnel has 500 bytes, and the longest that there can be a few thousand."""

OURS: Final = (URL_FILE_NAME, STATE_FILE_NAME, KEPT_FILE_NAME, RULES_FILE_NAME, TOKEN_FILE_NAME)
"""Files that are written whole, or not at all."""

MAX_USUAL_FOLDERS: Final = 20
"""Tunnels of one user that find a folder by themselves: more are a script that forgot to stop them."""

LOOKER_PATIENCE: Final = 0.3
"""Seconds after which a lock that is held is an instance's, and not somebody's who looks whether one lives."""

NO_FOLDER: Final = frozenset((errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG))
"""Whoever named the folder made a mistake. Anything else stands in the way of files, and of nothing else: the tunnel
works without them."""


class TunnelState(msgspec.Struct, frozen=True, kw_only=True):
    """What `tunnel.json` holds, from the moment when there is a tunnel until the end."""

    url: str
    """Empty for a tunnel of one's own: see `hostnames`."""
    tunnel_id: str
    pid: int
    started_at: float
    """Unix seconds."""
    version: str
    origin: str
    events_endpoint: str
    metrics_endpoint: str
    state: str
    """As in the event `state`."""
    serves: bool
    connections: int
    slots: int
    location: str = ""
    """The edge's point of presence of the connection that was registered first."""
    protocols: list[str] = []
    """What the connections that are up speak, quic or http2, each once."""
    origin_reachable: bool = True
    rules: int = 1
    """As in the event `state`; so are the next two in the event `configuration_applied`."""
    configuration_version: int = -1
    hostnames: list[str] = []
    local_url: str = ""
    """As in the event `starting`."""
    local_ca: str = ""
    inspector_url: str = ""
    owner: int = 0
    """The process that it ends with (`--owner`); 0: none."""

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.url, self.tunnel_id)


def read_state(folder: Path) -> TunnelState | None:
    """What the running instance says in `folder`; None when none runs.

    A file that a killed instance left behind says nothing: it is the lock that tells.

    Raises:
        OSError: there is something that cannot be read. msgspec.MsgspecError: nor understood.
    """
    try:
        content = (folder / STATE_FILE_NAME).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(content, type=TunnelState) if is_held(folder) else None


def is_held(folder: Path) -> bool:
    """Whether an instance lives in `folder`.

    Raises:
        OSError: its lock cannot be looked at.
    """
    try:
        lock = os.open(folder / LOCK_FILE_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _take(lock: int) -> bool:
    """Take a lock; one that looks at it (`is_held`) has it for a moment.

    Raises:
        OSError: locks do not work there.
    """
    deadline = time.monotonic() + LOOKER_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOKER_PATIENCE / 10)
        else:
            return True


def forget_kept(folder: Path) -> bool:
    """Remove the kept tunnel, and what a killed instance left of one; return whether there was one.

    Raises:
        OSError: it cannot be removed.
    """
    found = False
    for path in (folder / KEPT_FILE_NAME, *_half_written(folder, KEPT_FILE_NAME)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            found = True
    return found


def _half_written(folder: Path, name: str) -> list[Path]:
    """What `write_atomically` leaves where it is killed between writing and renaming."""
    return list(folder.glob(f".{name}.*"))


def usual_folders(first: Path) -> list[Path]:
    """Where tunnels that were given no folder keep their files: the usual one, `state`, then `state-2`, `state-3`, …"""
    return [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, MAX_USUAL_FOLDERS + 1))]


class StateFolder:
    """One instance's hold on a state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._not_ours: OSError | None = None
        """Why there is no lock: without one nothing is written, since another instance could be at it."""
        self._written: bytes | None = None
        self._has_token = False
        self._url: str | None = None

    def acquire_usual(self) -> None:
        """Take this folder, the usual one; or where another instance has it, the first free one beside it.

        Raises:
            AlreadyRunning: all are taken. LocalSetupError: one is no folder.
        """
        taken: AlreadyRunning | None = None
        for path in usual_folders(self.path):
            self.path = path
            try:
                return self.acquire()
            except AlreadyRunning as error:
                taken = taken or error
        assert taken is not None
        raise taken

    def acquire(self) -> None:
        """Take the lock, which the kernel frees however this process ends.

        Where no file can be made, there is no lock, and nothing will be written: see `write`.

        Raises:
            AlreadyRunning: another instance has it. LocalSetupError: it is no folder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            lock = os.open(self.path / LOCK_FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if error.errno not in NO_FOLDER:
                self._not_ours = error
                return
            raise LocalSetupError(
                f"cannot use the state folder {self.path}: {error.strerror}. Choose another with --state-dir."
            ) from error
        try:
            taken = _take(lock)
        except OSError as error:  # NFS without its lock service, some FUSE: nobody could tell whether we live
            os.close(lock)
            self._not_ours = OSError(error.errno, f"locks do not work there ({error.strerror})", str(self.path))
            return
        if not taken:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            raise AlreadyRunning(
                f"another tunnel-supervisor (process {holder or 'unknown'}) holds {self.path}. "
                "Stop it, or give this one a folder of its own with --state-dir."
            )
        with contextlib.suppress(OSError):  # the number is for people; the lock is what counts
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        self._remove_stale()

    def _check_ours(self) -> None:
        if self._not_ours is not None:
            raise self._not_ours

    def _remove_stale(self) -> None:
        """What an instance that was killed left behind: it says that a tunnel is there, and none is."""
        whole = [self.path / name for name in (URL_FILE_NAME, STATE_FILE_NAME, TOKEN_FILE_NAME)]
        halves = [_half_written(self.path, name) for name in OURS]
        for path in itertools.chain(whole, *halves):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def write(self, state: TunnelState) -> None:
        """Write `tunnel.json`.

        Raises:
            OSError: it cannot be written.
        """
        self._check_ours()
        content = msgspec.json.format(msgspec.json.encode(state)) + b"\n"
        write_atomically(self.path / STATE_FILE_NAME, content, mode=STATE_FILE_MODE)
        self._written = content

    def write_token(self, token: str) -> None:
        """Write the file of the inspector's token.

        Raises:
            OSError: it cannot be written.
        """
        self._write_own(TOKEN_FILE_NAME, f"{token}\n".encode())
        self._has_token = True

    def write_url(self, url: str) -> None:
        """Write the URL file, unless that was done.

        Raises:
            OSError: it cannot be written.
        """
        if self._url == url:
            return
        self._check_ours()
        write_url_file(url, self.path / URL_FILE_NAME)
        self._url = url

    def clear_url(self) -> None:
        """Remove the URL file, if it is still ours.

        Raises:
            OSError: it cannot be removed.
        """
        if self._url is not None:
            clear_url_file(self._url, self.path / URL_FILE_NAME)
            self._url = None

    def clear(self) -> None:
        """Remove `tunnel.json`, if it is still ours, and the inspector's token.

        Raises:
            OSError: it cannot be removed.
        """
        path = self.path / STATE_FILE_NAME
        with contextlib.suppress(FileNotFoundError):
            if self._written is not None and path.read_bytes() == self._written:
                path.unlink()
        self._written = None
        if self._has_token:
            self._has_token = False
            (self.path / TOKEN_FILE_NAME).unlink(missing_ok=True)

    # --- the tunnel that outlives its supervisor ---

    def check_private(self) -> None:
        """See that nobody else can look into the folder, or put anything there: a secret is going to be in it.

        Raises:
            LocalSetupError: somebody can. OSError: there is no folder to be had, or no lock.
        """
        self._check_ours()
        found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise LocalSetupError(
                f"--keep: the state folder {self.path} belongs to user {found.st_uid}, not to this one "
                f"({os.geteuid()}), and the tunnel's secret would be in it: name a folder of your own with --state-dir."
            )
        if found.st_mode & OTHERS:
            raise LocalSetupError(
                f"--keep: the state folder {self.path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}), and "
                f"the tunnel's secret would be in it: chmod 700 {self.path}, or name another with --state-dir."
            )

    def read_kept(self) -> tuple[bytes, float] | None:
        """The file of the kept tunnel, and when it was last touched, in Unix seconds; None: there is none.

        Raises:
            OSError: it cannot be read, or is not one that only we can have written.
        """
        self._check_ours()
        return self._read_own(KEPT_FILE_NAME, MAX_KEPT_BYTES, unwanted=OTHERS)

    def write_kept(self, content: bytes) -> None:
        """Keep a tunnel, in the place of one that was kept before.

        Raises:
            OSError: it cannot be written.
        """
        self._write_own(KEPT_FILE_NAME, content)

    def touch_kept(self) -> None:
        """The kept tunnel serves. One that was forgotten meanwhile (`forget_kept`) does not come back.

        Raises:
            OSError: it cannot be said.
        """
        self._check_ours()
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path / KEPT_FILE_NAME, follow_symlinks=False)

    # --- the rules that the service pushed last ---

    def read_rules(self) -> bytes | None:
        """The file of the kept rules; None: there is none.

        Raises:
            OSError: it cannot be read, or others can have written it.
        """
        found = self._read_own(RULES_FILE_NAME, MAX_RULES_BYTES, unwanted=OTHERS_WRITE)
        return found[0] if found is not None else None

    def write_rules(self, content: bytes) -> None:
        """Keep rules, in the place of those that were kept before.

        Raises:
            OSError: they cannot be written.
        """
        self._write_own(RULES_FILE_NAME, content)

    def _read_own(self, name: str, limit: int, *, unwanted: int) -> tuple[bytes, float] | None:
        """A file of ours, and when it was last touched; None: there is none. `unwanted`: the rights that nobody else
        may have."""
        path = self.path / name
        try:  # nobody waits for the writer of a pipe
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise OSError(error.errno, "it is a symbolic link", str(path)) from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is no file", str(path))
            if found.st_uid != os.geteuid():
                raise OSError(errno.EPERM, f"it belongs to user {found.st_uid}", str(path))
            if found.st_mode & unwanted:
                may = "read" if unwanted & stat.S_IROTH else "write"
                mode = f"{stat.S_IMODE(found.st_mode):04o}"
                raise OSError(errno.EPERM, f"others may {may} it (mode {mode})", str(path))
            return os.read(descriptor, limit), found.st_mtime
        finally:
            os.close(descriptor)

    def _write_own(self, name: str, content: bytes) -> None:
        self._check_ours()
        write_atomically(self.path / name, content, mode=STATE_FILE_MODE)

    def release(self) -> None:
        """Let the lock go."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
