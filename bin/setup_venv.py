"""Make `.venv` from a lock file. Called by bin/setup-venv; needs nothing but the standard library.

Two at once do not collide: the second waits for the first and then finds the work done. One that was interrupted leaves
an environment without a stamp, which the next one makes anew.
"""

import fcntl
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

STAMPS = ("requirements.lock", "requirements-test.lock")


def main(root: Path, lock_name: str) -> None:
    environment = root / ".venv"
    lock = root / lock_name
    stamp = environment / lock_name
    with (root / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        works = _works(environment)
        if works and stamp.exists() and filecmp.cmp(lock, stamp, shallow=False):
            return
        print(f"tunnel-supervisor: setting up {environment} from {lock_name} (once) …", flush=True)
        if not works or not any((environment / name).exists() for name in STAMPS):
            venv.create(environment, with_pip=True, symlinks=True, clear=True)
        stamp.unlink(missing_ok=True)
        pip = [environment / "bin" / "python", "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)
        _write_path_file(root, environment)
        # Our own modules too are read as bytecode then, also where Python is told to write none as it goes.
        subprocess.run([environment / "bin" / "python", "-I", "-m", "compileall", "-q", root / "actors"], check=True)
        shutil.copyfile(lock, stamp)


def _write_path_file(root: Path, environment: Path) -> None:
    """`import actors`, and its other names, from anywhere: by relative paths, so that the folder may be moved."""
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    up = "../" * len(packages.relative_to(root).parts)
    (packages / "tunnel_supervisor.pth").write_text(f"{up}\n{up}actors/compat\n")


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
