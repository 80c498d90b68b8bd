"""Metrics and readiness over HTTP, with a living tunnel."""

import asyncio
import uuid
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.bus.addresses import HostPort
from actors.metrics import http
from tests.kit.processes import PATIENCE, Process, supervisor
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def address(process: Process) -> str:
    return str((await process.logged("metrics over HTTP"))["address"]).removesuffix("/metrics")


async def test_endpoints_in_the_forms_of_the_go_client(state: Path) -> None:
    async with tunnel(None, state, "--metrics-http", "127.0.0.1:0", connections=2) as made:
        base = await address(made.process)
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as client:
            metrics = await client.get("/metrics")
            assert metrics.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "tunnel_starts" in {family.name for family in text_string_to_metric_families(metrics.text)}
            await made.process.until(lambda: made.process.events()[-1]["type"] == "stats")
            while (ready := await client.get("/ready")).json()["readyConnections"] < 2:
                assert ready.status_code in (200, 503)
            assert ready.status_code == 200
            assert ready.json()["status"] == 200
            assert uuid.UUID(ready.json()["connectorId"])
            assert (await client.get("/healthcheck")).text == "OK\n"
            assert (await client.get("/quicktunnel")).json() == {"hostname": made.host}
            assert (await client.get("/secret")).status_code == 404
            await made.admin.post("/rules", json={"answer": "retry", "times": 99})
            for entry in await made.connections():
                await made.admin.post(f"/connections/{entry['id']}/drop", json={})
            await made.process.event("state", state="down")
            while (ready := await client.get("/ready")).status_code != 503:
                assert ready.json()["status"] == 200
            assert ready.json()["readyConnections"] == 0
            await made.admin.delete("/rules")
            (metrics_actor,) = made.process.actors("metrics")
            metrics_actor.kill()
            await made.process.event("actor_restarted", actor="metrics")
        again = httpx.AsyncHTTPTransport(retries=10)  # until it listens
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE, transport=again) as client:
            assert (await client.get("/healthcheck")).text == "OK\n", "at the same address"
        assert await made.process.stop() == 0


async def test_address_that_is_taken_is_explained(state: Path, tmp_path: Path) -> None:
    async with supervisor("--hello-world", "--local-edge", "--metrics-http", "127.0.0.1:0", state=state) as first:
        taken = (await address(first)).removeprefix("http://")
        arguments = ["--hello-world", "--local-edge", "--metrics-http", taken]
        async with supervisor(*arguments, state=tmp_path / "other") as second:
            assert await second.wait() == 10
            assert f"cannot bind --metrics-http {taken}" in "\n".join(second.stderr)
        assert await first.stop() == 0


async def test_supervisor_that_says_nothing_is_noticed_and_counters_wait_until_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readiness = http.Readiness()
    known: list[str] = []
    pages = http.make_pages(lambda: known[0] if known else None, readiness, "id")
    async with (
        http.serving(pages, HostPort("127.0.0.1", 0)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as client,
    ):
        assert (await client.get("/healthcheck")).status_code == 200
        assert (await client.get("/metrics")).status_code == 503
        known.append("tunnel_starts_total 1\n")
        assert (await client.get("/metrics")).text == known[0]
        now = asyncio.get_running_loop().time()
        monkeypatch.setattr(readiness, "_begun", now - http.SILENT - 1)
        assert (await client.get("/healthcheck")).status_code == 503
        assert (await client.get("/ready")).status_code == 503
