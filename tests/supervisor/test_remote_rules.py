"""Pushed rules: which are in force, and which are kept."""

import asyncio
import os
import uuid
from pathlib import Path

import msgspec
import pytest
from structlog.testing import CapturingLogger

from actors.bus.messages import Credentials
from actors.bus.routes import Origin, Routes, Status
from actors.supervisor import state_folder
from actors.supervisor.remote_rules import RemoteRules
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import RULES_FILE_NAME, StateFolder
from actors.supervisor.token import OwnTunnel

ID = str(uuid.UUID(int=1))
PAGE = Origin(host="127.0.0.1", port=9)


class World:
    def __init__(self, folder: Path, tunnel_id: str = ID) -> None:
        self.log = CapturingLogger()
        tunnel = OwnTunnel(Credentials(tunnel_id, "", "t" * 32, b"s" * 32))
        self.rules = RemoteRules(
            Settings(origin=None, tunnel=tunnel), StateFolder(folder), page=self._page, log=self.log
        )

    async def _page(self) -> Origin:
        return PAGE

    async def kept(self) -> None:
        """Wait until what is in force has been written, or could not be."""
        async with asyncio.timeout(10):
            while self.rules._unwritten is not None:
                await asyncio.sleep(0)

    async def push(self, version: int, service: str = "http_status:201") -> tuple[int, str]:
        data = msgspec.json.encode({"ingress": [{"service": service}]})
        answer, is_new = await self.rules.judge(version, data)
        assert is_new == (answer.version == version and not answer.error)
        return answer.version, answer.error

    @property
    def in_force(self) -> tuple[int, list[object]]:
        routes = self.rules.routes
        return routes.version, [route.destination for route in routes.routes]


async def test_a_bad_push_changes_nothing_and_the_same_number_may_come_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.push(1)
    version, error = await world.push(2, "unix:/run/x.sock")
    assert version == 1
    assert "--remote-services" in error
    assert world.in_force == (1, [Status(201)])
    assert await world.push(2, "http_status:202") == (2, "")
    assert world.in_force == (2, [Status(202)])


async def test_pushes_are_judged_one_after_the_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    data = b'{"ingress":[{"service":"hello_world"}]}'
    answers = await asyncio.gather(*(world.rules.judge(version, data) for version in (1, 3, 2)))
    assert [(answer.version, is_new) for answer, is_new in answers] == [(1, True), (3, True), (3, False)]
    assert world.in_force == (3, [PAGE])


@pytest.mark.parametrize("name", ["hello_world", "hello-world", "hello\\u005fworld", "\\u0068ello_world"])
async def test_the_page_is_found_however_it_is_spelled(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    await world.rules.judge(1, b'{"ingress":[{"service":"%b"}]}' % name.encode())
    assert world.in_force == (1, [PAGE])


async def test_the_last_good_one_is_there_from_the_first_second_and_any_push_replaces_it(tmp_path: Path) -> None:
    before = World(tmp_path)
    await before.push(7)
    await before.push(8, "unix:/x")
    await before.kept()
    assert os.stat(tmp_path / RULES_FILE_NAME).st_mode & 0o777 == 0o600
    world = World(tmp_path)
    await world.rules.take_kept()
    assert world.in_force == (-1, [Status(201)])
    assert await world.push(0, "http_status:202") == (0, "")


@pytest.mark.parametrize("spoil", ["another's", "broken", "writable", "link", "folder"])
async def test_what_was_kept_and_cannot_be_used_is_said_and_passed_over(tmp_path: Path, spoil: str) -> None:
    before = World(tmp_path, str(uuid.UUID(int=2)) if spoil == "another's" else ID)
    await before.push(7)
    await before.kept()
    kept = tmp_path / RULES_FILE_NAME
    match spoil:
        case "broken":
            kept.write_bytes(b"\xff{")
        case "writable":
            kept.chmod(0o666)
        case "link":
            kept.rename(tmp_path / "other")
            kept.symlink_to(tmp_path / "other")
        case "folder":
            kept.unlink()
            kept.mkdir()
    world = World(tmp_path)
    await world.rules.take_kept()
    assert world.rules.routes == Routes()
    assert bool(world.log.calls) == (spoil != "another's")


async def test_a_folder_that_cannot_be_written_costs_the_next_start_its_rules_and_no_more(tmp_path: Path) -> None:
    world = World(tmp_path / "gone")
    assert await world.push(1) == (1, "")
    await world.kept()
    assert world.log.calls


async def test_many_pushes_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(state_folder, "write_atomically", lambda path, content, mode: written.append(content))
    world = World(tmp_path)
    for version in range(1, 51):
        await world.push(version)
    await world.kept()
    (content,) = written
    assert msgspec.json.decode(content)["version"] == 50
    await world.push(51)
    assert len(written) == 1, "not before KEEP_INTERVAL is over"


@pytest.mark.parametrize(("path", "why"), [("/dev/zero", "is no file"), ("/nonexistent.pem", "no such file")])
async def test_roots_that_are_no_file_refuse_a_push(tmp_path: Path, path: str, why: str) -> None:
    world = World(tmp_path)
    rule = {"service": "https://127.0.0.1:1", "originRequest": {"caPool": path}}
    answer, _ = await world.rules.judge(1, msgspec.json.encode({"ingress": [rule]}))
    assert why in answer.error


async def test_without_a_lock_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another instance could be at it: as with all files of the folder."""
    world = World(tmp_path)
    monkeypatch.setattr(world.rules._folder, "_not_ours", OSError(37, "locks do not work there"))
    assert await world.push(1) == (1, "")
    await world.kept()
    assert not list(tmp_path.iterdir())
    assert world.log.calls
