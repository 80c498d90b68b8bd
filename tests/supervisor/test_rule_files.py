"""Files that rules name."""

import os
from pathlib import Path

import pytest

from actors.supervisor.rule_files import MAX_ROOTS_BYTES, check_roots


def test_a_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("x")
    check_roots(str(tmp_path / "roots.pem"))


def test_what_is_none_is_said_and_keeps_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", MAX_ROOTS_BYTES + 1)
    for path, why in (("pipe", "is no file"), ("huge", "has more than"), (".", "is no file"), ("none", "No such file")):
        with pytest.raises(OSError, match=why):
            check_roots(str(tmp_path / path))
