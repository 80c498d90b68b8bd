"""Tunnels of one's own: an edge that knows one, its token, and as many supervisors (replicas) as a test starts."""

import contextlib
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.kit.processes import PATIENCE, Process, local_edge, supervisor

HOSTNAME = "app.example.com"


class NamedTunnel:
    """A tunnel that an edge knows, and what it takes to run it."""

    def __init__(self, edge: dict[str, str], about: dict[str, str], folder: Path) -> None:
        self.edge = edge
        self.id = about["id"]
        self.hostname = about["hostname"]
        self.token = about["token"]
        self.token_file = folder / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(self.token + "\n")
        self.admin = httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE)
        self.visitor = httpx.AsyncClient(base_url=edge["http"], timeout=PATIENCE)

    @contextlib.asynccontextmanager
    async def replica(
        self, state: Path, *arguments: str | int | Path, connections: int = 2, protocol: str = "quic"
    ) -> AsyncIterator[Process]:
        """A supervisor that runs the tunnel, with all its connections registered."""
        async with self.starting(state, *arguments, connections=connections, protocol=protocol) as process:
            await process.event("registered", connections=connections)
            yield process

    @contextlib.asynccontextmanager
    async def starting(
        self, state: Path, *arguments: str | int | Path, connections: int = 2, protocol: str = "quic"
    ) -> AsyncIterator[Process]:
        """The same, just started."""
        reach = ("--edge", self.edge["edge"], "--edge-ca", self.edge["ca"], "--protocol", protocol)
        what = ("run", "--token-file", self.token_file, "--connections", connections, "--json")
        async with supervisor(*what, *reach, *arguments, state=state) as process:
            yield process

    async def push(self, version: int, config: Any, **options: Any) -> list[dict[str, Any]]:
        """Push a configuration to all connections; what each answers."""
        asked = {"version": version, "config": config, **options}
        response = await self.admin.post(f"/tunnels/{self.id}/push", json=asked)
        assert response.status_code == 200, response.text
        return list(response.json())

    async def change(self, **options: Any) -> None:
        """Set `hostnames` or `remotely_managed`."""
        response = await self.admin.patch(f"/tunnels/{self.id}", json=options)
        assert response.status_code == 200, response.text

    async def connections(self) -> list[dict[str, Any]]:
        return [each for each in (await self.admin.get("/connections")).json() if each["tunnel"] == self.id]

    async def log(self, event: str) -> list[dict[str, Any]]:
        """What of this kind happened at the edge."""
        return [entry for entry in (await self.admin.get("/log")).json() if entry["event"] == event]

    async def get(self, path: str = "/", host: str = HOSTNAME) -> httpx.Response:
        """What a visitor gets who asks for this host."""
        return await self.visitor.get(path, headers={"Host": host})

    @property
    def front(self) -> tuple[str, int]:
        """Host and port of the front."""
        at = urllib.parse.urlsplit(self.edge["http"])
        assert at.hostname is not None
        assert at.port is not None
        return at.hostname, at.port


@contextlib.asynccontextmanager
async def named_tunnel(folder: Path, **settings: Any) -> AsyncIterator[NamedTunnel]:
    """An edge with a named tunnel. `settings`: `hostnames`, `remotely_managed`."""
    async with local_edge() as edge, httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE) as admin:
        made = NamedTunnel(edge, (await admin.post("/tunnels", json=settings)).json(), folder)
        async with made.admin, made.visitor:
            yield made
