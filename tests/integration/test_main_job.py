"""The main job: one command, real processes, a real address on loopback."""

import asyncio
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
import zmq
import zmq.asyncio
from prometheus_client.parser import text_string_to_metric_families

from actors import __version__
from actors.url_file import read_url_file
from tests.kit.processes import ROOT, python, running, supervisor
from tests.kit.queries import ask, snapshot
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def curl(*arguments: str) -> str:
    """Run curl; return what it prints."""
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    async with running([found, "--silent", "--show-error", "--max-time", "20", *arguments]) as process:
        assert await process.wait() == 0, process.stderr
        return "\n".join(process.stdout)


async def test_newcomer_s_command(state: Path) -> None:
    """`bin/tunnel-supervisor --hello-world --local-edge`, its URL given to curl; with the engine that it finds."""
    command: list[str | Path] = [ROOT / "bin" / "tunnel-supervisor", "--hello-world", "--local-edge"]
    asked = {"NEXO_HOME": str(state), "TUNNEL_SUPERVISOR_QUIC_ENGINE": "auto"}
    async with running(command, env=asked) as process:
        url = await process.first_line()
        assert url.startswith("http://")
        assert not url.endswith("/")
        name, port = url.removeprefix("http://").split(".localhost:")
        assert len(name.split("-")) == 4
        assert "It works." in await curl(url)
        assert "It works." in await curl(f"http://127.0.0.1:{port}/")
        assert await curl("--data", "hello", f"{url}/echo") == "hello"
        assert json.loads(await curl(f"{url}/uptime"))["seconds"] > 0
        assert read_url_file(state / "state" / "tunnel.url") == url
        assert await process.stop() == 0
        assert process.stdout == [url]
    assert not (state / "state" / "tunnel.url").exists()
    assert not (state / "state" / "tunnel.json").exists()


async def test_every_process_is_a_descendant_and_says_what_it_is(state: Path) -> None:
    async with supervisor("--hello-world", "--local-edge", "--json", state=state) as process:
        await process.event("registered", connections=2)
        assert "actors.supervisor" in psutil.Process(process.process.pid).cmdline()
        assert len(process.actors("worker")) == 2
        assert len(process.actors("metrics")) == 1
        children = process.descendants()
        assert await process.stop() == 0
    assert not any(child.is_running() for child in children)


async def test_events_and_metrics_for_other_programs(state: Path) -> None:
    async with tunnel(None, state) as made:
        found = json.loads((state / "tunnel.json").read_text())
        assert found["url"] == made.url
        assert found["pid"] == made.process.process.pid
        assert found["version"] == __version__
        context = zmq.asyncio.Context()
        try:
            subscriber = context.socket(zmq.SUB)
            subscriber.connect(found["events_endpoint"])
            subscriber.subscribe("stats")
            assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200
            sequence = []
            while True:
                topic, payload = await subscriber.recv_multipart()
                event: dict[str, Any] = msgspec.msgpack.decode(payload)
                assert topic == b"stats"
                assert event["type"] == "stats"
                assert event["time"] > 1e9
                sequence.append(event["seq"])
                if event["totals"]["bytes_out"] == 1000:
                    break
            assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
            text = (await ask(found["metrics_endpoint"], b"prometheus")).decode()
            told = await snapshot(state)
            assert (await ask(found["metrics_endpoint"], b"what?")).startswith(b"error:")
        finally:
            context.destroy(linger=0)
        samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
        assert samples["tunnel_starts_total"].value == 1
        assert samples["tunnel_streams_total"].value == 1
        assert samples["tunnel_bytes_in_total"].value == 1000
        assert samples["tunnel_bytes_out_total"].value == 1000
        assert samples["tunnel_bytes_out_total"].labels == {"tunnel_id": found["tunnel_id"]}
        assert told["totals"] == {"streams": 1, "bytes_in": 1000, "bytes_out": 1000}


async def test_endpoints_of_one_s_own_and_json_events(state: Path, tmp_path: Path) -> None:
    arguments = ["--events", f"ipc://{tmp_path}/ev", "--metrics", "tcp://127.0.0.1:0", "--events-format", "json"]
    async with tunnel(None, state, *arguments):
        found = json.loads((state / "tunnel.json").read_text())
        assert found["events_endpoint"] == f"ipc://{tmp_path}/ev"
        assert found["metrics_endpoint"].startswith("tcp://127.0.0.1:")
        context = zmq.asyncio.Context()
        try:
            subscriber = context.socket(zmq.SUB)
            subscriber.connect(found["events_endpoint"])
            subscriber.subscribe("")
            _, payload = await subscriber.recv_multipart()
            assert json.loads(payload)["type"] == "stats"
            assert b"tunnel_starts_total 1" in await ask(found["metrics_endpoint"], b"prometheus")
        finally:
            context.destroy(linger=0)


