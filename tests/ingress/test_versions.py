"""Versions: what is newer and valid is applied, and nothing else changes anything."""

import json
from typing import Any

import pytest

from actors.bus.routes import Origin
from actors.ingress import patterns
from actors.ingress.allowed import EVERYTHING
from actors.ingress.match import Table
from actors.ingress.versions import Answer, Applied, apply
from tests.ingress.golden import GOLDEN

RULE = b'{"ingress":[{"service":"http_status:404"}]}'


def push(present: Applied, version: int, data: bytes) -> tuple[Applied, Answer]:
    return apply(present, version, data, hello_world=None, allowed=EVERYTHING)


def test_golden_pushes_one_after_the_other() -> None:
    present = Applied()
    for each in GOLDEN["pushes"]:
        present, answer = push(present, each["version"], json.dumps(each["config"]).encode())
        assert answer == Answer(each["latestAppliedVersion"], each["err"])
    present, answer = push(present, 3, b"null")
    assert answer == Answer(GOLDEN["null_configuration"]["latestAppliedVersion"], GOLDEN["null_configuration"]["err"])
    assert present.routes.routes == ()


@pytest.mark.parametrize("name", ["applied", "null", "refused"])
def test_golden_calls_of_go(name: str) -> None:
    call: dict[str, Any] = GOLDEN["go_rpc"][name]
    before = Applied(call["answer"]["latestAppliedVersion"] - (not call["answer"]["err"]))
    _, answer = push(before, call["version"], call["config"].encode())
    assert answer == Answer(call["answer"]["latestAppliedVersion"], call["answer"]["err"])


@pytest.mark.parametrize("version", [7, 6, 0, -1, -(2**31)])
def test_what_is_not_newer_is_not_even_parsed(version: int) -> None:
    present, _ = push(Applied(), 7, RULE)
    assert push(present, version, b"\xff rubbish") == (present, Answer(7))


def test_the_first_version_may_be_0_and_gaps_are_fine() -> None:
    present, answer = push(Applied(), 0, RULE)
    assert (present.version, answer) == (0, Answer(0))
    present, answer = push(present, 2**31 - 1, b"{}")
    assert (present.version, present.routes.version, answer) == (2**31 - 1, 2**31 - 1, Answer(2**31 - 1))


def test_the_same_number_can_come_again_after_it_was_refused() -> None:
    present, _ = push(Applied(), 1, RULE)
    after, answer = push(present, 2, b"{")
    assert after is present
    assert answer == Answer(1, "unexpected end of JSON input")
    after, answer = push(after, 2, b"{}")
    assert (after.version, answer) == (2, Answer(2))


def test_what_is_not_allowed_changes_nothing() -> None:
    present, _ = push(Applied(), 1, RULE)
    after, answer = push(present, 2, b'{"ingress":[{"service":"hello_world"}]}')
    assert after is present
    assert answer.version == 1
    assert "hello_world" in answer.error
    data = b'{"ingress":[{"service":"hello_world"}]}'
    after, _ = apply(present, 2, data, hello_world=Origin(host="127.0.0.1", port=5), allowed=EVERYTHING)
    assert after.routes.routes[0].destination == Origin(host="127.0.0.1", port=5)


def test_a_new_version_compiles_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = patterns._compile

    def counting(text: str) -> Any:
        compiled.append(text)
        return real(text)

    monkeypatch.setattr(patterns, "_compile", counting)
    present = Applied()
    for version in range(5):
        rules = [{"path": path, "service": "http_status:200"} for path in ("^/stays", "^/stays", f"^/{version}")]
        data = json.dumps({"ingress": [*rules, {"service": "http_status:404"}]}).encode()
        present, answer = push(present, version, data)
        assert answer == Answer(version)
    assert compiled == ["^/stays", "^/0", "^/1", "^/2", "^/3", "^/4"]
    assert Table(present.routes.routes).find(b"a", b"/4") == 2
    assert len(compiled) == 6
