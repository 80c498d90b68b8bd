"""Make `.venv` from a lock file. Called by bin/setup-venv; needs nothing but the standard library.

Two at once do not collide: the second waits for the first and then finds the work done.
"""

import fcntl
import filecmp
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def main(root: Path, lock_name: str) -> None:
    environment = root / ".venv"
    lock = root / lock_name
    stamp = environment / lock_name
    with (root / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if stamp.exists() and filecmp.cmp(lock, stamp, shallow=False):
            return
        print(f"tunnel-supervisor: setting up {environment} from {lock_name} (once) …", flush=True)
        try:
            if not (environment / "bin" / "python").exists():
                venv.create(environment, with_pip=True, symlinks=True)
            python = environment / "bin" / "python"
            pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)
        except subprocess.CalledProcessError as error:
            sys.exit(
                f"tunnel-supervisor: could not set up {environment}: the step above failed with status "
                f"{error.returncode}. Is a package index reachable, and is python3-venv installed? "
                f"Then try again; `rm -rf {environment}` starts afresh."
            )
        # `import actors` from anywhere: a path file, relative so that the folder may be moved.
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        (packages / "tunnel_supervisor.pth").write_text("../" * len(packages.relative_to(root).parts) + "\n")
        shutil.copyfile(lock, stamp)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
