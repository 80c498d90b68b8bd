"""The tools, with a living tunnel and with none."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.processes import python, running
from tests.kit.tunnel import tunnel

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


async def test_stop_at_once(state: Path) -> None:
    async with tunnel(None, state) as made:
        assert (await run("stop", state, "--now"))[0] == 0
        await made.process.wait()


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
