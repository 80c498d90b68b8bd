"""What makes the environment of a checkout, with the Pythons that people have."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import PATIENCE, ROOT

SETUP = ROOT / "bin" / "setup_venv.py"

PYTHONS = [sys.executable, "/usr/bin/python3"]
"""This one, and the system's own: Debian's and Ubuntu's put packages of their own into other folders."""

WITHOUT = """
import runpy, sys
sys.modules[{module!r}] = None
sys.argv = ["setup_venv.py", {root!r}, "requirements.lock"]
runpy.run_path({setup!r}, run_name="__main__")
"""

WRITES_PATHS = """
import pathlib, runpy
root = pathlib.Path({root!r})
runpy.run_path({setup!r})["_write_path_file"](root, root / ".venv")
"""


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_what_debian_packs_apart(module: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").touch()
    code = WITHOUT.format(module=module, root=str(tmp_path), setup=str(SETUP))
    done = run(sys.executable, "-I", "-c", code, cwd=tmp_path)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.returncode == 1
    assert f"apt install python{version}-venv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS, ids=["ours", "system"])
def test_packages_of_the_checkout_are_found_wherever_the_interpreter_puts_others(python: str, tmp_path: Path) -> None:
    root = tmp_path / "josé €"
    (root / "actors" / "compat").mkdir(parents=True)
    (root / "actors" / "__init__.py").touch()
    is_new = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not Path(python).exists() or run(python, "-c", is_new, cwd=root).returncode:
        pytest.skip("the system has no Python 3.11 or newer")
    assert run(python, "-I", "-m", "venv", "--without-pip", ".venv", cwd=root).returncode == 0
    done = run(python, "-I", "-c", WRITES_PATHS.format(root=str(root), setup=str(SETUP)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = run(str(root / ".venv" / "bin" / "python"), "-I", "-c", "import actors; print('found')", cwd=tmp_path)
    assert imported.stdout == "found\n", imported.stderr
