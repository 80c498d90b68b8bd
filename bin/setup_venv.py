"""Make `.venv` from a lock file. Called by bin/setup-venv; needs nothing but the standard library.

Two at once do not collide: the second waits for the first and then finds the work done. One that was interrupted leaves
an environment without a stamp, which the next one makes anew.
"""

import contextlib
import fcntl
import filecmp
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

STAMPS = ("requirements.lock", "requirements-test.lock")

WHERE_PACKAGES_GO = "import os, sys, sysconfig; sys.stdout.buffer.write(os.fsencode(sysconfig.get_path('purelib')))"


def main(root: Path, lock_name: str) -> None:
    environment = root / ".venv"
    lock = root / lock_name
    stamp = environment / lock_name
    with (root / ".venv.lock").open("w") as guard:
        with contextlib.suppress(OSError):  # a file system without locks: nobody is waited for then
            fcntl.flock(guard, fcntl.LOCK_EX)
        works = _works(environment)
        if works and stamp.exists() and filecmp.cmp(lock, stamp, shallow=False):
            return
        print(f"tunnel-supervisor: setting up {environment} from {lock_name} (once) …", flush=True)
        if not works or not any((environment / name).exists() for name in STAMPS):
            _create(environment)
        stamp.unlink(missing_ok=True)
        pip = [environment / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)
        _write_path_file(root, environment)
        # Our own modules too are read as bytecode then, also where Python is told to write none as it goes.
        subprocess.run([environment / "bin" / "python", "-I", "-m", "compileall", "-q", root / "actors"], check=True)
        shutil.copyfile(lock, stamp)


def _create(environment: Path) -> None:
    if missing := [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]:
        version = "{}.{}".format(*sys.version_info)
        sys.exit(
            f"tunnel-supervisor: {sys.executable} cannot make a virtual environment: it has no module {missing[0]}. "
            f"On Debian and Ubuntu that is a package of its own: apt install python{version}-venv. Or name another "
            "Python: PYTHON=/path/to/python3"
        )
    import venv

    venv.create(environment, with_pip=True, symlinks=True, clear=True)


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


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"tunnel-supervisor: could not set up .venv: the step above failed with status {error.returncode}. "
            "Is a package index reachable, and is python3-venv installed? Then try again."
        )
    except OSError as error:
        sys.exit(f"tunnel-supervisor: could not set up .venv in {sys.argv[1]}: {error}")
