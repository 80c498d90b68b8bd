"""Which target a request goes to, and what becomes of targets when the routes change."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from actors.bus.guards import OPEN, Guard
from actors.bus.routes import Origin, Route, Routes, Status
from actors.exchange.exchanges import Exchanges
from actors.exchange.gate import Refusal
from actors.exchange.observers import Observers
from actors.exchange.request import Kind, Request
from actors.exchange.router import Router
from actors.processes.tasks import Tasks
from tests.exchange.test_exchange_faults import Visitor
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE


def asked(host: str, target: str = "/", *, method: str = "GET", kind: Kind = Kind.HTTP) -> Request:
    return Request(kind, method.encode(), target.encode(), host.encode(), ())


class Counted:
    """An origin that answers with its name, and counts the connections that were made to it."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.made = 0
        self.open = 0
        self.changed = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.open += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while head := await read_head(reader):
                    self.heard.append(head)
                    self.changed.set()
                    await self.may_answer.wait()
                    writer.write(answer(self.name))
        finally:
            self.open -= 1
            self.changed.set()

    async def until_open(self, count: int) -> None:
        await self._until(lambda: self.open == count)

    async def until_heard(self, count: int) -> None:
        await self._until(lambda: len(self.heard) == count)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


class Place:
    """A router with exchanges, and two origins behind it."""

    def __init__(self, routes: Routes) -> None:
        self.fatal: list[BaseException] = []
        self.tasks = Tasks(self.fatal.append)
        self.router = Router(routes)
        self.exchanges = Exchanges(self.router, Observers(), self.tasks, at_once=9)

    def begin(self, request: Request) -> Visitor:
        visitor = Visitor()
        self.exchanges.open(visitor, request).start(b"")
        return visitor

    async def status(self, request: Request) -> int | None:
        visitor = self.begin(request)
        async with asyncio.timeout(PATIENCE):
            await self.exchanges.idle()
        return visitor.status


@contextlib.asynccontextmanager
async def place(*origins: Counted) -> AsyncIterator[tuple[Place, list[Origin]]]:
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(scripted(each.serve)) for each in origins]
        made = Place(Routes())
        try:
            yield made, [Origin(host="127.0.0.1", port=port, keep_alive=60.0) for port in ports]
        finally:
            await made.tasks.cancel()
            made.router.close()
            for each in origins:
                await each.until_open(0)
            assert made.fatal == []


async def test_no_rules_and_no_rule_that_matches() -> None:
    async with place() as (made, _):
        assert await made.status(asked("a.example")) == 503
        made.router.replace(Routes((Route(Status(204), hostname="b.example"),)))
        assert await made.status(asked("a.example")) == 503
        assert await made.status(asked("b.example")) == 204
        assert await made.status(asked("b.example", method="BREW")) == 204
        assert await made.status(asked("b.example", kind=Kind.WEBSOCKET)) == 204


async def test_what_comes_before_the_first_rules_waits_for_them() -> None:
    async with place() as (made, _):
        made.router = Router(Routes(), awaits_rules=True)
        made.exchanges = Exchanges(made.router, Observers(), made.tasks, at_once=9)
        early, none = made.begin(asked("a.example")), made.begin(asked("b.example"))
        made.router.replace(Routes())  # what was kept: nothing
        made.exchanges.rules_came()
        assert (early.status, none.status) == (None, None)
        made.router.replace(Routes((Route(Status(204), hostname="a.example"),), version=1))
        made.exchanges.rules_came()
        assert (early.status, none.status) == (204, 503)
        made.router.replace(Routes())
        assert await made.status(asked("a.example")) == 503, "there have been some"


async def test_rules_that_do_not_come_are_not_waited_for_any_longer() -> None:
    async with place() as (made, _):
        made.router.awaits_rules = True
        early = made.begin(asked("a.example"))
        made.router.awaits_rules = False
        made.exchanges.rules_came()
        assert early.status == 503


async def test_first_route_that_matches_counts() -> None:
    one, two = Counted(b"one"), Counted(b"two")
    async with place(one, two) as (made, (first, second)):
        made.router.replace(Routes((Route(first, hostname="a.example"), Route(second))))
        assert await made.status(asked("a.example")) == 200
        assert await made.status(asked("b.example")) == 200
        assert (len(one.heard), len(two.heard)) == (1, 1)


