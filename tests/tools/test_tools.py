"""The tools, with a living tunnel and with none."""

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.processes import python, running
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def run(tool: str, state: Path, *arguments: str) -> tuple[int, list[str], list[str]]:
    async with running(python(f"actors.tools.{tool}", "--state-dir", state, *arguments)) as process:
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
