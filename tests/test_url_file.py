"""The URL file."""

import os
import stat
from pathlib import Path

import pytest

from actors.url_file import clear_url_file, read_url_file, url_file_path, write_atomically, write_url_file


def test_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEXO_HOME", str(tmp_path))
    assert url_file_path() == tmp_path / "state" / "tunnel.url"
    monkeypatch.delenv("NEXO_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert url_file_path() == Path("/home/somebody/.nexo/state/tunnel.url")


def test_write_read_clear(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tunnel.url"
    assert read_url_file(path) is None
    assert write_url_file("https://a.example", path) == path
    assert read_url_file(path) == "https://a.example"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not clear_url_file("https://other.example", path)
    assert clear_url_file("https://a.example", path)
    assert not clear_url_file("https://a.example", path)
    assert list(path.parent.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tunnel.url"
    write_url_file("https://old.example", path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_url_file("https://new.example", path)
    assert read_url_file(path) == "https://old.example"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tunnel.url"]


def test_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "tunnel.url"
    target.write_text("mine")
    link.symlink_to(target)
    write_atomically(link, b"new", mode=0o600)
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("mine", "new", False)
