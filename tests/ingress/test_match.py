"""Which rule a request meets: golden data, a naive matcher beside it, and what a lookup costs."""

import gc
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.addresses import without_port
from actors.bus.routes import Route, Status
from actors.ingress import match, patterns
from actors.ingress.errors import IngressError
from actors.ingress.match import Table
from actors.ingress.patterns import MAX_LENGTH, Pattern, pattern, readable
from tests.ingress.golden import GOLDEN


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


# --- beside a naive matcher -----------------------------------------------------------------------------------------

HOSTS: Final = st.lists(st.sampled_from(["a", "b", "A", "*", ""]), min_size=0, max_size=4).map(".".join)
PATHS: Final = st.sampled_from(["", "^/a", "b$", "/", "c"])
ROUTES: Final = st.lists(st.builds(rule, HOSTS, PATHS, HOSTS.filter(lambda name: name != "*")), max_size=12)


def naive(routes: Sequence[Route], host: str, target: str) -> int | None:
    """What the facts say, one rule after the other."""
    host = host.removesuffix(":80")
    path = unquote_to_bytes(target.split("?")[0]).decode(errors="replace")
    for index, route in enumerate(routes):
        names = {route.hostname} | {route.punycode or route.hostname}
        if not any(
            name in ("", "*", host) or (name.startswith("*.") and host.endswith(name.removeprefix("*")))
            for name in names
        ):
            continue
        if not route.path or re.search(route.path, path):
            return index
    return None


@given(ROUTES, HOSTS, st.sampled_from(["", ":80"]), st.text("/abc%6?", max_size=6))
def test_same_as_a_naive_matcher(routes: list[Route], host: str, port: str, target: str) -> None:
    request = f"{host}{port}", f"/{target}"
    assert Table(routes).find(request[0].encode(), request[1].encode()) == naive(routes, *request)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_meet_some_rule(host: bytes, target: bytes) -> None:
    assert Table([rule("*.a", "x"), rule("", "^$"), rule()]).find(host, target) is not None


# --- what a lookup costs --------------------------------------------------------------------------------------------


def looked_at(routes: Sequence[Route], host: bytes) -> int:
    return len(list(Table(routes)._candidates(host)))


def test_only_rules_of_this_host_are_looked_at() -> None:
    many = [rule(f"h{n}.example", "^/x") for n in range(2000)] + [rule(f"*.d{n}.example", "^/y") for n in range(2000)]
    routes = [*many, rule("h7.example"), rule("*.example", "^/z"), rule()]
    assert looked_at(routes, b"h7.example") == 4
    assert looked_at(routes, b"a.b.d9.example") == 3
    assert looked_at(routes, b"other") == 1
    assert looked_at(routes, b"." * 60_000) == 1


def test_what_comes_after_a_rule_for_all_paths_is_never_looked_at() -> None:
    assert looked_at([rule("a"), *[rule("a", f"^/{n}") for n in range(1000)], rule()], b"a") == 2


def test_no_pattern_is_compiled_twice() -> None:
    gc.collect()
    first = Table([rule("a", "^/once$"), rule("b", "^/once$")])
    assert first._patterns[0] is first._patterns[1]
    second = Table([rule("c", "^/once$")])
    assert second._patterns[0] is first._patterns[0]
    assert first._patterns[0] is not None
    assert first._patterns[0].compile() is first._patterns[0].compile()
    del first, second
    gc.collect()
    assert "^/once$" not in patterns._alive


def test_a_path_that_would_take_too_long_meets_no_rule() -> None:
    costly = "(a|b)*a[ab]{200}c"
    table = Table([rule("", costly), rule()])
    assert table.find(b"h", b"/ab") == 1
    length = match.MAX_STEPS // pattern(costly).size
    assert table.find(b"h", b"/" + b"ab" * length) is None


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("(", "missing closing ): `(`"),
        ("[a", "missing closing ]: `[a`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a{2000}", "invalid repeat count: `{2000}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("a)", "unexpected ): `a)`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"a\C", r"invalid escape sequence: `\C`"),
        ("x\\", "trailing backslash at end of expression: ``"),
        ("(?P<>a)", "invalid named capture: `(?P<>`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        (r"(\pL{1,99}){1,9}", "expression too large: ``"),
    ],
)
def test_patterns_that_are_none_in_words_of_go(text: str, wrong: str) -> None:
    with pytest.raises(IngressError) as error:
        Pattern(text).compile()
    assert str(error.value) == f"error parsing regexp: {wrong}"


def test_long_patterns_are_refused() -> None:
    assert Pattern("a" * MAX_LENGTH).is_in(b"a" * MAX_LENGTH)
    with pytest.raises(IngressError, match="too large"):
        Pattern("a" * (MAX_LENGTH + 1)).compile()
    assert Pattern(r"\Q\C\E").is_in(rb"\C")


def test_bytes_that_are_no_text_are_one_character_each() -> None:
    assert readable(b"a\xff\xed\xa0\x80\xc3\xa9") == "a\ufffd\ufffd\ufffd\ufffd\xe9".encode()
    table = Table([rule("", "^/.\\.jpg$"), rule()])
    assert table.find(b"h", b"/%ff.jpg") == 0
    assert table.find(b"h", b"/%c3%a9.jpg") == 0
    assert table.find(b"h", b"/%zz.jpg") == 1


def test_without_re2_only_rules_with_a_path_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "re2", None)
    assert Table([rule("a"), rule()]).find(b"a", b"/") == 0
    with pytest.raises(IngressError, match=r"pip install 'tunnel-supervisor\[rules\]'"):
        Table([rule("a", "^/only-here-without-re2")])


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("^/api/", "/api/"),
        ("^/api/v1/(jpg|png)$", "/api/v1/"),
        (r"^/a\.b", "/a"),
        ("^/a$", "/a"),
        ("^/x[|(]y", "/x"),
        (r"^/x\Q|\Ey", "/x"),
        ("^/a[[:alpha:]|]", ""),
        *(
            (pattern, "")
            for pattern in ("^/a*", "^/ab?c", "^/a{0}", "^/a+", "^/a|b", "^/x(a|b)|c", "/a", "(?i)^/a", "^")
        ),
    ],
)
def test_plain_beginning(text: str, beginning: str) -> None:
    assert pattern(text).beginning == beginning.encode()


PIECES: Final = st.sampled_from(
    ["^", "/", "a", "b", "ab", "|", "(", ")", "*", "?", "+", "{0}", ".", r"\b", "[ab]", "[^|]", "$"]
)


@given(st.lists(PIECES, max_size=8).map("".join), st.text("/ab", max_size=6))
def test_a_beginning_hides_no_match(text: str, path: str) -> None:
    made = Pattern(text)
    try:
        found = made.is_in(path.encode())
    except IngressError:
        return
    assert not found or path.encode().startswith(made.beginning)
