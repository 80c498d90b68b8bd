"""What makes the environment of a checkout, with the Pythons that people have."""

import base64
import hashlib
import io
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import PATIENCE, ROOT

SETUP = ROOT / "bin" / "setup_venv.py"

PYTHONS = [sys.executable, "/usr/bin/python3"]
"""This one, and the system's own: Debian's and Ubuntu's put packages of their own into other folders."""

WRITES_PATHS = """
import pathlib, runpy
root = pathlib.Path({root!r})
runpy.run_path({setup!r})["_write_path_file"](root, root / ".venv")
"""

WITHOUT = "import sys; sys.modules[{module!r}] = None; exec(sys.argv.pop(1))"
"""Runs the code that is its argument, in a Python without that module."""

setup: dict[str, Any] = runpy.run_path(str(SETUP))


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=4 * PATIENCE, check=False, env=environment or None
    )


class Checkout:
    """A checkout of two packages, a machine with certain Pythons, and an index with certain wheels."""

    def __init__(self, folder: Path) -> None:
        self.root, self.path, self.wheels = folder / "josé €", folder / "path", folder / "wheels"
        self.index: dict[str, str] = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        (self.root / "actors").mkdir(parents=True)
        (self.root / "actors" / "__init__.py").touch()
        (self.root / "bin").mkdir()
        for name in ("setup-venv", "setup_venv.py"):
            shutil.copy(ROOT / "bin" / name, self.root / "bin")
        self.path.mkdir()
        self.wheels.mkdir()
        for name in ("cmp", "dirname"):
            (self.path / name).symlink_to(str(shutil.which(name)))
        for name in ("requirements.lock", "requirements-fast.lock", "requirements-test.lock"):
            (self.root / name).touch()

    def has_python(self, name: str, interpreter: str, code: str | None = None) -> Path:
        """Put one on the path; `code` runs what `-c` gives it, as its argument."""
        script = self.path / name
        text = f'exec "{interpreter}" "$@"\n'
        if code is not None:
            text = f'if [ "$2" = -c ]; then exec "{interpreter}" -I -c "{code}" "$3"; fi\n{text}'
        script.write_text(f"#!/bin/sh\n{text}")
        script.chmod(0o755)
        return script

    def locks(self, lock: str, package: str, tag: str | None, version: str = "1.0") -> None:
        """Write a lock file of one package, of which there is a wheel for `tag` (None: for nobody)."""
        wheel = make_wheel(package, version, tag or "cp399-none-any")
        for earlier in self.wheels.glob(f"{package}-{version}-*"):
            earlier.unlink()
        (self.wheels / f"{package}-{version}-{tag or 'cp399-none-any'}.whl").write_bytes(wheel)
        digest = hashlib.sha256(wheel).hexdigest()
        (self.root / lock).write_text(f"{package}=={version} --hash=sha256:{digest}\n")

    def set_up(self, what: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
        paths = {"PATH": str(self.path), "HOME": str(self.root.parent), "PYENV_ROOT": str(self.root.parent / "none")}
        return run(self.root / "bin" / "setup-venv", what, cwd=self.root, **paths, **self.index, **environment)

    def imports(self, module: str) -> bool:
        return not run(self.root / ".venv" / "bin" / "python", "-I", "-c", f"import {module}", cwd=self.root).returncode

    @property
    def version(self) -> str:
        """`3.13`: of the environment's Python."""
        code = "import sys; print('{}.{}'.format(*sys.version_info))"
        return run(self.root / ".venv" / "bin" / "python", "-I", "-c", code, cwd=self.root).stdout.strip()


def make_wheel(package: str, version: str, tag: str) -> bytes:
    """A wheel of one empty module."""
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path)
    made.locks("requirements.lock", "base", "py3-none-any")
    made.locks("requirements-fast.lock", "quick", "py3-none-any")
    yield made
    shutil.rmtree(made.root)  # an environment each: they are large


