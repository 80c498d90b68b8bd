"""The document of all flags, and their completion."""

import shutil
from pathlib import Path

import pytest

from actors.tools import metrics_reference
from actors.tools.completion import ALL_PARSERS, SHELLS
from actors.tools.reference import markdown
from tests.kit.processes import python, running

ROOT = Path(__file__).parents[2]

TRIALS = {
    "bash": "source {script}; COMP_WORDS=(tunnel-supervisor --conn) COMP_CWORD=1; _shtab_tunnel_supervisor; "
    "echo ${{COMPREPLY[@]}}",
    "zsh": 'autoload -U compinit; compinit -u -D; eval "$(cat {script})"; functions $_comps[tunnel-supervisor]; '
    "print $_shtab_tunnel_supervisor_options",
    "fish": "source {script}; complete --do-complete 'tunnel-supervisor --conn'",
}
"""What shows that the completion is there, and knows a flag."""

NO_STARTUP_FILES = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}


def test_document_is_what_the_parsers_say() -> None:
    again = "run .venv/bin/python -m actors.tools.reference > docs/cli.md"
    assert (ROOT / "docs" / "cli.md").read_text() == markdown(), again


def test_document_of_metrics_is_what_is_rendered() -> None:
    again = "run .venv/bin/python -m actors.tools.metrics_reference > docs/metrics.md"
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_reference.markdown(), again


def test_every_program_is_in_it() -> None:
    programs = {path.name for path in (ROOT / "bin").glob("tunnel-*")} | {"local-edge"}
    assert {make().prog for make in ALL_PARSERS} == programs


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
async def test_completion(shell: str, tmp_path: Path) -> None:
    async with running(python("actors.tools.completion", shell)) as process:
        assert await process.wait() == 0
        script = tmp_path / f"completion.{shell}"
        script.write_text("\n".join(process.stdout))
    for make in ALL_PARSERS:
        parser = make()
        assert parser.prog in script.read_text()
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    ask = TRIALS[shell].format(script=script)
    async with running([program, *NO_STARTUP_FILES[shell], "-c", ask]) as process:
        assert await process.wait() == 0
        assert process.stderr == []
        assert "--connections" in "".join(process.stdout)
