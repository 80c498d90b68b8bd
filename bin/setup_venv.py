"""Make `.venv` from the lock files. Called by bin/setup-venv; needs nothing but the standard library.

A new environment is made by the newest Python for which there are wheels of everything, the fast engine too; without
that one, by the newest with wheels of everything else. An environment that works is kept, and brought up to date by its
own Python: nobody's packages vanish because another Python was installed. The second lock holds what has no wheels
everywhere: what the fast engine takes, and RE2 for the paths of rules, which an older Python gets as well.

Two at once do not collide: the second waits for the first and then finds the work done. One that was interrupted leaves
an environment without a stamp, which the next one makes anew.
"""

import contextlib
import fcntl
import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

RUN, FAST, TEST = "requirements.lock", "requirements-fast.lock", "requirements-test.lock"

OLDEST, OLDEST_FAST = (3, 11), (3, 12)
"""What the project runs on; and what the fast engine has wheels for."""

WHERE_PACKAGES_GO = "import os, sys, sysconfig; sys.stdout.buffer.write(os.fsencode(sysconfig.get_path('purelib')))"

PROBE = """
import importlib, os, sys, sysconfig
lacks = []
for name in ("venv", "ensurepip", "ssl", "ctypes"):
    try:
        importlib.import_module(name)
    except ImportError:
        lacks.append("module " + name)
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    lacks.append("packages that are made for it")
path = getattr(sys, "_base_executable", None) or sys.executable
print(*sys.version_info[:3], sys.version_info.releaselevel == "final", flush=True)
sys.stdout.buffer.write(os.fsencode("\\n".join([path, *lacks])))
"""
"""What a Python says of itself: its version and whether that is a release, where it is (one of a virtual environment
names the one below it), and what it lacks: Debian packs ensurepip apart, and pyenv builds without ssl and ctypes where
the headers are missing."""

PROBE_TIMEOUT = 20
"""Seconds: a Python that has not started by then is on a disk that does not answer."""

NO_WHEEL = "No matching distribution found"
UNREACHABLE = "Retrying ("
"""How pip says that an index has nothing for this Python and machine; and that it did not reach it."""


class Python(NamedTuple):
    """An interpreter of this machine; of two, the greater one is preferred."""

    is_release: bool
    version: tuple[int, ...]
    path: str
    lacks: tuple[str, ...] = ()


class NoWheel(Exception):
    """Something that is locked has no wheel for this Python and machine."""


class Failed(Exception):
    """The environment could not be made: the text says why, and what to do."""


def main(root: Path, locks: list[str], candidates: list[str]) -> None:
    environment = root / ".venv"
    with (root / ".venv.lock").open("w") as guard:
        with contextlib.suppress(OSError):  # a file system without locks: nobody is waited for then
            fcntl.flock(guard, fcntl.LOCK_EX)
        works = _works(environment)
        if works and all(_is_current(root, lock) for lock in locks):
            return
        _say(f"setting up {environment} from {' and '.join(locks)} (once) …")
        if works and (environment / RUN).exists():
            _refresh(root, candidates)
        else:
            _make(root, candidates)
        for lock in locks:
            if lock not in (RUN, FAST) and not _is_current(root, lock):
                _install(root, lock)


# --- which Python ---


def find_pythons(candidates: Iterable[str]) -> list[Python]:
    """Those of `candidates` that run and are new enough, the best first, each once."""
    found: dict[str, Python] = {}
    for candidate in candidates:
        if (python := _ask(candidate)) and python.version >= OLDEST:
            found.setdefault(os.path.realpath(python.path), python)
    return sorted(found.values(), key=lambda python: python[:2], reverse=True)


def _ask(candidate: str) -> Python | None:
    try:
        asked = subprocess.run([candidate, "-I", "-c", PROBE], check=True, capture_output=True, timeout=PROBE_TIMEOUT)
        told, path, *lacks = os.fsdecode(asked.stdout).splitlines()
        major, minor, micro, is_release = told.split()
        version = int(major), int(minor), int(micro)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None  # a shim of pyenv for a version that is not chosen, a link to nothing, a broken build
    return Python(is_release == "True", version, path, tuple(lacks))


# --- a new environment ---


def _make(root: Path, candidates: list[str]) -> None:
    pythons = find_pythons(candidates)
    able = [python for python in pythons if not python.lacks]
    if not able:
        raise Failed(_what_they_lack(pythons))
    for python in able:
        if python.version >= OLDEST_FAST and _try(root, python, FAST, RUN):
            return
    for python in able:
        if _try(root, python, RUN):
            if python.version < OLDEST_FAST:
                _add_fast(root, is_fast=False)
                return
            _without_fast("there is no wheel of it for this machine")
            _stamp(root, FAST)
            return
    # Something is built from source then: on a machine that nobody makes wheels for, it may be able to.
    _create(root, able[0])
    _install(root, RUN)
    _stamp(root, FAST)


def _try(root: Path, python: Python, *locks: str) -> bool:
    """Make it by that Python, of wheels alone; whether there were some of everything in `locks`."""
    try:
        _create(root, python)
    except Failed:
        return False  # an ensurepip that does not work
    try:
        for lock in locks:
            _install(root, lock, wheels_only=True)
    except NoWheel:
        return False
    return True


