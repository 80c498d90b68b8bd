"""Text on streams of any encoding: none of our programs dies of its own words."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from actors.processes.text import ESCAPED
from tests.kit.processes import ROOT, running
from tests.kit.terminal import at_terminal

ENCODINGS: dict[str, Mapping[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "iso-8859-1"},
}

PROGRAMS = [
    "actors.supervisor",
    "actors.local_edge.cli",
    *(f"actors.tools.{name}" for name in ("status", "stop", "events", "metrics", "keys", "doctor", "completion")),
]


@pytest.mark.parametrize("text", ["plain", "…é€ →", "\U0001f600", "\udcc3\udca9"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_stays_json(text: str, encoding: str) -> None:
    line = json.dumps({"text": text}, ensure_ascii=False).encode(encoding, errors=ESCAPED).decode(encoding)
    assert json.loads(line) == {"text": text}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_every_program_says_its_help_and_its_errors(encoding: str, tmp_path: Path) -> None:
    odd = tmp_path / "größe →"
    for module in PROGRAMS:
        for arguments in (["--help"], ["--bogus", "→", odd]):
            command = [sys.executable, "-P", "-m", module, *arguments]
            async with running(command, env=ENCODINGS[encoding], cwd=ROOT) as process:
                status = await process.wait()
            assert status in (0, 1, 2, 3), (module, process.stderr)
            assert "Traceback" not in "\n".join(process.stderr), (module, arguments)
            assert process.stdout or process.stderr


@pytest.mark.slow
async def test_box_and_code_at_a_terminal_of_another_encoding(state: Path) -> None:
    command = [sys.executable, "-P", "-m", "actors.supervisor", "--hello-world", "--local-edge", "--qr"]
    command += ["--connections", "1", "--state-dir", str(state)]
    env = {"PYTHONIOENCODING": "iso-8859-1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    async with at_terminal(command, columns=100, env=env) as screen:
        await screen.until(lambda: any("no QR code" in line for line in screen.lines))
        await screen.until(lambda: any("1/1 connections" in line for line in screen.lines))
    assert any(line.startswith("+---") for line in screen.lines)
    assert screen.process.returncode == 0
    assert b"Traceback" not in screen.raw
