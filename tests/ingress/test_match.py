"""Which rule a request meets: golden data, a naive matcher beside it, and what a lookup costs."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from actors.bus.routes import Route, Status
from actors.ingress.match import Table, without_port

GOLDEN: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "named-tunnels-golden.json").read_text()
)


def rule(hostname: str = "", path: str = "", punycode: str = "") -> Route:
    return Route(Status(200), hostname, punycode, path)


HOSTNAMES: Final = {
    201: rule("exact.example"),
    202: rule("*.wild.example"),
    203: rule("path.example", "^/api/"),
    204: rule("path.example", r"\.(jpg|png)$"),
    205: rule("path.example", "find"),
    206: rule("path.example"),
    207: rule("", "^/only-path/"),
    208: rule("bücher.example", punycode="xn--bcher-kva.example"),
    209: rule("*.bücher.example"),
    210: rule("UPPER.example", punycode="upper.example"),
    211: rule("q.example", "^/star$"),
    212: rule("order.example"),
    213: rule("order.example"),
    214: rule("q.example", "^/a b$"),
    215: rule("q.example", "(?i)^/CASE$"),
    299: rule(),
}
"""The rules of the golden data, by the status with which they answer."""


@pytest.mark.parametrize(("host", "target", "status"), GOLDEN["hostnames"])
def test_golden_hostnames(host: str, target: str, status: int) -> None:
    index = Table(list(HOSTNAMES.values())).find(host.encode(), target.encode())
    assert index is not None
    assert list(HOSTNAMES)[index] == status


@pytest.mark.parametrize(("host", "target", "status", "by"), GOLDEN["routes"])
def test_golden_routes(host: str, target: str, status: int, by: str | None) -> None:
    rules = GOLDEN["pushes"][0]["config"]["ingress"]
    table = Table([rule(one.get("hostname", ""), one.get("path", "")) for one in rules])
    assert table.find(host.encode(), target.encode()) == {"one": 0, "two": 1, None: 2}[by]


def test_nothing_matches() -> None:
    assert Table([]).find(b"any.example", b"/") is None
    assert Table([rule("a.example")]).find(b"b.example", b"/") is None


@pytest.mark.parametrize(
    ("host", "bare"),
    [
        ("a.example", "a.example"),
        ("a.example:1", "a.example"),
        ("a.example:", "a.example"),
        ("[::1]:80", "::1"),
        ("[::1]", "[::1]"),
        ("::1", "::1"),
        ("[a]b:1", "[a]b:1"),
        ("a]:1", "a]:1"),
        ("[[a]:1", "[[a]:1"),
        ("[a]:1]", "[a]:1]"),
        ("a:[", "a:["),
        (":80", ""),
        ("", ""),
    ],
)
def test_port_is_cut_off_as_go_does(host: str, bare: str) -> None:
    assert without_port(host.encode()) == bare.encode()
