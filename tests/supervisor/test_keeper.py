"""A tunnel that is kept in a real folder."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from actors.bus import events
from actors.bus.routes import Origin
from actors.errors import LocalSetupError, PermanentFailure, RefusedByEdge, TunnelError
from actors.processes.tasks import Tasks
from actors.supervisor import kept
from actors.supervisor.keeper import Keeper
from actors.supervisor.settings import Settings
from actors.supervisor.start import TunnelSource
from actors.supervisor.state_folder import KEPT_FILE_NAME, StateFolder, forget_kept
from tests.kit.origins import answer, scripted
from tests.supervisor.test_kept import CREDENTIALS, KEPT, SERVICE
from tests.supervisor.test_start import Api


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    """A state folder that is held."""
    made = StateFolder(tmp_path / "state")
    made.acquire()
    yield made
    made.release()


def keeper(folder: StateFolder, *, service_url: str = SERVICE, keep_for: float = 3600.0) -> Keeper:
    return Keeper(folder, service_url, keep_for, structlog.get_logger())


def keep(folder: StateFolder) -> Path:
    """Keep a tunnel; return its file."""
    folder.write_kept(kept.write(KEPT))
    return folder.path / KEPT_FILE_NAME


def unwanted(what: object) -> None:
    pytest.fail(f"nobody wants to hear {what}")


def warnings(logs: list[Any]) -> list[str]:
    return [f"{line['event']} {line.get('cause', '')}" for line in logs if line["log_level"] == "warning"]


def test_next_start_has_the_same_tunnel_as_the_same_connector(folder: StateFolder) -> None:
    first = keeper(folder)
    assert first.take() is None
    first.keep(CREDENTIALS, unwanted)
    path = folder.path / KEPT_FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = keeper(folder)
    assert second.has_one
    assert second.client_id == first.client_id
    assert second.take() == CREDENTIALS
    assert second.take() is None, "if it is asked for again, that tunnel was refused"


def test_without_a_kept_tunnel_nobody_is_the_same_connector(folder: StateFolder) -> None:
    assert keeper(folder).client_id != keeper(folder).client_id
    assert len(keeper(folder).client_id) == 16


def test_renewed_tunnel_takes_the_place_of_the_kept_one(folder: StateFolder) -> None:
    keep(folder)
    first = keeper(folder)
    first.take()
    other = type(CREDENTIALS)(CREDENTIALS.tunnel_id, "https://c-d.example", "account", b"other")
    first.keep(other, unwanted)
    assert keeper(folder).take() == other


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda path: path.chmod(0o640), "others may read it (mode 0640)"),
        (lambda path: path.write_bytes(b"{"), "its file is broken"),
        (lambda path: os.utime(path, (0, 0)), "and is kept for 1 h"),
        (lambda path: path.rename(path.with_name("real")) and path.symlink_to("real"), "symbolic link"),
        (pipe_instead, "it is no file"),
        (lambda path: (path.unlink(), path.mkdir(0o700)), "it is no file"),
    ],
    ids=["open", "broken", "old", "link", "pipe", "folder"],
)
def test_what_is_of_no_use_is_said_and_another_tunnel_is_asked_for(
    harm: Callable[[Path], object], cause: str, folder: StateFolder
) -> None:
    path = keep(folder)
    harm(path)
    with capture_logs() as logs:
        made = keeper(folder)
    assert not made.has_one
    (said,) = warnings(logs)
    assert cause in said
    assert "secret" not in said


def test_link_is_replaced_and_never_followed(folder: StateFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    (folder.path / KEPT_FILE_NAME).symlink_to(elsewhere)
    made = keeper(folder)
    made.keep(CREDENTIALS, unwanted)
    assert elsewhere.read_text() == "theirs"
    assert not (folder.path / KEPT_FILE_NAME).is_symlink()
    assert keeper(folder).take() == CREDENTIALS


def test_tunnel_of_another_service_is_said(folder: StateFolder) -> None:
    keep(folder)
    with capture_logs() as logs:
        assert not keeper(folder, service_url="https://other.example").has_one
    assert "https://other.example" in warnings(logs)[0]
    assert keeper(folder, service_url=f"{SERVICE}/").has_one


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_folder_that_others_may_use_is_refused(folder: StateFolder, mode: int) -> None:
    folder.path.chmod(mode)
    with pytest.raises(LocalSetupError, match=rf"mode {mode:04o}.*chmod 700"):
        keeper(folder)


def test_folder_of_somebody_else_is_refused(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: folder.path.stat().st_uid + 1)
    with pytest.raises(LocalSetupError, match=r"belongs to user.*--state-dir"):
        keeper(folder)


def test_file_of_somebody_else_is_of_no_use(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(folder)
    real = os.fstat

    def theirs(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", theirs)
    with capture_logs() as logs:
        assert not keeper(folder).has_one
    assert f"{path}: it belongs to user" in warnings(logs)[0]


def test_folder_without_a_lock_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    """Another instance may be at it."""
    folder = StateFolder(tmp_path)
    folder._not_ours = OSError(5, "locks do not work there", str(tmp_path))
    told: list[events.Event] = []
    with capture_logs() as logs:
        made = keeper(folder)
        made.keep(CREDENTIALS, told.append)
    assert len(warnings(logs)) == 1
    assert not made.has_one
    assert not list(tmp_path.iterdir())
    (event,) = told
    assert isinstance(event, events.StateFileFailed)
    assert "locks do not work there" in event.message


async def test_its_use_is_noted_and_what_was_forgotten_stays_so(folder: StateFolder) -> None:
    path = keep(folder)
    os.utime(path, (0, 0))
    made = keeper(folder)
    tasks = Tasks(unwanted)
    tasks.start(made.keep_touching(lambda: False), name="down")
    await asyncio.sleep(0)
    assert path.stat().st_mtime == 0, "nobody was served"
    tasks.start(made.keep_touching(lambda: True), name="up")
    await asyncio.sleep(0)
    assert path.stat().st_mtime > 0
    await tasks.cancel()
    assert forget_kept(folder.path)
    folder.touch_kept()
    assert not path.exists()
    assert not forget_kept(folder.path)


@pytest.mark.parametrize(
    ("error", "stays"), [(None, True), (PermanentFailure(10), True), (RefusedByEdge("gone"), False)], ids=str
)
def test_tunnel_that_the_edge_dropped_is_not_kept(error: TunnelError | None, stays: bool, folder: StateFolder) -> None:
    path = keep(folder)
    keeper(folder).ended(error)
    assert path.exists() is stays


def test_half_of_a_file_is_removed_and_forgotten(folder: StateFolder) -> None:
    """It holds the secret."""
    half = folder.path / f".{KEPT_FILE_NAME}.abc"
    half.write_bytes(b"secret")
    assert forget_kept(folder.path)
    assert not half.exists()
    half.write_bytes(b"secret")
    folder.release()
    again = StateFolder(folder.path)
    again.acquire()
    assert not half.exists()
    again.release()


async def test_kept_tunnel_needs_no_request_to_the_api(folder: StateFolder) -> None:
    api = Api(answer(status="500 Oh"))
    async with scripted(api.serve) as port:
        service = f"http://127.0.0.1:{port}"
        tunnel = Keeper(folder, service, 60.0, structlog.get_logger())
        tunnel.keep(CREDENTIALS, unwanted)
        asked = Settings(Origin(host="localhost", port=1), service_url=service, edges=(("127.0.0.1", 7844),))
        again = Keeper(folder, service, 60.0, structlog.get_logger())
        logger = structlog.get_logger()
        source = TunnelSource(asked, folder.path, again, lambda event: None, logger)
        told: list[object] = []
        tasks = Tasks(unwanted)
        source.ask_ahead(tasks)
        assert not tasks._tasks
        assert source.has_kept
        await source.obtain(told.append)
        assert told == [CREDENTIALS]
        assert api.requests == 0
        assert not source.has_kept
