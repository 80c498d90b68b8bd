"""A tunnel over the local edge, ready to be used by a visitor."""

import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.kit.processes import PATIENCE, Process, local_edge, python, supervisor
from tests.kit.udp_proxy import UdpProxy, address_of, joined


class Tunnel:
    """A supervisor, the edge it is registered at, and a client for its public address."""

    def __init__(self, process: Process, edge: dict[str, str], url: str, state: Path) -> None:
        self.process = process
        self.state = state
        self.edge = edge
        self.url = url
        self.host = urllib.parse.urlsplit(url).netloc
        self.visitor = httpx.AsyncClient(base_url=edge["http"], headers={"Host": self.host}, timeout=PATIENCE)
        self.admin = httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE)

    async def log(self) -> list[dict[str, Any]]:
        """What happened at the edge."""
        return list((await self.admin.get("/log")).json())

    async def connections(self) -> list[dict[str, Any]]:
        return list((await self.admin.get("/connections")).json())

    async def totals(self) -> dict[str, int]:
        """What the edge counted."""
        return dict((await self.admin.get("/totals")).json())

    def socket(self, path: str = "/ws", **options: Any) -> connect:
        """A WebSocket to the public address, by way of the front."""
        front = urllib.parse.urlsplit(self.edge["http"])
        return connect(f"ws://{self.host}{path}", host=front.hostname, port=front.port, proxy=None, **options)

    async def open_stream(self, **request: Any) -> dict[str, Any]:
        """Let the edge open a stream on the first connection."""
        connection = (await self.connections())[0]["id"]
        response = await self.admin.post(f"/connections/{connection}/stream", json=request)
        assert response.status_code == 200, response.text
        return dict(response.json())


def tunnel_command(state: Path, *arguments: str | int | Path) -> list[str]:
    """The command line of a tunnel that needs nobody else: its edge is its own, and it shows a page of its own."""
    what = ("--hello-world", "--local-edge", "--json", "--connections", "1")
    return python("actors.supervisor", "--state-dir", state, *what, *arguments)


@contextlib.asynccontextmanager
async def _between(link: UdpProxy | None, edge: str) -> AsyncIterator[str]:
    """Put `link` before the edge; yield what to dial."""
    if link is None:
        yield edge
        return
    link.upstream = address_of(edge)
    async with link:
        yield joined(link.address)


@contextlib.asynccontextmanager
async def tunnel(
    port: int | None,
    state: Path,
    *arguments: str | int | Path,
    connections: int = 1,
    url: str | None = None,
    env: Mapping[str, str] | None = None,
    link: UdpProxy | None = None,
) -> AsyncIterator[Tunnel]:
    """A tunnel to `port` or `url`, with `--json` and all its connections registered. Neither: hello-world, or what a
    file of rules among `arguments` says.

    `link` is what lies between the workers and the edge. It takes UDP only, so that QUIC is all there is then.
    """
    if link is not None:
        arguments = ("--protocol", "quic", *arguments)
    what = ["--port", port] if port is not None else ["--url", url] if url is not None else ["--hello-world"]
    if "--config" in arguments:
        what = []
    async with local_edge() as edge, _between(link, edge["edge"]) as dialled:
        reach = ["--service-url", edge["api"], "--edge", dialled, "--edge-ca", edge["ca"]]
        async with supervisor(
            *what, *reach, "--connections", connections, "--json", *arguments, state=state, env=env
        ) as process:
            registered = await process.event("registered", connections=connections)
            made = Tunnel(process, edge, registered["url"], state)
            async with made.visitor, made.admin:
                yield made