def _create(root: Path, python: Python) -> None:
    _run(python.path, "-I", "-m", "venv", "--clear", "--symlinks", root / ".venv")


def _what_they_lack(pythons: list[Python]) -> str:
    if not pythons:
        return "no Python 3.11 or newer found. Install one, or name it: PYTHON=/path/to/python3.11"
    newest = pythons[0]
    text = f"{newest.path} cannot make a virtual environment: it has no {newest.lacks[0]}."
    if newest.lacks[0] in ("module venv", "module ensurepip"):
        version = "{}.{}".format(*newest.version)
        text += f" On Debian and Ubuntu that is a package of its own: apt install python{version}-venv."
    return f"{text} Or name another Python: PYTHON=/path/to/python3"


# --- an environment that is there ---


def _refresh(root: Path, candidates: list[str]) -> None:
    python = _ask(str(root / ".venv" / "bin" / "python"))
    if not _is_current(root, RUN):
        _install(root, RUN)
    is_fast = python is not None and python.version >= OLDEST_FAST
    if not _is_current(root, FAST):
        _add_fast(root, is_fast=is_fast)
    if is_fast:
        return
    newer = [other for other in find_pythons(candidates) if other.version >= OLDEST_FAST and not other.lacks]
    if newer:
        _say(
            f"{root / '.venv'} is kept. The fast engine needs Python 3.12 or newer, and {newer[0].path} is one: to "
            "have it made anew by that, remove it."
        )


def _add_fast(root: Path, *, is_fast: bool) -> None:
    """Add what the fast engine takes, and patterns of rules. An older Python (not `is_fast`) has the latter alone."""
    try:
        _install(root, FAST, wheels_only=True)
    except NoWheel:
        if is_fast:
            _without_fast("there is no wheel of it for this machine")
        _stamp(root, FAST)
    except Failed as failure:
        if UNREACHABLE not in str(failure):
            raise
        if is_fast:
            _without_fast("no package index was reached; the next start tries again")


def _without_fast(why: str) -> None:
    _say(f"going on without the fast engine: {why}. The other one, aioquic, works everywhere.")


# --- steps ---


def _install(root: Path, lock: str, *, wheels_only: bool = False) -> None:
    """Install what is in `lock`.

    Raises:
        NoWheel: something in it has no wheel for this Python and machine (`wheels_only`).
        Failed: it went wrong otherwise.
    """
    environment = root / ".venv"
    if (environment / lock).exists():
        (environment / lock).write_bytes(b"")  # there was one, and it is current no more
    pip = [environment / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    only = ["--only-binary", ":all:"] if wheels_only else []
    # Of what tests need most is never imported, and bytecode of all of it takes as long as the rest.
    lazy = ["--no-compile"] if lock == TEST else []
    try:
        _run(*pip, *only, *lazy, "--no-deps", "--require-hashes", "-r", root / lock)
    except Failed as failure:
        if wheels_only and NO_WHEEL in str(failure) and UNREACHABLE not in str(failure):
            raise NoWheel from None
        raise
    if lock == RUN:
        _write_path_file(root, environment)
        # Our own modules too are read as bytecode then, also where Python is told to write none as it goes.
        _run(environment / "bin" / "python", "-I", "-m", "compileall", "-q", root / "actors")
    _stamp(root, lock)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise Failed(
            f"{done.stdout}{done.stderr}\ncould not set up .venv: `{command[0]}` failed with status {done.returncode}, "
            "as said above. Is a package index reachable? Then try again."
        )


def _stamp(root: Path, lock: str) -> None:
    """Nothing is left to be done for `lock`."""
    shutil.copyfile(root / lock, root / ".venv" / lock)


def _is_current(root: Path, lock: str) -> bool:
    stamp = root / ".venv" / lock
    return stamp.exists() and filecmp.cmp(root / lock, stamp, shallow=False)


def _write_path_file(root: Path, environment: Path) -> None:
    """`import actors`, and its other names, from anywhere: by relative paths, so that the folder may be moved.

    It is the new environment's interpreter that is asked where packages go: the one that runs this may lay out its own
    in another way (Debian's: local/lib/python3.11/dist-packages).
    """
    asked = [environment / "bin" / "python", "-I", "-c", WHERE_PACKAGES_GO]
    packages = Path(os.fsdecode(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout))
    up = os.path.relpath(root, packages)
    (packages / "tunnel_supervisor.pth").write_text(f"{up}\n{up}/actors/compat\n", encoding="utf-8")


def _works(environment: Path) -> bool:
    """Whether its interpreter is still there: an upgrade of Python can leave a link to nothing."""
    try:
        return subprocess.run([environment / "bin" / "python", "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def _say(text: str) -> None:
    print(f"tunnel-supervisor: {text}", flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Failed as error:
        *output, last = str(error).strip().splitlines()
        sys.exit("\n".join([*output, f"tunnel-supervisor: {last}"]))
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"tunnel-supervisor: could not set up .venv in {sys.argv[1]}: {error}")
