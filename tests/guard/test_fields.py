"""What is looked for in a request, and taken out of it."""

import pytest

from actors.guard import fields
from tests.guard.kit import asked


def test_field_that_is_there_once() -> None:
    assert fields.only(asked("/", ("X-A", " 1 ")), b"x-a") == b"1"
    assert fields.only(asked("/", ("X-A", "1"), ("x-a", "1")), b"x-a") is None
    assert fields.only(asked(), b"x-a") is None


def test_cookies_wherever_they_stand() -> None:
    request = asked("/", ("Cookie", "a=1; own=2"), ("COOKIE", "own=3;b=4;own=5"), ("X-Cookie", "own=6"))
    assert fields.cookies(request, b"own") == [b"2", b"3", b"5"]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["a=1; own=2; b=3"], ["a=1; b=3"]),
        (["own=2"], []),
        (["own=2;own=3", "a=1"], ["a=1"]),
        (["own=2; ", "own"], []),
        (["a=1;b=2;  c=own"], ["a=1;b=2;  c=own"]),
        (["owner=1"], ["owner=1"]),
    ],
)
def test_own_cookies_are_taken_out_and_no_others(given: list[str], left: list[str]) -> None:
    request = asked("/", ("Host", "x"), *(("Cookie", value) for value in given))
    kept = fields.without_cookies(request, (b"own",))
    assert [value.decode() for value in fields.values(kept, b"cookie")] == left
    assert kept.fields[0] == (b"Host", b"x")


def test_request_without_own_cookies_is_the_very_same() -> None:
    request = asked("/", ("Cookie", "a=1"))
    assert fields.without_cookies(request, (b"own",)) is request


@pytest.mark.parametrize(
    ("target", "found", "left"),
    [
        ("/x?t=1", ["1"], "/x"),
        ("/x?a=%20&t=1&b=+%2f", ["1"], "/x?a=%20&b=+%2f"),
        ("/x?t=1&t=2", ["1", "2"], "/x"),
        ("/x?%74=a%2Bb", ["a+b"], "/x"),
        ("/x?t", [""], "/x"),
        ("/x?T=1", [], "/x?T=1"),
        ("/x?a=t=1&&", [], "/x?a=t=1&&"),
        ("/x", [], "/x"),
        ("/x?", [], "/x?"),
    ],
)
def test_parameters(target: str, found: list[str], left: str) -> None:
    request = asked(target)
    assert fields.parameters(request, "t") == found
    assert fields.without_parameters(request, "t", lambda _: True).target.decode() == left
    assert fields.without_parameters(request, "t", lambda _: False) is request


def test_parameters_that_are_meant() -> None:
    request = asked("/x?t=1&a=b&t=2&%74=1")
    assert fields.without_parameters(request, "t", lambda value: value == "1").target == b"/x?a=b&t=2"


def test_fields_that_are_meant() -> None:
    request = asked("/", ("A", " 1 "), ("a", "2"), ("B", "1"))
    assert fields.without(request, b"a", lambda value: value == b"1") == asked("/", ("a", "2"), ("B", "1"))
    assert fields.without(request, b"a", lambda value: value == b"3") is request
