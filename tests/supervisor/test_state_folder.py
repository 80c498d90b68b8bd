"""The lock, the URL file, tunnel.json."""

import errno
import fcntl
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from actors.errors import AlreadyRunning, LocalSetupError
from actors.supervisor.state_folder import (
    MAX_USUAL_FOLDERS,
    STATE_FILE_NAME,
    TOKEN_FILE_NAME,
    StateFolder,
    TunnelState,
    read_state,
    usual_folders,
)
from actors.url_file import URL_FILE_NAME

STATE = TunnelState(
    url="https://a.example",
    tunnel_id="id",
    pid=1,
    started_at=2.0,
    version="0.1",
    origin="127.0.0.1:80",
    events_endpoint="ipc://e",
    metrics_endpoint="ipc://m",
    state="visible",
    serves=True,
    connections=1,
    slots=2,
)


def test_second_instance_is_told_who_holds_it(tmp_path: Path) -> None:
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.acquire()
    with pytest.raises(AlreadyRunning, match=r"process \d+"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_files_come_and_go_together(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "deep" / "state")
    folder.acquire()
    folder.write(STATE)
    folder.write_url(STATE.url)
    state = folder.path / STATE_FILE_NAME
    assert json.loads(state.read_text())["events_endpoint"] == "ipc://e"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert (folder.path / URL_FILE_NAME).read_text() == "https://a.example\n"
    folder.clear_url()
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["tunnel.lock"]
    folder.release()


def test_files_of_somebody_else_stay(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.acquire()
    folder.write(STATE)
    folder.write_url(STATE.url)
    (tmp_path / URL_FILE_NAME).write_text("https://other\n")
    (tmp_path / STATE_FILE_NAME).write_text("{}")
    folder.clear_url()
    folder.clear()
    assert (tmp_path / URL_FILE_NAME).read_text() == "https://other\n"
    assert (tmp_path / STATE_FILE_NAME).read_text() == "{}"
    folder.release()


def test_stale_files_are_removed_at_the_start(tmp_path: Path) -> None:
    (tmp_path / URL_FILE_NAME).write_text("https://stale\n")
    (tmp_path / STATE_FILE_NAME).write_text("{}")
    (tmp_path / TOKEN_FILE_NAME).write_text("token")
    (tmp_path / f".{URL_FILE_NAME}.x1y2").write_text("htt")  # killed between write and rename
    folder = StateFolder(tmp_path)
    folder.acquire()
    assert [path.name for path in tmp_path.iterdir()] == ["tunnel.lock"]
    folder.release()


def test_token_of_the_inspector_comes_and_goes_with_its_tunnel(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.acquire()
    folder.write_token("secret")
    file = tmp_path / TOKEN_FILE_NAME
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("secret\n", 0o600)
    folder.clear()
    assert not file.exists()
    folder.release()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalSetupError, match="--state-dir"):
        StateFolder(tmp_path / "file" / "state").acquire()


def test_state_is_read_while_its_owner_lives(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.acquire()
    assert read_state(tmp_path) is None
    folder.write(STATE)
    assert read_state(tmp_path) == STATE
    folder.release()
    assert read_state(tmp_path) is None, "a file of a dead instance says nothing"
    assert read_state(tmp_path / "nowhere") is None


def test_without_the_lock_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another instance may come, and have it."""
    folder = StateFolder(tmp_path)
    real = os.open

    def full(path: Path, *arguments: int) -> int:
        if str(path).endswith("tunnel.lock"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", full)
    folder.acquire()
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):
        folder.write(STATE)
    with pytest.raises(OSError, match="No space"):
        folder.write_url(STATE.url)
    assert list(tmp_path.iterdir()) == []


def test_somebody_who_looks_is_no_instance(tmp_path: Path) -> None:
    (tmp_path / "tunnel.lock").write_text("")
    looker = os.open(tmp_path / "tunnel.lock", os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, (looker,)).start()
    folder = StateFolder(tmp_path)
    folder.acquire()
    folder.release()


def test_where_locks_do_not_work_nothing_is_written_and_the_cause_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    folder = StateFolder(tmp_path)
    folder.acquire()
    with pytest.raises(OSError, match=r"locks do not work there \(No locks available\)"):
        folder.write(STATE)
    with pytest.raises(OSError, match="locks do not work there"):
        folder.write_url(STATE.url)
    folder.clear_url()
    folder.clear()
    folder.release()
    assert not (tmp_path / URL_FILE_NAME).exists()


def test_modes_that_cannot_be_set_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.fchmod", refused)
    folder = StateFolder(tmp_path)
    folder.acquire()
    folder.write(STATE)
    folder.write_url(STATE.url)
    assert (tmp_path / URL_FILE_NAME).read_text() == f"{STATE.url}\n"
    folder.release()


def test_the_usual_folder_makes_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.supervisor.state_folder.LOOKER_PATIENCE", 0.01)  # nobody only looks, here
    usual = tmp_path / "state"
    held = [StateFolder(usual) for _ in range(MAX_USUAL_FOLDERS)]
    for folder in held:
        folder.acquire_usual()
    assert [folder.path for folder in held] == usual_folders(usual)
    assert [folder.path.name for folder in held[:3]] == ["state", "state-2", "state-3"]
    with pytest.raises(AlreadyRunning, match=f"holds {usual}\\."):
        StateFolder(usual).acquire_usual()
    held[1].release()
    again = StateFolder(usual)
    again.acquire_usual()
    assert again.path == held[1].path
    for folder in (again, *held):
        folder.release()
