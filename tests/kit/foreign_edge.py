"""The edge that others wrote (tests/foreign_edge, Go on quic-go): built once, and put in the place of the local edge.

`pytest --edge foreign` makes every `local_edge()` and `tunnel()` of the tests one of these.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parents[1] / "foreign_edge"

VARIABLE: Final = "TUNNEL_SUPERVISOR_TEST_EDGE"
"""In the environment of the tests: the program that takes the local edge's place."""

BUILD_TIMEOUT: Final = 600.0
"""Seconds: the first build fetches quic-go and compiles TLS and HTTP, on a small machine that does other things too."""


class NoGo(Exception):
    """There is no Go that could build it."""


def build(folder: Path) -> Path:
    """The program, in `folder`; Go's own cache makes every time after the first quick, and offline.

    Raises:
        NoGo: Go is not installed.
        subprocess.CalledProcessError: it is too old, or the module proxy cannot be reached (its words are on stderr).
    """
    if shutil.which("go") is None:
        raise NoGo("Go is not installed (golang-go; go.mod says which version)")
    program = folder / "foreign-edge"
    made = program.with_name(f"foreign-edge-{os.getpid()}")  # several processes of pytest may build at once
    go("build", "-o", str(made), ".")
    made.replace(program)
    return program


def go(*arguments: str) -> None:
    """Run `go` in the sources.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    # Nothing is built with a toolchain that Go would fetch behind our back: .ci/run says what is needed.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
    subprocess.run(["go", *arguments], cwd=SOURCES, env=environment, check=True, timeout=BUILD_TIMEOUT)


def edge_command(*arguments: str) -> list[str]:
    """The command line of what stands for the edge: ours, or the one that was chosen."""
    if (program := os.environ.get(VARIABLE)) is not None:
        return [program, *arguments]
    return [sys.executable, "-P", "-m", "actors.local_edge.cli", *arguments]
