"""What is in force, and who is told of it."""

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from structlog.testing import CapturingLogger

from actors.bus import events
from actors.bus.messages import ConfigurationAnswered, ConfigurationPushed, Credentials, Down, Reroute
from actors.bus.routes import Origin, Routes, Status
from actors.ingress import parse
from actors.supervisor.children import Children, Name
from actors.supervisor.orders import OrderBook
from actors.supervisor.rules import Rules
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import StateFolder
from actors.supervisor.token import OwnTunnel
from actors.supervisor.vocabulary import RulesInForce

PAGE = Origin(host="127.0.0.1", port=9)
WORKER = Name("worker", 0, 1)
TUNNEL = OwnTunnel(Credentials(str(uuid.UUID(int=1)), "", "t" * 32, b"s" * 32))


class World:
    """All that the rules know of a supervisor."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.said: list[tuple[object, Down]] = []
        self.told: list[events.Event] = []
        self.judged: list[RulesInForce] = []
        self.pages = 0
        self.orders = SimpleNamespace(routes=Routes())
        self.rules = Rules(
            Settings(**{"origin": None, **settings}),
            StateFolder(folder),
            cast(OrderBook, self.orders),
            cast(Children, SimpleNamespace(tell=self._tell, tell_all=self._tell)),
            page=self._page,
            tell=self.told.append,
            handle=self.judged.append,
            log=CapturingLogger(),
        )

    def _tell(self, whom: object, message: Down) -> None:
        self.said.append((whom, message))

    async def _page(self) -> Origin:
        self.pages += 1
        return PAGE

    async def push(self, version: int, service: str) -> None:
        data = msgspec.json.encode({"ingress": [{"hostname": "a.b", "service": service}, {"service": service}]})
        await self.rules.pushed(WORKER, ConfigurationPushed(version + 100, version, data))


async def test_one_place_is_one_route_of_which_nobody_need_be_told(tmp_path: Path) -> None:
    for settings in ({"origin": PAGE}, {"hello_world": True}):
        world = World(tmp_path, **settings)
        await world.rules.begin()
        world.rules.announce()
        world.rules.remind(WORKER)
        assert world.orders.routes.only_origin == PAGE
        assert msgspec.json.decode(world.orders.ingress) == [{"service": "http://127.0.0.1:9", "originRequest": {}}]
        assert not [*world.told, *world.judged, *world.said, *tmp_path.iterdir()]


async def test_rules_of_a_file_are_in_force_and_get_a_page_if_they_name_one(tmp_path: Path) -> None:
    file = b'{"ingress":[{"hostname":"a.b","service":"hello_world"},{"service":"http_status:404"}]}'
    world = World(tmp_path, configuration=parse.remote(file))
    await world.rules.begin()
    world.rules.announce()
    assert [route.destination for route in world.orders.routes.routes] == [PAGE, Status(404)]
    assert world.pages == 1
    assert [rule["service"] for rule in msgspec.json.decode(world.orders.ingress)] == ["hello_world", "http_status:404"]
    assert world.told == [events.ConfigurationApplied(version=-1, rules=2, hostnames=["a.b"])]
    assert world.judged == [RulesInForce(2)]


async def test_workers_hear_of_pushed_rules_before_the_edge_has_its_answer(tmp_path: Path) -> None:
    world = World(tmp_path, tunnel=TUNNEL)
    await world.rules.begin()
    await world.push(3, "http_status:201")
    routes = world.orders.routes
    assert [route.destination for route in routes.routes] == [Status(201)] * 2
    assert world.said == [("worker", Reroute(routes)), (WORKER, ConfigurationAnswered(103, 3))]
    assert world.told == [events.ConfigurationApplied(version=3, rules=2, hostnames=["a.b"])]
    assert world.judged == [RulesInForce(2)]
    world.rules.remind(WORKER)
    assert world.said[-1] == (WORKER, Reroute(routes))


async def test_what_is_refused_or_old_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, tunnel=TUNNEL)
    await world.rules.begin()
    await world.push(3, "http_status:201")
    before = list(world.told)
    await world.push(2, "nonsense")
    assert world.said[-1] == (WORKER, ConfigurationAnswered(102, 3))
    assert world.told == before
    await world.push(4, "unix:/run/x.sock")
    (refused,) = world.told[len(before) :]
    assert isinstance(refused, events.ConfigurationRefused)
    assert world.said[-1] == (WORKER, ConfigurationAnswered(104, 3, refused.error))
    assert world.orders.routes.version == 3
