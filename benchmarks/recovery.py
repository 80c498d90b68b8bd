"""How long it takes until the tunnel serves again: `.venv/bin/python benchmarks/recovery.py [ROUNDS]`.

Each fault is done to a tunnel of one connection over the local edge, with and without a spare worker in turn, and the
time is taken from the fault to the event that ends it. Prints a table in Markdown.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from actors.supervisor.slots import HEALTHY_AFTER
from tests.kit.processes import supervisor
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
    for name, taken in (await starts_and_stops(rounds)).items():
        print(row(name, taken), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