async def test_metrics_actor_that_is_killed_comes_back_at_the_same_place_with_the_same_counts(state: Path) -> None:
    async with tunnel(None, state) as made:
        assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200
        for round_number in range(1, 4):
            (metrics,) = made.process.actors("metrics")
            metrics.kill()
            assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200
            await made.process.event("actor_restarted", actor="metrics", seq=round_number)
            truth = 1000 * (round_number + 1)
            while True:  # a report may still be on its way
                told = await snapshot(state)
                assert told["totals"]["bytes_in"] <= truth
                assert told["starts"] == 1
                if told["totals"]["bytes_in"] == truth:
                    break


async def test_second_instance_fails_at_once_and_says_who_holds_the_folder(state: Path) -> None:
    async with supervisor("--hello-world", "--local-edge", state=state) as first:
        await first.first_line()
        async with supervisor("--hello-world", "--local-edge", state=state) as second:
            assert await second.wait() == 9
            assert f"process {first.process.pid}" in "\n".join(second.stderr)
            assert second.stdout == []
        assert (state / "tunnel.url").exists()


async def test_second_tunnel_without_a_folder_finds_one_and_says_its_name(tmp_path: Path) -> None:
    command = python("actors.supervisor", "--hello-world", "--local-edge", "--connections", 1)
    env = {"NEXO_HOME": str(tmp_path)}
    async with running(command, env=env) as first, running(command, env=env) as second:
        urls = {await first.first_line(), await second.first_line()}
        folders = {tmp_path / "state", tmp_path / "state-2"}
        assert {read_url_file(folder / "tunnel.url") for folder in folders} == urls
        said = "\n".join(first.stderr + second.stderr)
        assert f"another tunnel holds {tmp_path / 'state'}" in said
        assert f"tunnel-status --state-dir {tmp_path / 'state-2'}" in said
        for process in (first, second):
            assert await process.stop() == 0


async def test_start_before_anything_listens_warns_and_goes_on(state: Path, unused_port: int) -> None:
    async with tunnel(unused_port, state) as made:
        assert (await made.process.event("origin_unreachable"))["origin"] == f"localhost:{unused_port}"
        response = await made.visitor.get("/")
        assert response.status_code == 502
        assert f"localhost:{unused_port} (127.0.0.1 and ::1)" in response.text
        assert "connection refused" in response.text


async def test_closed_standard_streams(state: Path) -> None:
    """It works without stdin, and without anybody who reads what it says."""
    command = python("actors.supervisor", "--hello-world", "--local-edge", "--state-dir", state)
    shell = " ".join(f"'{part}'" for part in command)
    async with running(["sh", "-c", f"exec {shell} <&- >&- 2>&-"]) as process:
        while not (state / "tunnel.url").exists():
            assert process.process.returncode is None
            await asyncio.sleep(0.02)  # it says nothing: there is only the file to look for
        url = read_url_file(state / "tunnel.url")
        async with httpx.AsyncClient() as client:
            port = str(url).rsplit(":", 1)[1]
            assert (await client.get(f"http://127.0.0.1:{port}/uptime")).status_code == 200
        assert await process.stop() == 0


async def test_version_and_help_are_answered_at_once(tmp_path: Path) -> None:
    async with running(python("actors.supervisor", "--version"), cwd=tmp_path) as process:
        assert await process.wait() == 0
        assert process.stdout == [f"tunnel-supervisor {__version__}"]
    async with running(python("actors.supervisor"), cwd=tmp_path) as process:
        assert await process.wait() == 2
        assert "--port" in process.stderr[0]
        assert "Traceback" not in "\n".join(process.stderr)


async def test_foreign_actors_folder_does_not_shadow_ours(state: Path, tmp_path: Path) -> None:
    (tmp_path / "actors").mkdir()
    (tmp_path / "actors" / "__init__.py").write_text("raise SystemExit('shadowed')")
    command = python("actors.supervisor", "--hello-world", "--local-edge", "--state-dir", state)
    async with running(command, cwd=tmp_path) as process:
        assert (await process.first_line()).startswith("http://")


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
