"""The package is changed on disk while a tunnel runs from it: the tunnel stays up, under the same URL."""

import asyncio
import contextlib
import os
import shutil
import sys
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from actors.quic_worker.ends import WorkerEnd
from tests.kit.processes import PATIENCE, ROOT, Process, local_edge, running
from tests.kit.queries import snapshot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere all children are executed"),
]


class Installed:
    """The package in a folder of its own beside all that it needs, as an installer would put it there."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site-packages"
        self.site.mkdir()
        environment = next(Path(path) for path in sys.path if path.endswith("site-packages"))
        for found in environment.iterdir():
            if found.suffix != ".pth":
                (self.site / found.name).symlink_to(found)
        self.actors = self.site / "actors"
        self._copy()

    def _copy(self) -> None:
        shutil.copytree(ROOT / "actors", self.actors, ignore=shutil.ignore_patterns("__pycache__"))

    def upgrade(self, file: str, before: str, after: str) -> None:
        """Install the next version: every file is new, and one of them says something else."""
        shutil.rmtree(self.actors)
        self._copy()
        about = self.actors / "__init__.py"
        about.write_text(about.read_text().replace('__version__: Final = "', '__version__: Final = "9.'))
        changed = self.actors / file
        text = changed.read_text()
        assert before in text
        changed.write_text(text.replace(before, after))

    def half(self) -> None:
        """An installer at work: some files are gone, some are not whole."""
        for index, file in enumerate(sorted(self.actors.rglob("*.py"))):
            if index % 3 == 0:
                file.unlink()
            elif index % 3 == 1:
                file.write_text("def broken(:\n")

    def vanish(self) -> None:
        """`pipx upgrade`: the whole environment goes, and another one comes."""
        self.site.rename(self.site.with_name("gone"))


class Running:
    """A supervisor that runs from there."""

    def __init__(self, process: Process, url: str, visitor: httpx.AsyncClient) -> None:
        self.process = process
        self.url = url
        self.visitor = visitor

    async def survives(self, generation: int) -> None:
        """Its worker is killed, and another one takes over under the same URL."""
        (worker,) = self.process.actors("worker")
        worker.kill()
        again = await self.process.event("registered", generation=generation)
        assert again["url"] == self.url
        assert (await self.visitor.get("/uptime")).status_code == 200


@contextlib.asynccontextmanager
async def tunnel_from(installed: Installed, state: Path, *arguments: str) -> AsyncIterator[Running]:
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(installed.site))))
    interpreter: str = getattr(sys, "_base_executable", sys.executable)
    async with local_edge() as edge:
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"]]
        what = ["--hello-world", "--state-dir", str(state), "--json", "--connections", "1", *reach, *arguments]
        command = [interpreter, "-P", "-m", "actors.supervisor", *what]
        async with running(command, env={"PYTHONPATH": path}, cwd=state.parent) as process:
            url = (await process.event("registered"))["url"]
            headers = {"Host": urllib.parse.urlsplit(url).netloc}
            async with httpx.AsyncClient(base_url=edge["http"], headers=headers, timeout=PATIENCE) as visitor:
                yield Running(process, url, visitor)


def adds_a_field(installed: Installed) -> None:
    installed.upgrade("bus/messages.py", "    log_requests: bool\n", "    log_requests: bool\n    more: int\n")


def changes_the_schema(installed: Installed) -> None:
    installed.upgrade("bus/messages.py", "SCHEMA_VERSION: Final = 1", "SCHEMA_VERSION: Final = 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (adds_a_field, "was replaced (now version 9."),
        (changes_the_schema, "was replaced (now version 9."),
        (Installed.half, "is gone from"),
        (Installed.vanish, "is gone from"),
    ],
    ids=["a field more", "another schema", "half of it", "nothing left"],
)
async def test_tunnel_outlives_an_upgrade_of_its_package(
    state: Path, tmp_path: Path, change: Callable[[Installed], None], said: str
) -> None:
    installed = Installed(tmp_path)
    async with tunnel_from(installed, state) as made:
        await made.process.until(lambda: made.process.actors("spare"))
        change(installed)
        for generation in (2, 3):  # the spare that was there before, and the one that comes after
            await made.survives(generation)
            await made.process.until(lambda: made.process.actors("spare"))
        (metrics,) = made.process.actors("metrics")
        metrics.kill()
        await made.process.event("actor_restarted", actor="metrics")
        async with asyncio.timeout(PATIENCE):  # a worker reports four times a second
            while not (await snapshot(state))["totals"]["streams"]:
                continue
        line = await made.process.logged("this tunnel goes on with version")
        assert said in line["event"]
        ends = [event["reason"] for event in made.process.events() if event["type"] == "connection_ended"]
        assert ends == [WorkerEnd.CRASHED] * 2, "killed by the test, and by nobody else"
        assert not [line for line in made.process.stderr if "Traceback" in line]


async def test_without_a_nursery_children_of_a_version_that_can_join_do(state: Path, tmp_path: Path) -> None:
    """Nothing but the files as they are is left to start children from; a field more has a default."""
    installed = Installed(tmp_path)
    async with tunnel_from(installed, state, "--no-spare") as made:
        end_nursery(made.process)
        last = "    transport: Transport\n"
        installed.upgrade("bus/messages.py", last, f"{last}    more: int = 1\n")
        await made.survives(2)


async def test_child_that_cannot_join_says_so_and_the_other_connections_stay(state: Path, tmp_path: Path) -> None:
    installed = Installed(tmp_path)
    more = ("--no-spare", "--connections", "2", "--max-reconnect-attempts", "2")
    async with tunnel_from(installed, state, *more) as made:
        await made.process.event("registered", connections=2)
        end_nursery(made.process)
        changes_the_schema(installed)
        made.process.actors("worker")[0].kill()
        lost = await made.process.event("connection_ended", reason="other_version", failures=2)
        assert "the package was changed under this tunnel" in lost["message"]
        async with asyncio.timeout(PATIENCE):  # for some seconds the edge takes the killed one for alive
            while (await made.visitor.get("/uptime")).status_code != 200:
                continue
        made.process.actors("worker")[0].kill()
        gave_up = await made.process.event("permanent_failure")
        assert "Start again: the tunnel then runs the new code" in gave_up["message"]
        assert await made.process.wait() == 8


def end_nursery(process: Process) -> None:
    (nursery,) = process.actors("nursery")
    nursery.kill()
    psutil.wait_procs([nursery], timeout=0)
