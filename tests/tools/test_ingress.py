"""tunnel-ingress: what it says of files and URLs, and its exit codes."""

import sys
from pathlib import Path

import pytest

from actors.tools import ingress
from tests.kit.processes import python, running

RULES = """\
tunnel: mine
ingress:
  - hostname: "*.b.example"
    path: ^/api/
    service: http://localhost:1
  - hostname: a.example
    service: hello_world
  - service: http_status:404
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(RULES)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["tunnel-ingress", *map(str, arguments)])
    return ingress.main()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://x.b.example/api/1?y", "rule #1 (line 3): hostname *.b.example, path ^/api/ → http://localhost:1"),
        ("https://x.b.example/%61pi/", "rule #1 (line 3): hostname *.b.example, path ^/api/ → http://localhost:1"),
        ("http://a.example:8443", "rule #2 (line 6): hostname a.example → hello_world"),
        ("https://who@A.example/", "rule #3 (line 8): everything → http_status:404"),
    ],
)
def test_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path, url: str, told: str
) -> None:
    assert run(monkeypatch, "rule", file, url) == 0
    assert capsys.readouterr().out.strip() == told


def test_no_rule(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("tunnel: mine\n")
    assert run(monkeypatch, "rule", file, "https://a.example") == 1
    assert "no rule" in capsys.readouterr().out


def test_valid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text(RULES + "logDirectory: /x\nno-autoupdate: true\n")
    assert run(monkeypatch, "validate", file) == 0
    told = capsys.readouterr()
    assert told.out == f"{file}: 3 rules, valid\n"
    assert told.err == f"tunnel-ingress: {file}: logDirectory (line 9) means nothing here, and is passed over\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ingress:\n  - service: http://h/x\n", "line 2: rule #1: http://h/x is an invalid address"),
        ("ingress: [{service: 'http://h', originRequest: {http2Origin: true}}]", "line 1: Rule #1: http2Origin"),
        ("ingress: [{service: 'http://h', originRequest: {caPool: /nonexistent}}]", "no such file or directory"),
        ("ingress: [", ": line "),
        ("ingress: [{service: 'http://h', guard: {auth-file: /nonexistent}}]", "rule #1: guard: --auth-file"),
        ("ingress: [{service: 'http://h', guard: {expires: 8h}}]", "line 1: guard: 'expires' is none of its settings"),
    ],
)
@pytest.mark.parametrize("command", [("validate",), ("rule", "https://a.example")])
def test_not_valid(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: Path,
    text: str,
    words: str,
    command: tuple[str, ...],
) -> None:
    file.write_text(text)
    assert run(monkeypatch, command[0], file, *command[1:]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{file}: ")
    assert words in told


def test_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    assert run(monkeypatch, "validate", file) == 1
    assert "no text in UTF-8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("validate", "/nonexistent.yml"), "cannot read /nonexistent.yml: No such file"),
        (("rule", "x.yml"), "rule takes a file and a URL"),
        (("validate", "x.yml", "https://a.example"), "validate a file alone"),
        (("rule", "x.yml", "a.example"), "is no http:// or https:// URL"),
        (("rule", "x.yml", "http://[::1"), "is no http:// or https:// URL"),
    ],
)
def test_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
async def test_as_a_program(file: Path) -> None:
    async with running(python("actors.tools.ingress", "rule", file, "https://a.example/")) as process:
        assert await process.wait() == 0
        assert process.stderr == []
        assert "hello_world" in process.stdout[0]