@pytest.fixture(scope="session")
def pythons() -> dict[str, str]:
    """`3.13` → its interpreter; those of this machine that can make an environment, the newest first."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    known = [sys.executable, *names, *map(str, Path.home().glob(".pyenv/versions/*/bin/python3"))]
    found: dict[str, str] = {}
    for python in setup["find_pythons"](known):
        if not python.lacks:
            found.setdefault("{}.{}".format(*python.version), python.path)
    return found


@pytest.fixture
def fast_pythons(pythons: dict[str, str]) -> list[tuple[str, str]]:
    """The two newest that the fast engine may have wheels for."""
    fast = [(version, path) for version, path in pythons.items() if version != "3.11"]
    if len(fast) < 2:
        pytest.skip("this machine has no two Pythons of 3.12 or newer")
    return fast[:2]


# --- which Python ---


def test_the_newest_release_comes_first() -> None:
    python = setup["Python"]
    first = sorted([python(True, (3, 9), "b"), python(False, (3, 15), "a"), python(True, (3, 13), "c")])[-1]
    assert first.path == "c"


@pytest.mark.slow
def test_python_of_a_virtual_environment_stands_for_the_one_below_it(tmp_path: Path) -> None:
    assert run(sys.executable, "-I", "-m", "venv", "--without-pip", "venv", cwd=tmp_path).returncode == 0
    (found,) = setup["find_pythons"]([sys.executable, str(tmp_path / "venv" / "bin" / "python")])
    assert str(tmp_path) not in found.path


def test_shims_and_links_that_lead_nowhere_are_passed_over(checkout: Checkout) -> None:
    shim = checkout.has_python("python3.14", "false")
    (checkout.path / "python3.13").symlink_to("/nowhere")
    assert setup["find_pythons"]([str(shim), str(checkout.path / "python3.13"), "", "not-there", "/"]) == []
    done = checkout.set_up()
    assert done.returncode == 1
    assert "no Python 3.11 or newer found" in done.stderr


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_what_debian_packs_apart(module: str, checkout: Checkout) -> None:
    checkout.has_python("python3", sys.executable, WITHOUT.format(module=module))
    done = checkout.set_up()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.returncode == 1
    assert f"apt install python{version}-venv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout.root / ".venv").exists()


@pytest.mark.slow
def test_python_that_cannot_make_an_environment_gives_way_to_an_older_one(
    checkout: Checkout, fast_pythons: list[tuple[str, str]]
) -> None:
    (_, newer), (version, older) = fast_pythons
    checkout.has_python("python3", newer, WITHOUT.format(module="ssl"))
    checkout.has_python("python3.12", older)
    assert checkout.set_up().returncode == 0
    assert checkout.version == version


@pytest.mark.slow
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-fast.lock"])
def test_newest_that_has_wheels_of_everything(
    lock: str, checkout: Checkout, fast_pythons: list[tuple[str, str]]
) -> None:
    (_, newer), (version, older) = fast_pythons
    checkout.has_python("python3.12", older)
    checkout.has_python("python3", newer)
    checkout.locks(lock, "only_older", f"cp{version.replace('.', '')}-none-any")
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert checkout.version == version
    assert checkout.imports("only_older")
    assert len(done.stderr.splitlines()) == 1, "nothing was amiss"


@pytest.mark.slow
def test_named_python_is_taken_and_nothing_else(checkout: Checkout, pythons: dict[str, str]) -> None:
    (oldest, path), newest = list(pythons.items())[-1], next(iter(pythons.values()))
    checkout.has_python("python3", newest)
    wrong = checkout.set_up(PYTHON="/not/there")
    assert wrong.returncode == 1
    assert "PYTHON=/not/there" in wrong.stderr
    assert not (checkout.root / ".venv").exists()
    assert checkout.set_up(PYTHON=path).returncode == 0
    assert checkout.version == oldest


# --- the fast engine ---


@pytest.mark.slow
def test_machine_without_a_wheel_of_the_fast_engine_goes_on_without(
    checkout: Checkout, fast_pythons: list[tuple[str, str]]
) -> None:
    checkout.has_python("python3", fast_pythons[0][1])
    checkout.locks("requirements-fast.lock", "quick", None)
    (checkout.wheels / "quick-1.0.tar.gz").write_bytes(b"a source, which nobody looks at")
    done = checkout.set_up()
    assert done.returncode == 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 2
    assert "going on without the fast engine" in done.stderr
    assert "error" not in done.stderr.lower()
    assert checkout.imports("base, actors")
    again = checkout.set_up()
    assert (again.returncode, again.stderr) == (0, ""), "it is not tried at every start"


@pytest.mark.slow
def test_package_that_is_not_the_locked_one_is_no_missing_wheel(
    checkout: Checkout, fast_pythons: list[tuple[str, str]]
) -> None:
    checkout.has_python("python3", fast_pythons[0][1])
    (checkout.root / "requirements-fast.lock").write_text(f"quick==1.0 --hash=sha256:{'0' * 64}\n")
    done = checkout.set_up()
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.slow
def test_without_a_network_what_is_there_goes_on(checkout: Checkout, fast_pythons: list[tuple[str, str]]) -> None:
    checkout.has_python("python3", fast_pythons[0][1])
    assert checkout.set_up().returncode == 0
    checkout.locks("requirements-fast.lock", "quicker", "py3-none-any")
    reached, checkout.index = checkout.index, {"PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_RETRIES": "1"}
    done = checkout.set_up()
    assert done.returncode == 0
    assert "the next start tries again" in done.stderr
    checkout.index = reached
    assert checkout.set_up().returncode == 0
    assert checkout.imports("quicker")


@pytest.mark.slow
def test_new_checkout_without_a_network_says_so(checkout: Checkout) -> None:
    checkout.has_python("python3", sys.executable)
    checkout.index = {"PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_RETRIES": "1"}
    done = checkout.set_up()
    assert done.returncode == 1
    assert "Is a package index reachable?" in done.stderr
    assert "Traceback" not in done.stderr


# --- an environment that is there ---


@pytest.mark.slow
def test_environment_that_works_is_kept_and_brought_up_to_date_by_its_own_python(
    checkout: Checkout, pythons: dict[str, str]
) -> None:
    if "3.11" not in pythons or len(pythons) < 2:
        pytest.skip("this machine has no Python 3.11 beside a newer one")
    checkout.has_python("python3", pythons["3.11"])
    first = checkout.set_up()
    assert first.returncode == 0
    assert len(first.stderr.splitlines()) == 1, "nobody with Python 3.11 was promised more"
    assert checkout.version == "3.11"
    assert checkout.imports("quick"), "what of the second lock has a wheel for it: patterns of rules"
    mine = checkout.root / ".venv" / "mine"
    mine.touch()
    newer = next(path for path in pythons.values())
    checkout.has_python("python3.13", newer)
    assert checkout.set_up().stderr == "", "another Python alone changes nothing"
    checkout.locks("requirements.lock", "base", "py3-none-any", "2.0")
    done = checkout.set_up()
    assert done.returncode == 0
    assert (checkout.version, mine.exists()) == ("3.11", True)
    assert f"{newer} is one: to have it made anew by that, remove it" in done.stderr
    shutil.rmtree(checkout.root / ".venv")
    assert checkout.set_up().returncode == 0
    assert checkout.version != "3.11"
    assert checkout.imports("quick")


@pytest.mark.slow
def test_tests_have_what_the_product_has_and_more(checkout: Checkout) -> None:
    checkout.has_python("python3", sys.executable)
    checkout.locks("requirements-test.lock", "tried", "py3-none-any")
    assert checkout.set_up("test").returncode == 0
    assert checkout.imports("base, tried, actors")
    assert checkout.set_up("run").stderr == ""


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
