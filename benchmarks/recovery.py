"""How long it takes until the tunnel serves again: `.venv/bin/python benchmarks/recovery.py [ROUNDS]`.

Each fault is done to a tunnel of one connection over the local edge, with and without a spare worker in turn, and the
time is taken from the fault to the event that ends it. Prints a table in Markdown.
"""

import asyncio
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from actors.supervisor.slots import HEALTHY_AFTER
from tests.kit.processes import local_edge, supervisor
from tests.kit.queries import ask
from tests.kit.tunnel import Tunnel, tunnel

Fault = Callable[[Tunnel], Awaitable[float]]


async def latest(made: Tunnel, kind: str, since: int, **fields: Any) -> float:
    """The time of the next event of a kind."""

    def found() -> float | None:
        for event in made.process.events()[since:]:
            if event["type"] == kind and all(event[name] == value for name, value in fields.items()):
                return float(event["time"])
        return None

    return float(await made.process.until(found))


async def kill_worker(made: Tunnel) -> float:
    since, (worker,) = len(made.process.events()), made.process.actors("worker")
    began = time.time()
    worker.kill()
    return await latest(made, "registered", since) - began


async def close_connection(made: Tunnel) -> float:
    since, connection = len(made.process.events()), (await made.connections())[0]["id"]
    began = time.time()
    await made.admin.post(f"/connections/{connection}/drop", json={})
    return await latest(made, "registered", since) - began


async def silence_connection(made: Tunnel) -> float:
    since, connection = len(made.process.events()), (await made.connections())[0]["id"]
    began = time.time()
    await made.admin.post(f"/connections/{connection}/drop", json={"silent": True})
    return await latest(made, "registered", since) - began


async def stop_worker(made: Tunnel) -> float:
    since, (worker,) = len(made.process.events()), made.process.actors("worker")
    began = time.time()
    worker.suspend()
    return await latest(made, "registered", since) - began


async def kill_metrics(made: Tunnel) -> float:
    (metrics,) = made.process.actors("metrics")
    endpoint = json.loads((made.state / "tunnel.json").read_text())["metrics_endpoint"]
    began = time.time()
    metrics.kill()
    await ask(endpoint, b"prometheus")  # it gives no answer before it knows what was counted
    return time.time() - began


FAULTS: dict[str, Fault] = {
    "kill -9 of the only worker → registered": kill_worker,
    "connection closed by the edge → registered": close_connection,
    "edge falls silent → registered (5 s of it the idle timeout)": silence_connection,
    "worker stopped by a signal → registered (3.5 s of it missed heartbeats)": stop_worker,
    "kill -9 of the metrics actor → answers again": kill_metrics,
}


async def healthy(made: Tunnel) -> None:
    """So that the next loss is that of a healthy connection, and its spare is up."""
    since = len(made.process.events())
    await made.process.until(
        lambda: sum(event["type"] == "stats" for event in made.process.events()[since:]) > HEALTHY_AFTER + 1
    )


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[dict[str, Tunnel]]:
    """A tunnel with a spare and one without."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            tunnel(None, Path(folder) / "with") as warm,
            tunnel(None, Path(folder) / "without", "--no-spare") as cold,
        ):
            yield {"spare": warm, "no spare": cold}


async def starts_and_stops(rounds: int) -> dict[str, list[float]]:
    """From the command to the URL, and from TERM to the end, over a local edge in the same command."""
    times: dict[str, list[float]] = {"start → URL on stdout (with --local-edge)": [], "TERM → end, idle": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.time()
            async with supervisor("--hello-world", "--local-edge", state=Path(folder)) as process:
                await process.first_line()
                times["start → URL on stdout (with --local-edge)"].append(time.time() - began)
                await process.until(lambda: any('"connections": 2' in line for line in process.stderr))
                began = time.time()
                assert await process.stop() == 0
                times["TERM → end, idle"].append(time.time() - began)
    return times


async def supervisors_killed(rounds: int) -> dict[str, list[float]]:
    """From kill -9 of the supervisor, which is started again at once, to a visitor's answer at the same address."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with local_edge() as edge, httpx.AsyncClient(base_url=edge["http"], timeout=0.25) as visitor:
            reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
            url, began = "", 0.0
            for killed in range(rounds + 1):
                async with supervisor("--hello-world", "--json", "--keep", *reach, state=Path(folder) / "s") as process:
                    while killed and not await _is_served(visitor, url):
                        await asyncio.sleep(0.02)
                    times += [time.time() - began] if killed else []
                    url = (await process.event("registered", connections=2))["url"]
                    began = time.time()
                    process.send(signal.SIGKILL if killed < rounds else signal.SIGTERM)
                    await process.wait()
    return {"kill -9 of the supervisor, started again with --keep → a visitor is served": times}


async def _is_served(visitor: httpx.AsyncClient, url: str) -> bool:
    """Whether a visitor gets an answer now; one who was sent to a dead connection does not wait for it."""
    with contextlib.suppress(httpx.HTTPError):
        return (await visitor.get("/uptime", headers={"Host": urllib.parse.urlsplit(url).netloc})).status_code == 200
    return False


def row(name: str, times: list[float]) -> str:
    return f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} | {len(times)} |"


async def main(rounds: int) -> None:
    print("| what | median s | least | most | rounds |\n|---|---|---|---|---|")
    for name, fault in FAULTS.items():
        times: dict[str, list[float]] = {"spare": [], "no spare": []}
        async with both() as made:
            for _ in range(rounds):
                for kind, one in made.items():
                    await healthy(one)
                    times[kind].append(await fault(one))
        for kind, taken in times.items():
            print(row(f"{name}, {kind}", taken), flush=True)
    for name, taken in {**await supervisors_killed(rounds), **await starts_and_stops(rounds)}.items():
        print(row(name, taken), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
