"""Flags of the Go client in a file of rules."""

import pytest

from actors.ingress.local_file import FLAGS
from actors.supervisor import go_flags
from actors.supervisor.flags import make_parser
from actors.supervisor.go_flags import translate


def test_names_that_differ_and_values_that_do() -> None:
    said, passed_over = translate(
        {"loglevel": "warn", "ha-connections": "3", "unix-socket": "/run/a.sock", "pidfile": "/x"}, has_rules=False
    )
    assert said == {
        "log-level": ("loglevel", "warning"),
        "connections": ("ha-connections", "3"),
        "url": ("unix-socket", "unix:/run/a.sock"),
    }
    assert passed_over == ["pidfile"]


def test_what_says_where_requests_go_means_nothing_beside_rules() -> None:
    flags = {"url": "http://localhost:1", "hello-world": "true", "protocol": "http2"}
    assert translate(flags, has_rules=True) == ({"protocol": ("protocol", "http2")}, ["url", "hello-world"])
    assert not translate(flags, has_rules=False).passed_over


@pytest.mark.parametrize(("text", "seconds"), [("30s", "30"), ("1m30s", "90"), ("2m", "120"), ("1h", "1h"), ("5", "5")])
def test_grace_period_is_a_duration(text: str, seconds: str) -> None:
    assert translate({"grace-period": text}, has_rules=True).said == {"grace-period": ("grace-period", seconds)}


def test_flags_of_both_sides_are_there() -> None:
    assert set(go_flags._OURS) <= FLAGS
    assert {f"--{name}" for name in go_flags._OURS.values()} <= make_parser()._option_string_actions.keys()
