"""What the supervisor process inherits: readable by it, and in no folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from actors.api.handed import handing

READS = "import sys, pathlib; print(*[pathlib.Path(name).read_text() for name in sys.argv[1:]])"


def test_contents_are_read_here_and_then_by_the_process() -> None:
    with handing() as handed:
        names = [handed.add("one"), handed.add("zwei ü")]
        assert [Path(name).read_text(encoding="utf-8") for name in names] == ["one", "zwei ü"]
        handed.rewind()
        command = [sys.executable, "-X", "utf8", "-c", READS, *names]
        said = subprocess.run(command, pass_fds=handed.descriptors, capture_output=True, check=True)
        assert said.stdout.decode() == "one zwei ü\n"
    with pytest.raises(OSError, match="No such file"):
        Path(names[0]).read_text()
