"""Nothing of a test outlives it: no process, no run folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="session", autouse=True)
def run_folders() -> Iterator[Path]:
    """A place of the tests' own for run folders: a tunnel that somebody has open on this machine is no leak of ours."""
    folder = Path(tempfile.mkdtemp(prefix="ts-"))  # short, as paths of sockets must be
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    shutil.rmtree(folder, ignore_errors=True)  # browsers leave files of theirs there


@pytest.fixture(autouse=True)
def nothing_is_left(run_folders: Path) -> Iterator[None]:
    """Every child process is gone when a test ends, and every run folder."""
    yield
    children = [child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]
    assert not children, f"left running: {[child.cmdline() for child in children]}"
    assert not list(run_folders.glob("tunnel-supervisor-*")), "left a run folder behind"


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `bin/torture` asks for."""
    parser.addoption("--rounds", type=int, default=2, help="how often a fault is injected in the matrix's rows")
    parser.addoption("--soak", type=float, default=5.0, help="seconds of the soak")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a test of the matrix injects its fault."""
    return int(request.config.getoption("--rounds"))


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> float:
    """Seconds that the soak lasts."""
    return float(request.config.getoption("--soak"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder."""
    return tmp_path / "state"
