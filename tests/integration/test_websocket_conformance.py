"""WebSocket conformance: the Autobahn cases directly and through the tunnel, verdicts equal case by case."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.kit.processes import running
from tests.kit.tunnel import tunnel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEFT_OUT = ("9.*", "12.*", "13.*")
"""Cases that measure speed with messages of megabytes, and compression at the same sizes."""


FAULT_AFTER_MESSAGE = ("3.", "4.")
"""Cases with a good message, then reserved bits or opcodes. A server that reads both at once may fail before it echoes
(NON-STRICT, which passes), one that reads them one by one echoes first (OK): that is the server's timing."""


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def verdicts(address: str, folder: Path) -> dict[str, Any]:
    """Run the cases against a server; return what was found, by case."""
    command = [str(Path(sys.executable).with_name("kosoku")), "-m", "fuzzingclient", "-o", str(folder), "-p", "4"]
    for case in LEFT_OUT:
        command += ["-x", case]
    async with running([*command, address]) as process:
        async with asyncio.timeout(500):
            await process.process.wait()
    (cases,) = json.loads((folder / "index.json").read_text()).values()
    return {
        name: (_behavior(name, case), case["behaviorClose"], case["remoteCloseCode"]) for name, case in cases.items()
    }


def _behavior(name: str, case: dict[str, Any]) -> str:
    told = str(case["behavior"])
    return "OK" if told == "NON-STRICT" and name.startswith(FAULT_AFTER_MESSAGE) else told


async def test_cases_have_the_same_verdict_through_the_tunnel(state: Path, tmp_path: Path) -> None:
    logger = logging.getLogger("websockets.of.this.test")  # it logs a traceback for each case that must fail
    logger.disabled = True
    async with serve(echo, "127.0.0.1", 0, max_size=None, logger=logger) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with tunnel(port, state) as made:
            direct = await verdicts(f"127.0.0.1:{port}", tmp_path / "direct")
            tunnelled = await verdicts(made.edge["http"].removeprefix("http://"), tmp_path / "tunnelled")
    assert len(direct) > 240
    assert tunnelled == direct
