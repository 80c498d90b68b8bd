"""Asking the API again, where that can help."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from actors.bus import events
from actors.bus.messages import (
    Credentials,
    EdgeAddress,
    Proxy,
    Transport,
)
from actors.bus.routes import Origin
from actors.errors import ApiRejected, ApiServerError, DiscoveryError, RateLimited
from actors.processes import log
from actors.processes.tasks import Tasks
from actors.supervisor import discovery, start
from actors.supervisor.proxies import ProxyRules
from actors.supervisor.rate_limit import MIN_WAIT, RateLimitMemory
from actors.supervisor.settings import Settings
from actors.supervisor.start import (
    API_TRIES,
    RATE_LIMIT_TRIES,
    TunnelSource,
    ask_ahead,
    find_edges,
    obtain_credentials,
)
from actors.supervisor.token import OwnTunnel
from tests.kit.origins import answer, read_head, scripted
from tests.supervisor.test_provisioning import body
from tests.supervisor.test_token import OF_IT


class Api:
    """Answers what a test says, and a tunnel after that."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests = 0
        self.slept: list[float] = []
        self.said: list[events.Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        self.requests += 1
        writer.write(self.answers.pop(0) if self.answers else answer(body()))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def obtain(self, folder: Path) -> str:
        async with scripted(self.serve) as port:
            credentials = await obtain_credentials(
                f"http://127.0.0.1:{port}",
                "tests/1.0",
                RateLimitMemory(folder, SERVICE),
                self.said.append,
                log.configure(level="error", as_json=True),
                rng=random.Random(1),
                sleep=self.sleep,
            )
        return credentials.url


SERVICE = "https://api.example"
LIMITED = answer(b"error code: 1015", "429 Too Many Requests")


async def test_rate_limit_waits_a_minute_or_longer_and_says_so(tmp_path: Path) -> None:
    api = Api(LIMITED, answer(status="429 Too Many Requests", Retry_After="300"))
    assert await api.obtain(tmp_path) == "https://a-b-c-d.trycloudflare.com"
    assert api.slept == [MIN_WAIT, 300.0]
    assert [type(event) for event in api.said] == [events.RateLimited] * 2
    assert not list(tmp_path.iterdir())


async def test_rate_limit_ends_the_start_after_five_tries(tmp_path: Path) -> None:
    api = Api(*[LIMITED] * 9)
    with pytest.raises(RateLimited, match="5 times") as caught:
        await api.obtain(tmp_path)
    assert caught.value.retry_after == MIN_WAIT
    assert api.requests == RATE_LIMIT_TRIES
    assert len(api.slept) == RATE_LIMIT_TRIES - 1


async def test_rate_limit_is_remembered_across_restarts(tmp_path: Path) -> None:
    await asyncio.to_thread(RateLimitMemory(tmp_path, SERVICE).refused, time.time(), 0.0)
    api = Api()
    await api.obtain(tmp_path)
    (waited,) = api.slept
    assert MIN_WAIT - 5 < waited <= MIN_WAIT


async def test_server_errors_are_tried_again_with_jitter(tmp_path: Path) -> None:
    api = Api(answer(status="500 Oh"), answer(status="503 Oh"))
    await api.obtain(tmp_path)
    assert 0.5 <= api.slept[0] <= 1.0
    assert 1.0 <= api.slept[1] <= 2.0


async def test_server_errors_end_in_the_last_one(tmp_path: Path) -> None:
    api = Api(*[answer(status="502 Bad Gateway")] * 9)
    with pytest.raises(ApiServerError):
        await api.obtain(tmp_path)
    assert api.requests == API_TRIES


async def test_refusal_is_final(tmp_path: Path) -> None:
    api = Api(answer(status="403 Forbidden"))
    with pytest.raises(ApiRejected):
        await api.obtain(tmp_path)
    assert (api.requests, api.slept) == (1, [])


def test_memory_of_a_clock_that_was_wrong_is_ignored(tmp_path: Path) -> None:
    memory = RateLimitMemory(tmp_path, SERVICE)
    other = RateLimitMemory(tmp_path, "http://127.0.0.1:1")
    assert memory.seconds_left(1000.0) == 0.0
    memory.refused(10_000_000.0, 0.0)
    assert memory.seconds_left(10_000_000.0) == MIN_WAIT
    assert other.seconds_left(10_000_000.0) == 0.0
    assert memory.seconds_left(1000.0) == 0.0
    assert memory.seconds_left(10_000_000.0 + MIN_WAIT) == 0.0
    (tmp_path / "rate-limited.json").write_bytes(b"\xff{")
    assert memory.seconds_left(0.0) == 0.0


async def test_given_edges_need_no_lookup() -> None:
    found = await find_edges((("192.0.2.1", 1), ("2001:db8::1", 2)), "auto")
    assert [(edge.host, edge.port) for edge in found] == [("192.0.2.1", 1), ("2001:db8::1", 2)]
    assert await find_edges((("localhost", 7844),), "4")


PROXY = ProxyRules(Proxy("127.0.0.1", 3128))


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, False),
        ({"proxies": PROXY}, True),
        ({"proxies": PROXY, "protocol": "quic"}, False),
        ({"proxies": PROXY, "transport": Transport(post_quantum=True)}, False),
        ({"proxies": PROXY, "edges": (("nowhere.invalid", 7844),)}, False),
    ],
    ids=str,
)
async def test_where_no_resolver_knows_the_edge_a_proxy_may(
    settings: dict[str, Any], found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> list[EdgeAddress]:
        raise DiscoveryError("no resolver knows it")

    monkeypatch.setattr(start, "find_edges", unknown)
    told: list[Credentials] = []
    async with scripted(Api().serve) as port:
        asked = Settings(Origin(host="localhost", port=1), service_url=f"http://127.0.0.1:{port}", **settings)
        source = TunnelSource(asked, tmp_path, None, lambda event: None, log.configure(level="error", as_json=True))
        if not found:
            with pytest.raises(DiscoveryError):
                await source.obtain(told.append)
            return
        edges = await source.obtain(told.append)
        assert [edge.host for edge in edges] == list(discovery.EDGE_NAMES)
        assert all(edge.is_name for edge in edges)
        assert [address.host for address in await source.proxy_addresses(edges)] == ["127.0.0.1"]
    assert len(told) == 1


async def test_first_request_that_nobody_waits_for_any_more_is_no_fault(tmp_path: Path) -> None:
    """A stop ended the wait for it, and its answer comes all the same."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go_on.wait()
        writer.write(answer(body()))

    faults: list[BaseException] = []
    tasks = Tasks(faults.append)
    async with scripted(api) as port:
        url = f"http://127.0.0.1:{port}"
        first = ask_ahead(url, "tests/1.0", RateLimitMemory(tmp_path, SERVICE), tasks)
        assert first is not None
        await asked.wait()
        first.cancel()
        (asking,) = tasks._tasks
        go_on.set()
        await asyncio.wait((asking,))
        assert asking.exception() is None
    assert faults == []


def unexpected(what: object) -> None:
    pytest.fail(f"nothing was to be told: {what!r}")


async def test_tunnel_of_one_s_own_asks_no_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it asks DNS for the edge of its region."""
    asked = []

    async def discover(ip_version: str, *, service: str) -> list[EdgeAddress]:
        asked.append(service)
        return [EdgeAddress(host="192.0.2.1", port=7844)]

    monkeypatch.setattr(discovery, "discover", discover)
    logger = log.configure(level="error", as_json=True)
    for region, service in (
        ("", "_v2-origintunneld._tcp.argotunnel.com"),
        ("us", "_us-v2-origintunneld._tcp.argotunnel.com"),
    ):
        settings = Settings(None, tunnel=OwnTunnel(OF_IT), region=region, service_url="http://127.0.0.1:9")
        source = TunnelSource(settings, tmp_path, None, unexpected, logger)
        source.ask_ahead(Tasks(unexpected))
        assigned: list[Credentials] = []
        assert [edge.host for edge in await source.obtain(assigned.append)] == ["192.0.2.1"]
        assert assigned == [OF_IT]
        assert not source.names_are_public
        assert source.service == asked.pop() == service


def test_regions_have_names_of_their_own() -> None:
    assert [edge.host for edge in discovery.by_name("us")] == [
        "us-region1.v2.argotunnel.com",
        "us-region2.v2.argotunnel.com",
    ]
