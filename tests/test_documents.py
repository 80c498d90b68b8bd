"""What the documents show works: every block of Python runs, every command and every link exists."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from actors.supervisor.cli import read_settings
from tests.kit.processes import ROOT, running
from tests.kit.tunnel import tunnel

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
BLOCKS = [
    (f"{path.name}-{number}", language, text)
    for path in DOCUMENTS
    if path.exists()
    for number, (language, text) in enumerate(re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(), re.M | re.S))
]


def blocks(language: str) -> list[object]:
    return [pytest.param(text, id=name) for name, kind, text in BLOCKS if kind == language]


def offline(text: str) -> str:
    """The same over the local edge, since there is no internet here."""
    text = re.sub(r"(?<!def )TunnelManager\((\d+)\)", r"TunnelManager(\1).with_local_edge()", text)
    local = r"Tunnel(__import__('actors').TunnelManager(\1).with_local_edge())"
    return re.sub(r"(?<!\w)Tunnel\((\d+)\)", local, text)


CALLS = {
    "def lifespan(app)": """
import asyncio
async def served():
    async with lifespan(None):
        pass
asyncio.run(served())
""",
    "def test_webhook(tunnel)": "print('a test: see test_pytest_plugin.py')",
}
"""What is done with a block that only defines something."""


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("python"))
async def test_python_runs_beside_a_tunnel_and_says_something(text: str, tmp_path: Path) -> None:
    program = offline(text) + "".join(call for defined, call in CALLS.items() if defined in text)
    state = tmp_path / ".nexo" / "state"
    async with (
        tunnel(None, state),
        running([sys.executable, "-u", "-c", program], env={"HOME": str(tmp_path)}, cwd=ROOT) as process,
    ):
        assert await process.first_line()
        if "while True" not in text:
            assert await process.wait() == 0
        assert "Traceback" not in "\n".join(process.stderr)


@pytest.mark.parametrize("text", blocks("sh"))
def test_commands_exist_and_take_their_flags(text: str) -> None:
    for line in text.strip().splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert (ROOT / program).is_file(), line
        if program == "bin/tunnel-supervisor":
            read_settings(arguments, {})


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text() if path.exists() else ""):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_program_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    internal = {"setup-venv", "setup_venv.py"}
    for path in (ROOT / "bin").iterdir():
        assert path.name in internal or f"bin/{path.name}" in readme, path.name
