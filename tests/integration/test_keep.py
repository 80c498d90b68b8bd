"""With --keep: a tunnel that outlives its supervisor, at the local edge and at the one that others wrote."""

import contextlib
import json
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from actors.supervisor.state_folder import KEPT_FILE_NAME
from tests.kit import foreign_edge
from tests.kit.processes import PATIENCE, Process, local_edge, python, running, supervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(foreign_edge.BUILD_TIMEOUT)]  # a first build takes its time


@pytest.fixture(params=["local", "foreign"], autouse=True)
def both(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(foreign_edge.VARIABLE, raising=False)
        if request.param == "foreign":
            environment.setenv(foreign_edge.VARIABLE, str(request.getfixturevalue("foreign_program")))
        yield


class Edge:
    """An edge that outlives supervisors, and what can be asked of it."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        self.endpoints = endpoints
        self.admin = httpx.AsyncClient(base_url=endpoints["admin"], timeout=PATIENCE)
        self.front = httpx.AsyncClient(base_url=endpoints["http"], timeout=PATIENCE)

    async def tunnels(self) -> int:
        """How many the API gave."""
        return sum(entry["event"] == "created" for entry in (await self.admin.get("/log")).json())

    async def connections(self) -> list[dict[str, Any]]:
        return list((await self.admin.get("/connections")).json())

    async def drop(self, process: Process) -> None:
        """Forget the tunnel, as the service does."""
        tunnel_id = (await process.event("registered"))["tunnel_id"]
        response = await self.admin.delete(f"/tunnels/{tunnel_id}")
        assert response.status_code == 200, response.text

    def keeping(
        self, state: Path, *arguments: str, connections: int = 1, keep: bool = True
    ) -> contextlib.AbstractAsyncContextManager[Process]:
        """A supervisor that keeps its tunnel."""
        reach = ["--service-url", self.endpoints["api"], "--edge", self.endpoints["edge"]]
        reach += ["--edge-ca", self.endpoints["ca"], "--connections", str(connections), "--json"]
        return supervisor("--hello-world", *reach, *(["--keep"] if keep else []), *arguments, state=state)


@pytest.fixture
async def lasting() -> AsyncIterator[Edge]:
    async with local_edge() as endpoints:
        made = Edge(endpoints)
        async with made.admin, made.front:
            yield made


async def serving(process: Process, connections: int = 1) -> str:
    """The URL of a tunnel that is up."""
    return str((await process.event("registered", connections=connections))["url"])


async def answers(lasting: Edge, url: str) -> bool:
    return (await lasting.front.get("/uptime", headers={"Host": urlsplit(url).netloc})).status_code == 200


def logged(process: Process, text: str) -> bool:
    return any(text in line for line in process.stderr)


async def test_url_serves_again_after_kill_9(lasting: Edge, state: Path) -> None:
    """As systemd does it with Restart=always: started again and again, for as long as it is killed.

    The edge learns nothing of the end, and would hold the dead connections for seconds; no visitor is sent to one once
    the tunnel is registered again.
    """
    urls: set[str] = set()
    for _ in range(3):
        async with lasting.keeping(state, connections=2) as process:
            url = await serving(process, connections=2)
            urls.add(url)
            registered = await lasting.connections()
            assert len(registered) == 2, "the dead ones are gone"
            for _ in range(20):
                assert await answers(lasting, url)
            kept = state / KEPT_FILE_NAME
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            secret = json.loads(kept.read_text())["secret"]
            assert not logged(process, secret)
            assert not any(secret in line for line in process.stdout)
            assert await process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert len(urls) == 1
    assert await lasting.tunnels() == 1, "the API was asked once"
    async with lasting.keeping(state) as process:  # it removes what the killed ones left
        assert {await serving(process)} == urls
        assert await process.stop() == 0
    assert {path.name for path in state.iterdir()} == {"tunnel.lock", KEPT_FILE_NAME}


async def test_orderly_stop_keeps_it_and_forget_does_not(lasting: Edge, state: Path) -> None:
    async with lasting.keeping(state) as process:
        url = await serving(process)
        async with running(python("actors.tools.stop", "--state-dir", state)) as stopping:
            assert await stopping.wait() == 0
        assert await process.wait() == 0
    async with lasting.keeping(state) as process:
        assert await serving(process) == url
        assert not [event for event in process.events() if event["type"] == "url_changed"]
        async with running(python("actors.tools.stop", "--state-dir", state, "--forget")) as stopping:
            assert await stopping.wait() == 0
            assert stopping.stdout == [f"stopped {url}"]
        assert await process.wait() == 0
        assert not (state / KEPT_FILE_NAME).exists()
    async with lasting.keeping(state) as process:
        assert await serving(process) != url
        assert await process.stop() == 0
    forget = python("actors.tools.stop", "--state-dir", state, "--forget")
    for status, word in ((0, "is forgotten"), (3, "no tunnel runs")):
        async with running(forget) as stopping:
            assert await stopping.wait() == status
            assert word in "".join(stopping.stdout + stopping.stderr)


async def test_forget_needs_the_folder(state: Path) -> None:
    async with running(python("actors.tools.stop", "--forget", "--endpoint", "ipc:///nowhere")) as stopping:
        assert await stopping.wait() == 2
        assert "--state-dir" in stopping.stderr[0]


async def test_tunnel_that_the_edge_forgot_is_replaced_and_said(lasting: Edge, state: Path) -> None:
    async with lasting.keeping(state) as process:
        old = await serving(process)
        await process.stop(signal.SIGKILL)
        await lasting.drop(process)
    async with lasting.keeping(state, connections=2) as process:
        changed = await process.event("url_changed")
        assert changed["previous_url"] == old
        assert changed["url"] == await serving(process, connections=2) != old
        assert "no such tunnel" in changed["cause"]
        assert logged(process, "the URL changed")
        assert await answers(lasting, changed["url"])
        assert (state / "tunnel.url").read_text().strip() == changed["url"]
        assert await process.stop() == 0
    async with lasting.keeping(state) as process:
        assert await serving(process) == changed["url"], "the new one is kept in its place"
        assert await process.stop() == 0


async def test_renewed_tunnel_takes_the_place_of_the_kept_one(lasting: Edge, state: Path) -> None:
    async with lasting.keeping(state, "--renew") as process:
        old = await serving(process)
        await lasting.drop(process)
        changed = await process.event("url_changed")
        await process.event("registered", url=changed["url"])
        assert changed["url"] != old
        await process.stop(signal.SIGKILL)
    async with lasting.keeping(state) as process:
        assert await serving(process) == changed["url"]
        assert await process.stop() == 0


async def test_tunnel_that_was_dropped_without_renew_is_not_tried_again(lasting: Edge, state: Path) -> None:
    async with lasting.keeping(state) as process:
        await serving(process)
        await lasting.drop(process)
        assert await process.wait() == 7
    assert not (state / KEPT_FILE_NAME).exists()


@pytest.mark.parametrize(
    ("fields", "cause"),
    [({"url": "nonsense"}, "broken"), ({"service_url": "https://other.example"}, "other.example")],
    ids=["broken", "of another service"],
)
async def test_kept_tunnel_of_no_use_is_said(lasting: Edge, state: Path, fields: dict[str, str], cause: str) -> None:
    async with lasting.keeping(state) as process:
        old = await serving(process)
        assert await process.stop() == 0
    path = state / KEPT_FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    async with lasting.keeping(state) as process:
        assert cause in (await process.logged("of no use"))["cause"]
        assert await serving(process) != old
        assert await process.stop() == 0


async def test_two_supervisors_never_share_it(lasting: Edge, state: Path) -> None:
    async with lasting.keeping(state) as first:
        url = await serving(first)
        async with lasting.keeping(state) as second:
            assert await second.wait() == 9
        async with lasting.keeping(state, keep=False) as third:
            assert await third.wait() == 9
        assert len(await lasting.connections()) == 1
        assert await answers(lasting, url)
        assert await first.stop() == 0


async def test_folder_that_others_may_use_is_refused(lasting: Edge, state: Path) -> None:
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    async with lasting.keeping(state) as process:
        assert await process.wait() == 10
        assert logged(process, "chmod 700")
    assert await lasting.tunnels() == 0
    assert not (state / KEPT_FILE_NAME).exists()
    async with lasting.keeping(state, keep=False) as process:
        await serving(process)
        assert await process.stop() == 0
    assert not (state / KEPT_FILE_NAME).exists(), "without --keep no secret is written"


async def test_without_a_word_from_the_edge_it_stays_kept(lasting: Edge, state: Path) -> None:
    """This machine is offline, say: the tunnel is there when it is online again."""
    async with lasting.keeping(state) as process:
        url = await serving(process)
        assert await process.stop() == 0
    nowhere = Edge(lasting.endpoints | {"edge": "127.0.0.1:9"})
    async with nowhere.admin, nowhere.front, nowhere.keeping(state, "--timeout", "2") as process:
        assert await process.wait() == 6
    async with lasting.keeping(state) as process:
        assert await serving(process) == url
        assert await process.stop() == 0
    assert await lasting.tunnels() == 1