@pytest.mark.parametrize(
    "host",
    [
        *("management.argotunnel.com", "management.fed.argotunnel.com", "Management.ArgoTunnel.com"),
        *("management.argotunnel.com:443", "management.argotunnel.com.", "management.argotunnel.com.:443"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.HTTP, Kind.WEBSOCKET])
async def test_management_reaches_no_origin_whatever_the_rules_are(host: str, kind: Kind) -> None:
    one = Counted(b"one")
    async with place(one) as (made, (origin,)):
        for routes in ((Route(origin),), (Route(origin, hostname=host), Route(origin)), ()):
            made.router.replace(Routes(routes))
            assert await made.status(asked(host, "/logs?access_token=x", kind=kind)) == 404
        assert one.heard == []


async def test_raw_tunnel_for_management_is_refused() -> None:
    one = Counted(b"one")
    async with place(one) as (made, (origin,)):
        made.router.replace(Routes((Route(origin),)))
        assert await made.status(asked("management.argotunnel.com", kind=Kind.TCP)) is None
        assert one.made == 0


async def test_destination_that_stays_keeps_its_warm_connections_and_one_that_goes_loses_them() -> None:
    one, two = Counted(b"one"), Counted(b"two")
    async with place(one, two) as (made, (first, second)):
        made.router.replace(Routes((Route(first, hostname="a.example"), Route(second))))
        assert await made.status(asked("a.example")) == 200
        assert await made.status(asked("b.example")) == 200
        made.router.replace(Routes((Route(Status(404), path="nothing"), Route(first))))
        await two.until_open(0)
        assert await made.status(asked("c.example")) == 200
        assert (one.made, two.made) == (1, 1)


async def test_exchange_in_flight_keeps_the_target_under_which_it_came() -> None:
    one, two = Counted(b"one"), Counted(b"two")
    one.may_answer.clear()
    async with place(one, two) as (made, (first, second)):
        made.router.replace(Routes((Route(first),)))
        visitor = made.begin(asked("a.example"))
        await one.until_heard(1)
        made.router.replace(Routes((Route(second),)))
        assert await asyncio.wait_for(_other(made), PATIENCE) == 200
        assert one.open == 1
        one.may_answer.set()
        async with asyncio.timeout(PATIENCE):
            await made.exchanges.idle()
        assert visitor.status == 200
        await one.until_open(0)
        assert len(two.heard) == 1


async def _other(made: Place) -> int | None:
    visitor = made.begin(asked("a.example"))
    while visitor.status is None:
        await asyncio.sleep(0)
    return visitor.status


async def test_failures_never_become_fewer(unused_tcp_port: int) -> None:
    async with place() as (made, _):
        made.router.replace(Routes((Route(Origin(host="127.0.0.1", port=unused_tcp_port)),)))
        assert await made.status(asked("a.example")) == 502
        assert made.router.failures == 1
        made.router.replace(Routes())
        assert made.router.failures == 1


async def test_many_routes_and_many_changes_keep_nothing() -> None:
    async with place() as (made, _):
        for port in range(1, 2001):
            made.router.replace(Routes((Route(Origin(host="127.0.0.1", port=port)), Route(Status(200 + port % 10)))))
        assert len(made.router._targets) == 2


async def test_rule_whose_ca_file_is_gone_costs_its_own_requests_only() -> None:
    one = Counted(b"one")
    async with place(one) as (made, (origin,)):
        gone = Origin(scheme="https", host="127.0.0.1", port=1, ca_file="/no/such/file.pem")
        made.router.replace(Routes((Route(gone, hostname="a.example"), Route(origin))))
        assert await made.status(asked("a.example")) == 502
        assert await made.status(asked("b.example")) == 200


# --- guards that differ ---

ONE, OTHER = Guard(deny_ips=("203.0.113.1/32",)), Guard(access_tokens=("a-token-of-chance",))


def guarded() -> Router:
    here, there = Origin(host="127.0.0.1", port=1), Origin(host="127.0.0.1", port=2)
    return Router(
        Routes(
            (
                Route(here, path="^/admin", guard=1),
                Route(there, hostname="app.example", guard=2),
                Route(here, guard=0),
            ),
            guards=(OPEN, OTHER, ONE),
        )
    )


@pytest.mark.parametrize(
    "target",
    ["//admin", "/x/../admin", "/%2561dmin", "/ADMIN", "/./admin", "/x;y/../admin", "\\\\admin", "/%61dmin", "/admin"],
)
async def test_path_that_is_written_otherwise_has_to_pass_the_guard_that_it_would_meet(target: str) -> None:
    router = guarded()
    plain, meant = router.route(asked("a", "/")), router.route(asked("a", "/admin"))
    assert plain is not None
    assert meant is not None
    way = router.route(asked("a", target))
    assert way is not None
    assert set(way.gates) >= set(meant.gates)
    assert way.target is plain.target


async def test_field_that_names_another_path_does_not_get_around_a_rule_s_guard() -> None:
    router = guarded()
    meant = router.route(asked("a", "/admin"))
    named = asked("a", "/")._replace(fields=((b"X-Original-URL", b"/admin"),))
    way = router.route(named)
    assert meant is not None
    assert way is not None
    assert set(way.gates) >= set(meant.gates)


@pytest.mark.parametrize("host", ["APP.example", "app.example.", "App.Example:443"])
async def test_host_that_is_written_otherwise(host: str) -> None:
    router = guarded()
    meant, way = router.route(asked("app.example", "/")), router.route(asked(host, "/"))
    assert meant is not None
    assert way is not None
    assert set(way.gates) >= set(meant.gates)


@pytest.mark.parametrize("target", ["/%" + "25" * 300, "/admin%0a", "/admin%0d%0a", "/admin%C2%85", "/" + "a" * 9000])
async def test_path_that_may_be_anything_is_let_in_nowhere(target: str) -> None:
    way = guarded().route(asked("a", target))
    assert way is not None
    (gate,) = way.gates
    assert isinstance(refusal := gate.judge(asked("a"), None), Refusal)
    assert refusal.status == 403


async def test_path_does_not_matter_to_rules_that_have_none() -> None:
    here = Origin(host="127.0.0.1", port=1)
    routes = (Route(here, hostname="app.example", guard=1), Route(here, guard=0))
    router = Router(Routes(routes, guards=(OPEN, ONE)))
    for target in ("/", "/a%0a", "/" + "a" * 9000):
        way = router.route(asked("a", target))
        assert way == router.route(asked("a", "/"))
        assert router.route(asked("APP.example.", target)) != way, "the host still does"


async def test_plain_path_has_the_guard_of_its_rule_alone() -> None:
    router = guarded()
    for host, target, gates in (
        ("a", "/", 1),
        ("a", "/admin", 1),
        ("app.example", "/x", 1),
        ("app.example", "/admin", 1),
    ):
        way = router.route(asked(host, target))
        assert way is not None
        assert len(way.gates) == gates
