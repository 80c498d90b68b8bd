"""Variables as they were meant."""

import os
import sys

import pytest

from actors.processes.environment import variable
from tests.kit.processes import running


@pytest.mark.parametrize(
    ("environment", "value"),
    [
        ({"NAME": "8080"}, "8080"),
        ({"NAME": " 8080\t"}, "8080"),
        ({"NAME": "8080\r"}, "8080"),
        ({"NAME": "\ufeff8080\r\n"}, "8080"),
        ({"\ufeffNAME": "8080\r"}, "8080"),
        ({"NAME": "a b"}, "a b"),
        ({"NAME": " \r"}, ""),
        ({}, ""),
    ],
)
def test_what_an_editor_left_around_a_value_is_none_of_it(environment: dict[str, str], value: str) -> None:
    assert variable(environment, "NAME") == value


FORGETS = """
import os, subprocess, sys
from actors.processes.environment import forget
forget({"TUNNEL_TOKEN", "NOT_THERE"})
print("TUNNEL_TOKEN" in os.environ, "KEPT" in os.environ, flush=True)
child = subprocess.check_output([sys.executable, "-c", "import os; print(os.environ)"], text=True)
print("hidden-away" in child, flush=True)
if sys.platform == "linux":
    print(b"hidden-away" in open("/proc/self/environ", "rb").read(), flush=True)
"""


async def test_secret_in_a_variable_is_forgotten_by_this_process_and_its_children() -> None:
    variables = {"TUNNEL_TOKEN": "hidden-away", "\ufeffTUNNEL_TOKEN": "hidden-away", "KEPT": "1"}
    async with running([sys.executable, "-c", FORGETS], env={**os.environ, **variables}) as process:
        assert await process.wait() == 0
    assert process.stdout[:2] == ["False True", "False"]
    assert process.stdout[2:] in ([], ["False"])
