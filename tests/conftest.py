"""Nothing of a test outlives it: no process, no run folder."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Every child process is gone when a test ends, and every run folder."""
    before = set(_run_folders())
    yield
    children = [child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]
    assert not children, f"left running: {[child.cmdline() for child in children]}"
    assert not set(_run_folders()) - before, "left a run folder behind"


def _run_folders() -> Iterator[Path]:
    for folder in {tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()}:
        yield from Path(folder).glob("tunnel-supervisor-*")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder."""
    return tmp_path / "state"
