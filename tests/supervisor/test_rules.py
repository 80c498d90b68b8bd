"""What is in force: this machine's rules, pushed ones, and those that were kept."""

import asyncio
import os
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import CapturingLogger

from actors.bus import events
from actors.bus.messages import Credentials, Reroute
from actors.bus.routes import Origin, Routes, Status
from actors.ingress import parse
from actors.supervisor.children import Children
from actors.supervisor.orders import OrderBook
from actors.supervisor.rules import KEPT_FILE, Rules
from actors.supervisor.settings import Settings
from actors.supervisor.token import OwnTunnel
from actors.supervisor.vocabulary import RulesInForce

ID = str(uuid.UUID(int=1))
PAGE = Origin(host="127.0.0.1", port=9)


class World:
    def __init__(self, folder: Path, tunnel_id: str = ID, **settings: Any) -> None:
        self.in_force: list[Routes] = []
        self.judged: list[RulesInForce] = []
        self.orders = SimpleNamespace()
        self.told: list[events.Event] = []
        self.pages = 0
        self.log = CapturingLogger()
        given: dict[str, Any] = {"origin": None, **settings}
        given.setdefault("tunnel", OwnTunnel(Credentials(tunnel_id, "", "t" * 32, b"s" * 32)))
        self.rules = Rules(
            Settings(**given),
            folder,
            cast(OrderBook, self.orders),
            cast(Children, self),
            page=self._page,
            tell=self.told.append,
            handle=self.judged.append,
            log=self.log,
        )

    def tell_all(self, actor: str, message: Reroute) -> None:
        """In the place of `Children`."""
        assert actor == "worker"
        self.in_force.append(message.routes)

    async def _page(self) -> Origin:
        self.pages += 1
        return PAGE

    async def push(self, version: int, service: str = "http_status:201") -> tuple[int, str]:
        answer = await self.rules.judge(version, msgspec.json.encode({"ingress": [{"service": service}]}))
        return answer.version, answer.error


async def test_one_place_is_one_route(tmp_path: Path) -> None:
    world = World(tmp_path, origin=PAGE, tunnel=None)
    assert (await world.rules.begin()).only_origin == PAGE
    world.rules.enforce(await world.rules.begin())
    assert not world.told, "a quick tunnel has no rules to tell of"
    assert msgspec.json.decode(world.orders.ingress) == [{"service": "http://127.0.0.1:9", "originRequest": {}}]
    assert not list(tmp_path.iterdir())


async def test_rules_of_a_file_are_in_force_and_get_a_page_if_they_name_one(tmp_path: Path) -> None:
    configuration = parse.remote(
        b'{"ingress":[{"hostname":"a.b","service":"hello_world"},{"service":"http_status:404"}]}'
    )
    world = World(tmp_path, configuration=configuration)
    routes = await world.rules.begin()
    assert [route.destination for route in routes.routes] == [PAGE, Status(404)]
    assert world.pages == 1
    world.rules.enforce(routes)
    assert [rule["service"] for rule in msgspec.json.decode(world.orders.ingress)] == ["hello_world", "http_status:404"]


async def test_a_push_holds_for_all_and_an_older_one_is_not_looked_at(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert await world.rules.begin() == Routes()
    assert await world.push(3) == (3, "")
    assert await world.push(2, "nonsense") == (3, "")
    ((route,),) = [routes.routes for routes in world.in_force]
    assert route.destination == Status(201)
    assert world.in_force[0].version == 3
    assert world.told == [events.ConfigurationApplied(version=3, rules=1, hostnames=[])]
    assert world.judged == [RulesInForce(1)]


async def test_a_bad_push_changes_nothing_and_the_same_number_may_come_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.push(1)
    version, error = await world.push(2, "unix:/run/x.sock")
    assert version == 1
    assert "--remote-services" in error
    assert len(world.in_force) == 1
    assert world.told[-1] == events.ConfigurationRefused(version=2, error=error)
    assert await world.push(2) == (2, "")


async def test_pushes_are_judged_one_after_the_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    answers = await asyncio.gather(world.push(1, "hello_world"), world.push(3), world.push(2))
    assert list(answers) == [(1, ""), (3, ""), (3, "")]
    assert [routes.version for routes in world.in_force] == [1, 3]


async def test_the_last_good_one_is_there_from_the_first_second_and_any_push_replaces_it(tmp_path: Path) -> None:
    before = World(tmp_path)
    await before.push(7)
    await before.push(8, "unix:/x")
    assert os.stat(tmp_path / KEPT_FILE).st_mode & 0o777 == 0o600
    world = World(tmp_path)
    routes = await world.rules.begin()
    assert ([route.destination for route in routes.routes], routes.version) == ([Status(201)], -1)
    assert await world.push(0, "http_status:202") == (0, "")


@pytest.mark.parametrize("spoil", ["another's", "broken", "writable", "link", "folder"])
async def test_what_was_kept_and_cannot_be_used_is_said_and_passed_over(tmp_path: Path, spoil: str) -> None:
    before = World(tmp_path, str(uuid.UUID(int=2)) if spoil == "another's" else ID)
    await before.push(7)
    kept = tmp_path / KEPT_FILE
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
    assert await world.rules.begin() == Routes()
    assert bool(world.log.calls) == (spoil != "another's")


async def test_a_folder_that_cannot_be_written_costs_the_next_start_its_rules_and_no_more(tmp_path: Path) -> None:
    world = World(tmp_path / "gone")
    assert await world.push(1) == (1, "")
    assert world.log.calls


@pytest.mark.parametrize(("path", "why"), [("/dev/zero", "is no file"), ("/nonexistent.pem", "no such file")])
async def test_roots_that_are_no_file_refuse_a_push(tmp_path: Path, path: str, why: str) -> None:
    world = World(tmp_path)
    rule = {"service": "https://127.0.0.1:1", "originRequest": {"caPool": path}}
    answer = await world.rules.judge(1, msgspec.json.encode({"ingress": [rule]}))
    assert why in answer.error
