"""The tools, with a living tunnel and with none."""

import asyncio
import json
import signal
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.origins import scripted
from tests.kit.processes import python, running
from tests.kit.tunnel import tunnel
from tests.tools.test_status import STATS

pytestmark = pytest.mark.slow


async def run(tool: str, state: Path, *arguments: str | Path) -> tuple[int, list[str], list[str]]:
    return await run_bare(tool, "--state-dir", state, *arguments)


async def run_bare(tool: str, *arguments: str | Path) -> tuple[int, list[str], list[str]]:
    async with running(python(f"actors.tools.{tool}", *arguments)) as process:
        return await process.wait(), process.stdout, process.stderr


@pytest.mark.parametrize("tool", ["status", "stop", "events", "metrics"])
async def test_nothing_runs(tool: str, state: Path) -> None:
    code, stdout, stderr = await run(tool, state)
    assert code == 3
    assert "no tunnel runs in" in "".join(stdout + stderr)


async def test_metrics_events_and_stop(state: Path) -> None:
    async with tunnel(None, state) as made:
        code, stdout, _ = await run("metrics", state)
        assert code == 0
        names = {family.name for family in text_string_to_metric_families("\n".join(stdout) + "\n")}
        assert "tunnel_starts" in names
        code, stdout, _ = await run("metrics", state, "--json")
        assert json.loads(stdout[0])["starts"] in (0, 1)
        follow = python("actors.tools.events", "--state-dir", state, "stats", "stopped")
        async with running(follow) as following:
            assert json.loads(await following.first_line())["type"] == "stats"
            code, stdout, _ = await run("stop", state)
            assert (code, stdout) == (0, [f"stopped {made.url}"])
            assert await made.process.wait() == 0
            assert await following.wait() == 0, "it ends with the tunnel"
            assert json.loads(following.stdout[-1])["type"] == "stopped"


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_stop_at_once(state: Path) -> None:
    """Though a request is in flight that would be waited for."""
    async with (
        scripted(says_nothing) as port,
        tunnel(port, state) as made,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(made.visitor.get("/"))
        await made.process.event("stats", streams_in_flight=1)
        assert (await run("stop", state, "--now"))[0] == 0
        assert await made.process.wait() == 128 + signal.SIGTERM
        waiting.cancel()


async def test_all_events_and_none_that_steers_the_terminal(state: Path) -> None:
    async with tunnel(None, state) as made, running(python("actors.tools.events", "--state-dir", state)) as following:
        assert json.loads(await following.first_line())["type"] == "stats"
        await made.process.stop()
        assert await following.wait() == 0
        kinds = {json.loads(line)["type"] for line in following.stdout}
        assert {"stopping", "unregistered", "state", "stopped"} <= kinds


async def test_publisher_that_is_not_to_be_trusted(tmp_path: Path) -> None:
    """It names a process that is not its own, and has words for the terminal."""
    endpoint = f"ipc://{tmp_path}/events"
    about = msgspec.to_builtins(STATS) | {"url": "http://x\x1b]0;mine\x07", "pid": -1, "type": "stats"}

    async def publish(socket: zmq.asyncio.Socket) -> None:
        while True:
            for payload in (b"{\x1b[2J", b"\xff\xfe", msgspec.msgpack.encode(about)):
                await socket.send_multipart([b"stats", payload])
            await asyncio.sleep(0.05)  # as a publisher does

    context = zmq.asyncio.Context()
    try:
        socket = context.socket(zmq.PUB)
        socket.bind(endpoint)
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(publish(socket))
            async with running(python("actors.tools.events", "--endpoint", endpoint)) as following:
                assert json.loads(await following.first_line())["pid"] == -1
            code, _, stderr = await run_bare("stop", "--endpoint", endpoint)
            assert code == 2
            assert "says that it is process -1" in stderr[0]
            code, stdout, _ = await run_bare("status", "--endpoint", endpoint)
            assert code == 0
            assert "\x1b" not in "".join(stdout)
            publishing.cancel()
    finally:
        context.destroy(linger=0)


async def test_unknown_type_of_event(state: Path) -> None:
    code, _, stderr = await run("events", state, "earthquake")
    assert code == 2
    assert "there are actor_restarted, assigned" in stderr[0]


async def test_tunnel_is_found_by_its_endpoints_too(state: Path) -> None:
    async with tunnel(None, state) as made:
        about = json.loads((state / "tunnel.json").read_text())
        events, metrics = ("--endpoint", about["events_endpoint"]), ("--endpoint", about["metrics_endpoint"])
        code, stdout, _ = await run_bare("status", *events)
        assert code == 0
        assert stdout[0] == made.url
        assert (await run_bare("metrics", *metrics, "--json"))[0] == 0
        code, _, stderr = await run_bare("stop", "--endpoint", "tcp://127.0.0.1:1")
        assert code == 2
        assert "on its own machine" in stderr[0]
        watch = python("actors.tools.status", "--watch", *events)
        async with running(watch) as watching:
            assert await watching.first_line() == made.url
            code, stdout, _ = await run_bare("stop", *events)
            assert (code, stdout) == (0, [f"stopped {made.url}"])
            await made.process.wait()
            assert await watching.wait() == 4
            assert watching.stdout.count(made.url) >= 1
            assert watching.stdout[-1].startswith("nothing is heard from ipc://")


async def test_watch_ends_with_the_tunnel(state: Path) -> None:
    watch = python("actors.tools.status", "--watch", "--json", "--state-dir", state)
    async with tunnel(None, state) as made, running(watch) as watching:
        assert json.loads(await watching.first_line())["status"] == "serves"
        assert await made.process.stop() == 0
        assert await watching.wait() == 3
        assert json.loads(watching.stdout[-1])["stats"] is None
