"""The run folder: private, short, and gone with its owner."""

import errno
import sys
from pathlib import Path

import pytest

from actors.bus import run_folder, sockets
from tests.kit.processes import running

OWNER = """
import time
from actors.bus import run_folder
with run_folder.private() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def runtime(run_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A parent folder of this test's own."""
    parent = run_folders / "of-this-test"
    parent.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(parent))
    return parent


def test_it_is_private_short_and_removed(runtime: Path) -> None:
    with run_folder.private() as folder:
        assert folder.parent == runtime
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder / "metrics")) < sockets.MAX_IPC_PATH
        (folder / "events").write_text("")
    assert not folder.exists()


@pytest.mark.slow
async def test_next_instance_removes_what_a_killed_one_left_and_nothing_of_a_living_one(runtime: Path) -> None:
    command = [sys.executable, "-c", OWNER]
    root = Path(run_folder.__file__).parents[2]
    async with running(command, cwd=root) as killed, running(command, cwd=root) as lives:
        left, kept = Path(await killed.first_line()), Path(await lives.first_line())
        killed.process.kill()
        await killed.wait()
        assert left.exists()
        with run_folder.private():
            assert not left.exists()
            assert kept.exists()
        lives.process.kill()
        await lives.wait()
    with run_folder.private():
        assert not kept.exists()


def test_place_that_takes_no_sockets_is_passed_over(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither exFAT nor CIFS takes any, nor does the end of a long path."""
    deep = runtime / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with run_folder.private() as folder:
        assert deep not in folder.parents
        assert not list(deep.iterdir())
    assert not folder.exists()


def test_without_locks_folders_of_others_stay(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with run_folder.private() as first:
        with run_folder.private() as second:
            assert first.exists()
            assert second.parent == runtime
        assert not second.exists()
    assert not first.exists()
