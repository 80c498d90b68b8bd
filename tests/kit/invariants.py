"""What must hold after any fault: see the matrix in docs/survival.md.

I1 nothing lost      each test says what its requests must have got
I2 counters          never go down; in the end they are the edge's own, but for what a killed worker had not reported
I3 no orphans        no process, no file, no socket outlives the supervisor (processes and run folders: conftest.py)
I4 bounded           descriptors and threads of the actors come back to where they were
I5 no secret         the tunnel's secret is nowhere to be read
I6 recovery          each test says which events must come
"""

import base64
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

from tests.kit.tunnel import Tunnel, tunnel


def _never_down(values: list[int]) -> bool:
    return all(earlier <= later for earlier, later in itertools.pairwise(values))


def counters_never_go_down(events: list[dict[str, Any]]) -> None:
    """I2, as the `stats` of one tunnel tell it."""
    stats = [event for event in events if event["type"] == "stats" and event["tunnel_id"]]
    for tunnel_id in {event["tunnel_id"] for event in stats}:
        of_it = [event for event in stats if event["tunnel_id"] == tunnel_id]
        for name in ("streams", "bytes_in", "bytes_out"):
            assert _never_down([event["totals"][name] for event in of_it]), f"{name} went down"
        assert _never_down([event["reconnects"] for event in of_it]), "reconnects went down"


def processes(made: Tunnel) -> list[psutil.Process]:
    """The supervisor and all actors."""
    return [psutil.Process(made.process.process.pid), *made.process.descendants()]


def visible_to_others(made: Tunnel) -> list[str]:
    """What other processes can read of ours: command lines and environments."""
    told = []
    for process in processes(made):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            told += [*process.cmdline(), *process.environ().values()]
    return told


def no_secret(secrets: list[bytes], told: list[str]) -> None:
    """I5."""
    everything = "\n".join(told)
    for secret in secrets:
        for form in (secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]):
            assert form not in everything


async def until_bounded(made: Tunnel, process: psutil.Process, descriptors: int, threads: int) -> None:
    """I4: wait until a process has no more of either than it had before, or two."""
    await made.process.until(lambda: process.num_fds() <= descriptors + 2 and process.num_threads() <= threads + 2)


@contextlib.asynccontextmanager
async def trial(
    port: int | None,
    state: Path,
    *arguments: str | int | Path,
    connections: int = 1,
    lost: bool = False,
    **options: Any,
) -> AsyncIterator[Tunnel]:
    """A tunnel to do harm to. At the end it is stopped, and all that must hold whatever happened is asserted.

    `lost`: a worker is killed, so that its last quarter of a second may be missing from the counters.
    """
    async with tunnel(port, state, *arguments, connections=connections, **options) as made:
        supervisor = psutil.Process(made.process.process.pid)
        descriptors, threads = supervisor.num_fds(), supervisor.num_threads()
        yield made
        told = []
        if made.process.process.returncode is None:
            told += visible_to_others(made)
            await until_bounded(made, supervisor, descriptors, threads)
            ledger = await made.totals()
            assert await made.process.stop() == 0
            (stopped,) = [event for event in made.process.events() if event["type"] == "stopped"]
            for name, value in ledger.items():
                counted = stopped["totals"][name]
                assert counted == value or (lost and counted < value), f"{name}: {counted} of {value}"
        secrets = [bytes.fromhex(entry["secret"]) for entry in (await made.admin.get("/tunnels")).json()]
        told += [*made.process.stdout, *made.process.stderr]
        told += [path.read_text(errors="replace") for path in state.iterdir()]
        no_secret(secrets, told)
        counters_never_go_down(made.process.events())
        assert {path.name for path in state.iterdir()} <= {"tunnel.lock"}
        assert not [line for line in made.process.stderr if "Traceback" in line or "internal fault" in line]
