"""The edge of the benchmarks: the local edge's API and QUIC server, and loads that are begun by lines on stdin.

A process of its own, so that its processor time is not the client's: `python -m benchmarks.edge ENGINE API_DELAY`.
It prints its endpoints, then a line of JSON for each line of JSON that it reads.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from actors.local_edge.api import make_api
from actors.local_edge.certificates import make_certificates
from actors.local_edge.edge import PROBE_NAME, EdgeRegistry, EdgeSession
from actors.local_edge.engines import edge_engines
from actors.local_edge.quic_link import SERVER_NAME, QuicLink
from actors.local_edge.quic_server import QuicServer
from actors.local_edge.registry import Registry
from actors.processes import event_loop, log
from actors.web.pages import Answer, Asked, Handler, Pages, serving
from benchmarks import load


class Edge:
    """What the lines on stdin can ask for."""

    def __init__(self, registry: EdgeRegistry) -> None:
        self._registry = registry
        self._held: list[load.Held] = []

    @property
    def _sessions(self) -> list[EdgeSession]:
        return [connection.session for connection in self._registry.connections()]

    async def registered(self, connections: int, after: float) -> dict[str, Any]:
        """Wait for so many connections; when the last one came, on the monotonic clock."""
        while sum(entry["event"] == "registered" for entry in self._registry.log) < connections:
            await asyncio.sleep(0.001)
        return {"at": time.monotonic() - after}

    async def requests(self, at_once: int, seconds: float) -> dict[str, Any]:
        return (await load.requests(self._sessions, at_once, seconds, "/small"))._asdict()

    async def download(self, streams: int, size: int) -> dict[str, Any]:
        return (await load.download(self._sessions, streams, size))._asdict()

    async def upload(self, streams: int, size: int) -> dict[str, Any]:
        return (await load.upload(self._sessions, streams, size))._asdict()

    async def mixed(self, size: int, at_once: int) -> dict[str, Any]:
        return (await load.mixed(self._sessions[0], size, at_once))._asdict()

    async def hold(self, count: int, sockets: bool) -> dict[str, Any]:
        held = load.Held(self._sessions, sockets=sockets)
        self._held.append(held)
        await held.open(count)
        return {}

    async def echo(self, rounds: int) -> dict[str, Any]:
        return (await self._held[-1].echo(rounds))._asdict()

    async def release(self) -> dict[str, Any]:
        for held in self._held:
            await held.close()
        self._held.clear()
        return {}


def _delayed(handler: Handler, delay: float) -> Handler:
    async def delayed(asked: Asked) -> Answer:
        await asyncio.sleep(delay)
        return await handler(asked)

    return delayed


async def main(api_delay: float) -> None:
    log.configure(level="error", as_json=True, actor="edge")
    registry: EdgeRegistry = Registry()
    certificates = make_certificates((SERVER_NAME, PROBE_NAME))
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="benchmark-edge-") as folder:
        authority = Path(folder) / "ca.pem"
        authority.write_bytes(certificates.authority_pem)
        server = QuicServer(
            ("127.0.0.1", 0),
            edge_engines(certificates, (SERVER_NAME, PROBE_NAME)),
            make_session=lambda connection: QuicLink(connection, registry),
        )
        api = make_api(registry, "localhost:1")
        slow = Pages(route._replace(handler=_delayed(route.handler, api_delay)) for route in api.routes)
        async with serving(slow, "127.0.0.1", 0, stop_timeout=0.0) as (_, port):
            endpoints = {
                "api": f"http://127.0.0.1:{port}",
                "edge": f"127.0.0.1:{server.address[1]}",
                "ca": str(authority),
                "pid": os.getpid(),
            }
            print(json.dumps(endpoints), flush=True)
            edge = Edge(registry)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                order = json.loads(line)
                cpu, wall = time.process_time(), time.perf_counter()
                try:
                    answer = await getattr(edge, order.pop("do"))(**order)
                except Exception as error:  # the run goes on; the table says so
                    answer = {"failed": repr(error)}
                answer["edge_share"] = (time.process_time() - cpu) / max(time.perf_counter() - wall, 1e-9)
                print(json.dumps(answer), flush=True)
        server.close()


if __name__ == "__main__":
    event_loop.run(main(float(sys.argv[1])))
