"""Rules that the edge pushes, before both edges and over both ways to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import foreign_edge
from tests.kit.named import HOSTNAME, NamedTunnel, named_tunnel
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT),  # a first build takes its time
    pytest.mark.usefixtures("each_edge"),
    pytest.mark.parametrize("protocol", ["quic", "http2"]),
]

NOT_THE_LAST = "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)"


def rules(*, app: int, other: int = 404) -> dict[str, Any]:
    """Rules that answer with a status: `app` for `HOSTNAME`, and `other` for the rest."""
    return {
        "ingress": [
            {"hostname": HOSTNAME, "service": f"http_status:{app}"},
            {"service": f"http_status:{other}"},
        ],
        "warp-routing": {},
    }


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[NamedTunnel]:
    async with named_tunnel(tmp_path, remotely_managed=True) as made:
        yield made


@contextlib.asynccontextmanager
async def said(text: bytes) -> AsyncIterator[int]:
    """An origin that says so."""

    async def serve(reader: Any, writer: Any) -> None:
        while True:
            await read_head(reader)
            writer.write(answer(text))

    async with scripted(serve) as port:
        yield port


async def statuses(own: NamedTunnel, host: str = HOSTNAME) -> set[int]:
    """What visitors get, over every connection."""
    return {(await own.get(host=host)).status_code for _ in range(2 * len(await own.connections()))}


async def test_local_rules_are_not_replaced(own: NamedTunnel, state: Path, protocol: str) -> None:
    """The edge is told that they are; a push is answered with why it changes nothing."""
    async with said(b"mine") as port, own.replica(state, "--port", port, protocol=protocol):
        for version in (0, 5):
            answers = await own.push(version, rules(app=201))
            assert [each["protocol"] for each in answers] == [protocol, protocol]
            assert all("locally" in each["err"] for each in answers), answers
        assert (await own.get()).text == "mine"
    registered = await own.log("registered")
    assert not any("allow_remote_config" in entry["features"] for entry in registered)
    assert await own.log("configuration") == [], "the tunnel is managed remotely: nobody wants to know of local rules"


async def test_edge_is_told_of_local_rules(own: NamedTunnel, state: Path, protocol: str) -> None:
    await own.change(remotely_managed=False)
    async with said(b"mine") as port, own.replica(state, "--port", port, protocol=protocol):
        for host in (HOSTNAME, own.hostname):
            assert (await own.get(host=host)).text == "mine"
        assert any(f":{port}" in entry["config"] for entry in await own.log("configuration"))


async def test_pushed_rules_are_in_force_on_all_connections(own: NamedTunnel, state: Path, protocol: str) -> None:
    """Whichever connection they come by; older and equal versions are acknowledged without being looked at."""
    async with own.replica(state, protocol=protocol) as process:
        assert await statuses(own) == {503}, "there are no rules yet"
        first, second = await own.connections()
        (told,) = await own.push(3, rules(app=201), connection=first["id"])
        assert (told["latestAppliedVersion"], told["err"], told["index"]) == (3, "", first["index"])
        async with asyncio.timeout(PATIENCE):
            while await statuses(own) != {201}:  # the other worker has been told too, and may be slower to hear it
                pass
        assert await statuses(own, "other.example") == {404}
        for version in (3, 0, -7):
            (told,) = await own.push(version, "no JSON at all" if protocol == "quic" else [], connection=second["id"])
            assert (told["latestAppliedVersion"], told["err"]) == (3, "")
        assert await statuses(own) == {201}
        applied = await process.event("configuration_applied", version=3)
        assert (applied["rules"], applied["hostnames"]) == (2, [HOSTNAME])
        answers = await own.push(5, "null", waits=True)
        assert {(each["latestAppliedVersion"], each["err"]) for each in answers} == {(5, "")}
        assert await statuses(own) == {503}, "null means no rules"
    assert all("allow_remote_config" in entry["features"] for entry in await own.log("registered"))


async def test_invalid_rules_change_nothing(own: NamedTunnel, state: Path, protocol: str) -> None:
    """The text of what is wrong goes back, and the same number can be pushed again."""
    async with own.replica(state, protocol=protocol):
        await own.push(1, rules(app=201))
        broken = {"ingress": [{"hostname": HOSTNAME, "service": "http_status:202"}]}
        for told in await own.push(2, broken):
            assert (told["latestAppliedVersion"], told["err"]) == (1, NOT_THE_LAST)
        assert await statuses(own) == {201}
        for told in await own.push(2, rules(app=202)):
            assert (told["latestAppliedVersion"], told["err"]) == (2, "")
        assert await statuses(own) == {202}


async def test_what_is_in_flight_keeps_its_rule(own: NamedTunnel, state: Path, protocol: str) -> None:
    async with said(b"one") as one, said(b"two") as two, own.replica(state, protocol=protocol):
        await own.push(1, {"ingress": [{"service": f"http://127.0.0.1:{one}"}]})
        assert (await own.get()).text == "one"
        async with own.visitor.stream("POST", "/", headers={"Host": HOSTNAME}, content=b"x") as response:
            await own.push(2, {"ingress": [{"service": f"http://127.0.0.1:{two}"}]})
            assert await response.aread() == b"one"
        assert (await own.get()).text == "two"


async def test_requests_that_come_before_the_first_rules_wait_for_them(
    own: NamedTunnel, state: Path, protocol: str
) -> None:
    """A fresh replica is sent requests as soon as it is registered, which is before the edge has pushed its rules."""
    async with own.replica(state, protocol=protocol):
        async with asyncio.TaskGroup() as group:
            early = [group.create_task(own.get(f"/{number}")) for number in range(20)]
            await own.push(1, rules(app=201))
        assert {answer.result().status_code for answer in early} == {201}


async def test_tunnel_without_rules_says_so_after_a_while(own: NamedTunnel, state: Path, protocol: str) -> None:
    async with own.replica(state, protocol=protocol):
        assert await statuses(own) == {503}


async def test_later_connections_and_a_later_start_have_the_last_rules(
    own: NamedTunnel, state: Path, protocol: str
) -> None:
    """A connection that is lost and made anew, and a supervisor that was stopped: nothing is pushed again."""
    async with own.replica(state, protocol=protocol) as process:
        await own.push(7, rules(app=201))
        for held in await own.connections():
            await own.admin.post(f"/connections/{held['id']}/drop", json={})
        await process.until(lambda: len([e for e in process.events() if e["type"] == "registered"]) >= 4)
        assert await statuses(own) == {201}
    async with own.replica(state, protocol=protocol):
        assert await statuses(own) == {201}
        for told in await own.push(2, rules(app=202)):
            assert (told["latestAppliedVersion"], told["err"]) == (2, ""), "no version is too old for a new start"
        assert await statuses(own) == {202}
