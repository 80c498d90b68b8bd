"""The real service, over the internet: run with `bin/test -m live`, skipped otherwise.

Each run asks Cloudflare for one tunnel. It is rate limited: do not run it in a loop.
"""

from pathlib import Path

import httpx
import pytest

from tests.kit.processes import supervisor

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(180)]


async def test_hello_world_through_cloudflare(state: Path) -> None:
    async with supervisor("--hello-world", "--json", "--timeout", "60", state=state) as process:
        registered = await process.event("registered")
        assert registered["url"].endswith(".trycloudflare.com")
        # The name's record appears with the registration; one that is asked for too early is unknown for half an hour.
        transport = httpx.AsyncHTTPTransport(retries=10)
        async with httpx.AsyncClient(transport=transport, timeout=30) as visitor:
            response = await visitor.get(f"{registered['url']}/uptime")
        assert response.status_code == 200
        assert response.json()["seconds"] > 0
        assert await process.stop() == 0
