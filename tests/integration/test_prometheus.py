"""A real Prometheus scrapes a living tunnel: what it stores is what happened, and dashboard and alerts work on it."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.kit.operations import FOLDER, block, expressions, filled
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow

REQUESTS = 7

NOTHING_YET = {"Actor restarts (timeseries) A", "Starts and stops (timeseries) B", "Supervisor started"}
"""What draws no line as long as nothing of the kind has happened."""


class Prometheus:
    """Its HTTP API."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self._api = api

    async def get(self, path: str, **parameters: str) -> Any:
        response = await self._api.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def values(self, query: str) -> list[float]:
        """What an expression is now, of every series."""
        return [float(series["value"][1]) for series in (await self.get("/query", query=query))["result"]]

    async def until(self, query: str, value: float | None = None) -> None:
        """Wait until an expression has one series of that value, or any at all."""
        async with asyncio.timeout(PATIENCE):
            while (now := await self.values(query)) != [value] and not (now and value is None):
                await asyncio.sleep(0.1)  # there is no event to wait for: it scrapes when it scrapes


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """A Prometheus with the configuration that docs/operations shows, but for the target, and faster."""
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    config = yaml.safe_load(block("yaml"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(FOLDER / "alerts.yml", folder)
    where = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    async with running([found, *where, "--web.listen-address=127.0.0.1:0", "--log.format=json"]) as process:
        address = (await process.logged('"Listening on"'))["address"]
        await process.logged("Server is ready")
        async with httpx.AsyncClient(base_url=f"http://{address}/api/v1", timeout=PATIENCE) as api:
            yield Prometheus(api)


async def test_what_prometheus_stores_is_what_happened(state: Path, tmp_path: Path) -> None:
    async with tunnel(None, state, "--metrics-http", "127.0.0.1:0") as made:
        address = (await made.process.logged("metrics over HTTP"))["address"]
        target = address.removeprefix("http://").removesuffix("/metrics")
        async with prometheus(tmp_path, target) as told:
            await told.until("tunnel_connections", 1)
            for _ in range(REQUESTS):
                assert (await made.visitor.get("/uptime")).status_code == 200
            await told.until("tunnel_streams_total", REQUESTS)
            await told.until('tunnel_requests_total{status="2xx"}', REQUESTS)
            assert await told.values("tunnel_request_first_byte_seconds_count") == [REQUESTS]
            assert await told.values('up{job="tunnel-supervisor"}') == [1]
            (scraped,) = (await told.get("/targets"))["activeTargets"]
            assert scraped["lastError"] == ""
            kinds = await told.get("/metadata")
            assert kinds["tunnel_streams_total"][0]["type"] == "counter"
            assert kinds["tunnel_request_duration_seconds"][0]["type"] == "histogram"
            for name, expression in expressions().items():
                if name in NOTHING_YET:
                    await told.values(filled(expression, "10s"))
                else:
                    await told.until(filled(expression, "10s"))
            assert await told.values('ALERTS{alertstate="firing"}') == []
            assert await made.process.stop() == 0
            await told.until("up", 0)
            await told.until('ALERTS{alertname="TunnelTargetDown", alertstate="pending"}', 1)
            (group,) = (await told.get("/rules"))["groups"]
            assert {rule["health"] for rule in group["rules"]} == {"ok"}, group
