"""Patterns of paths, and what an origin may take a path for."""

import importlib
import pkgutil
import random
import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any
from urllib.parse import quote

import pytest

import actors.guard
from actors.guard.paths import MAX_FORM_BYTES, MAX_FORMS, MAX_PATH, MAX_SLASHES, Paths, Pattern, forms, readings
from tests.guard.kit import asked


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", "/anything/at/all", True),
        ("/admin", "/admin", True),
        ("/admin", "/admin/", True),
        ("/admin/", "/admin", True),
        ("/admin", "/admin/users", True),
        ("/admin", "/administrator", False),
        ("/admin", "/", False),
        ("/api/*/public", "/api/v1/public/x", True),
        ("/api/*/public", "/api/v1/v2/public", False),
        ("/api/v*", "/api/v12", True),
        ("/api/v*", "/api/w", False),
        ("/*.php", "/index.php", True),
        ("/*.php", "/.php", True),
        ("/*.php", "/index.php5", False),
        ("/a*b*c", "/axxbyyc", True),
        ("/a*b*c", "/axxcyyb", False),
        ("/aa*aa", "/aaa", False),
        ("/**/feed.xml", "/feed.xml", True),
        ("/**/feed.xml", "/a/b/feed.xml", True),
        ("/**/feed.xml", "/a/b/feed.xml2", False),
        ("/a/**/b/**/c", "/a/x/b/y/z/c", True),
        ("/a/**/b/**/c", "/a/x/y/c", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert Pattern(pattern).matches(path.encode()) is matches


def test_path_that_is_written_plainly_has_one_form() -> None:
    for path in ("/", "/a", "/a/b.html", "/a/", "/a-b_c/1.2.3"):
        assert forms(path.encode()) == [path.encode()]


DISGUISES = (
    *(
        "/admin",
        "/admin/",
        "//admin",
        "///admin",
        "/./admin",
        "/x/../admin",
        "/x/./../admin",
        "/admin/.",
    ),
    *(
        "/admin/..",
        "/admin/x/..",
        "/%61dmin",
        "/%61%64min",
        "/%2561dmin",
        "/%252561dmin",
        "/admin%2f",
    ),
    *(
        "/admin%2fusers",
        "/admin%252fusers",
        "%2fadmin",
        "/%2fadmin",
        "/.%2fadmin",
        "/%2e/admin",
        "/x/%2e%2e/admin",
    ),
    *(
        "/x/%2e./admin",
        "/x/.%2e/admin",
        "/x/%252e%252e/admin",
        "/x/..%2fadmin",
        "/x/..%252fadmin",
        "/x%2f..%2fadmin",
    ),
    *(
        "/admin;",
        "/admin;x=1",
        "/admin;x=1/users",
        "/;/admin",
        "/x;/../admin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
    ),
    *(
        "/x/%2e%2e;/admin",
        "/x/..%3b/admin",
        "/admin.",
        "/admin..",
        "/admin%20",
        "/admin%2e",
        "/admin%00",
    ),
    *(
        "/admin%00.html",
        "/admin/%20",
        "/x/..%20/admin",
        "/x/..%00/admin",
        "/ADMIN",
        "/Admin",
        "/aDMIN/users",
    ),
    *(
        "/%41dmin",
        "/\\admin",
        "\\admin",
        "/x\\..\\admin",
        "/x/..\\admin",
        "/%5cadmin",
        "/x%5c..%5cadmin",
    ),
    *(
        "/admin\\users",
        "/admin%5cusers",
        "/admin/%2e%2e/admin",
        "/x/y/../../admin",
        "/x//../admin",
        "/%c0%afadmin",
    ),
    *(
        "/%c0%ae/admin",
        "/x/%c0%ae%c0%ae/admin",
        "/x/%e0%80%ae%e0%80%ae/admin",
        "/%u0061dmin",
        "/%u002fadmin",
    ),
    *(
        "/x/%u002e%u002e/admin",
        "/%ef%bd%81dmin",
        "/ａdmin",
        "/%EF%BC%8Fadmin",
        "/admin%09",
        "/admin%3Fx",
    ),
    *(
        "/admin%23x",
        "/admin?x=1",
        "/admin?/public",
        "//x/../admin",
        "/x/../../admin",
        "/../admin",
    ),
    *(
        "/..%2f..%2fadmin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..;/admin",
        "/public/../ADMIN",
    ),
    *(
        "/public%2f..%2fadmin",
        "/public/./../admin",
        "/public//..//admin",
        "/public/.%00./../admin/",
    ),
    *(
        "/public/;x/../../admin",
        "/%70ublic/../admin",
        "/public/..%c0%afadmin",
    ),
    *(
        "//x/admin",
        "//public/admin",
        "/\\x/admin",
        "///x/admin",
        "/%2fx/admin",
    ),
)


@pytest.mark.parametrize("path", DISGUISES)
def test_denied_path_in_disguise(path: str) -> None:
    target = path.encode()
    assert not Paths((), ("/admin",)).admit(asked(target))


@pytest.mark.parametrize("path", [path for path in DISGUISES if "public" in path])
def test_allowed_path_that_leads_elsewhere(path: str) -> None:
    assert not Paths(("/public",), ()).admit(asked(path.encode()))


@pytest.mark.parametrize(
    "path", ["/", "/public", "/x/admin", "/administrator", "/admins", "/a%20b", "/a;b=1/c", "/café", "/x/./y", "*"]
)
def test_what_is_not_denied_is_let_in(path: str) -> None:
    assert Paths((), ("/admin",)).admit(asked(path.encode()))


@pytest.mark.parametrize("path", ["/hooks", "/hooks/", "/hooks/a%20b", "/hooks/café", "/hooks/x.html?y=/../../z"])
def test_what_is_allowed_is_let_in(path: str) -> None:
    assert Paths(("/hooks",), ()).admit(asked(path.encode()))


@pytest.mark.parametrize(
    "path", ["/", "/hook", "/HOOKS", "/hooks/..", "/hooks/../x", "//hooks", "/hooks%2f..%2fx", "*"]
)
def test_what_is_not_allowed_is_not_let_in(path: str) -> None:
    assert not Paths(("/hooks",), ()).admit(asked(path.encode()))


def test_what_is_denied_is_so_within_what_is_allowed() -> None:
    paths = Paths(("/api",), ("/api/*/secret",))
    assert paths.admit(asked("/api/v1/open"))
    assert not paths.admit(asked("/api/v1/secret"))
    assert not paths.admit(asked("/api/v1/open/../secret"))


def test_pattern_may_be_percent_encoded() -> None:
    for pattern in ("/caf%C3%A9", "/café"):
        assert Paths((pattern,), ()).admit(asked("/caf%C3%A9/x"))
        assert not Paths((), (pattern,)).admit(asked("/CAF%C3%89/x"))


@pytest.mark.parametrize("field", ["X-Original-URL", "x-rewrite-url"])
@pytest.mark.parametrize("value", ["/admin", "/%61dmin", "https://app.example/admin?x", "admin"])
def test_fields_that_some_take_for_the_path(field: str, value: str) -> None:
    assert not Paths((), ("/admin",)).admit(asked("/", (field, value)))
    assert not Paths(("/public",), ()).admit(asked("/public", (field, value)))


@pytest.mark.parametrize("field", ["X_ORIGINAL_URL", "X_Original-Url", "x-rewrite_url", "X.Rewrite.URL"])
def test_fields_whose_names_are_the_same_to_cgi(field: str) -> None:
    assert not Paths((), ("/admin",)).admit(asked("/", (field, "/admin")))
    assert readings(asked("/", (field, "/admin"))) == [b"/", b"/admin"]


@pytest.mark.parametrize("second", ["X-Original-Url", "X_Original_Url", "X-Rewrite-Url"])
def test_second_field_that_names_a_path_is_refused(second: str) -> None:
    request = asked("/", ("X-Original-Url", "/"), (second, "/"))
    assert not Paths((), ("/admin",)).admit(request)
    assert readings(request) is None


CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]


@pytest.mark.parametrize("place", ["/admin{}", "/admin{}/x", "/x{}/../admin", "/ad{}min", "/{}admin", "/public{}"])
def test_path_with_a_control_character_is_refused(place: str) -> None:
    """Python's `$` is satisfied before a last newline, so that Starlette's "/admin" is "/admin%0a", too."""
    for letter in CONTROLS:
        for path in (quote(place.format(quote(letter))), place.format(quote(letter)), place.format(letter)):
            assert forms(path.encode()) is None, path
            assert not Paths((), ("/admin",)).admit(asked(path.encode())), path
            assert not Paths(("/public",), ()).admit(asked(path.encode())), path


BLANKS = [letter for letter in map(chr, range(0x10000)) if letter.isspace()] + ["\u200b", "\ufeff"]


@pytest.mark.parametrize("place", ["/admin{}", "/admin{}/x", "/x/..{}/admin", "/admin.{}"])
def test_blanks_at_the_end_of_a_segment_are_in_vain(place: str) -> None:
    for letter in [*map(str.encode, BLANKS), b"\x85", b"\xa0"]:
        for blanks in (quote(letter), quote(letter) * 3, f" {quote(letter)}."):
            path = place.format(blanks).encode()
            assert not Paths((), ("/admin",)).admit(asked(path)), path


def test_letters_of_all_languages_are_let_in() -> None:
    for name in ("日本語 の 頁", "हिन्दी", "café", "cafe\u0301", "👩\u200d🚀", "a b.c"):
        for path in (quote(name), name):
            assert Paths((), ("/admin",)).admit(asked(f"/{path}".encode())), name


def test_path_of_too_many_meanings_is_refused() -> None:
    nested = b"/" + b"%" + b"25" * (MAX_FORMS + 1)
    assert forms(nested) is None
    assert not Paths((), ("/admin",)).admit(asked(nested))
    assert not Paths(("/",), ()).admit(asked(nested))


def test_path_that_is_too_long_to_be_looked_at_is_refused() -> None:
    for path in (b"/" + b"a%20" * MAX_PATH, b"/./" * MAX_SLASHES, b"/\\" * MAX_SLASHES):
        assert forms(path) is None
    assert Paths((), ("/admin",)).admit(asked("/" + "%E6%97%A5" * 500))
    assert Paths((), ("/admin",)).admit(asked("/x?" + "a" * 30_000))


def disguised(dice: random.Random) -> str:
    """A denied path, disguised in several ways one after the other."""
    path = "/admin" + dice.choice(["", "/", "/users", "/x/y"])
    for _ in range(dice.randrange(1, 7)):
        at = dice.choice([place for place, letter in enumerate(path) if letter == "/"])
        match dice.randrange(6):
            case 0:
                path = "/" + "".join(f"%{ord(each):02x}" if dice.random() < 0.2 else each for each in path[1:])
            case 1:
                path = path[:at] + dice.choice(["/", "/.", "/x/..", "/a.b/..", "/x;y/.."]) + path[at:]
            case 2:
                path = "/.." + path
            case 3 if at:
                path = path[:at] + "\\" + path[at + 1 :]
            case 4 if "%" not in path:
                path = "".join(dice.choice([each.upper(), each.lower()]) for each in path)
            case 5:
                segments = path.split("/")
                place = dice.randrange(1, len(segments))
                segments[place] += dice.choice([";", ";a", ";a=b", "%20", "." if segments[place].strip(".") else ""])
                path = "/".join(segments)
    return path


def test_any_disguises_one_above_the_other() -> None:
    dice = random.Random(1)
    denied, allowed = Paths((), ("/admin",)), Paths(("/x",), ())
    for path in (disguised(dice) for _ in range(2000)):
        assert not denied.admit(asked(path)), path
        assert not allowed.admit(asked(path)), path


HOSTILE = (
    *(b"/", b"a", b".", b". ", b"%20", b"%00", b"%0a", b"..;/", b"%2e%2e%2f", b"//./..;%00/", b"*", b"\\..", b"/a%20"),
    *(b"\xc0\xaf", b"%c0%af", b"%25", b"%u002f", b";", b"a.", b"%cc%81%cc%96", b"\xcc\x81\xcc\x96", b"\xef\xb7\xba"),
)


@pytest.mark.parametrize("part", HOSTILE)
@pytest.mark.parametrize("length", [600, 2000, MAX_PATH - 2, 32 * 1024])
@pytest.mark.parametrize("end", [b"", b"x", b"/", b"%61"])
def test_there_is_a_bound_on_what_a_path_is_taken_for(part: bytes, length: int, end: bytes) -> None:
    """And so on the time that it takes: what is done with each form takes as long as that is long (below)."""
    target = b"/" + part * (length // len(part)) + end
    found = forms(target)
    assert found is None or (len(found) <= MAX_FORMS and sum(map(len, found)) <= MAX_FORM_BYTES)
    assert found is None or max(form.count(b"/") for form in found) <= MAX_SLASHES
    request = asked(b"/", *[("X-Original-Url", target.decode("latin-1"))] * 20)
    assert readings(request) is None
    Paths(("/**/a*b*c/**/d",), ("/**/x/**/y*z*",)).admit(asked(target))


def test_row_of_accents_is_refused() -> None:
    """To bring it into its order takes a time that grows with the square of its length."""
    assert forms("/e\u0301\u0316".encode()) is not None
    assert forms(("/e" + "\u0301\u0316" * 50).encode()) is None


def strangers_patterns() -> Iterator[tuple[str, re.Pattern[bytes]]]:
    """What is tried on bytes; patterns of text are for the user's own settings, but for one on a form of a path."""
    for module in pkgutil.iter_modules(actors.guard.__path__, "actors.guard."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, bytes):
                yield f"{module.name}.{name}", value


def loose(items: Any, *, anywhere: bool) -> Iterator[str]:
    """The parts of a pattern that repeat without a bound, and can be gone back over, or searched for in vain from each
    byte anew: those that do not end it, unless they may stand `anywhere`."""
    for index, (code, value) in enumerate(items):
        may = anywhere or index == len(items) - 1
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            if value[1] == codes.MAXREPEAT and not (code == codes.POSSESSIVE_REPEAT and may):
                yield f"{code} {value}"
            yield from loose(value[2], anywhere=may)
        elif code == codes.SUBPATTERN:
            yield from loose(value[-1], anywhere=may)
        elif code == codes.BRANCH:
            for branch in value[1]:
                yield from loose(branch, anywhere=may)
        elif code not in (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.AT):
            yield f"{code} {value}"


def test_no_pattern_takes_longer_than_what_it_is_tried_on() -> None:
    """Each that repeats without a bound does so possessively: at its end, or bound to where the path begins."""
    found = dict(strangers_patterns())
    assert len(found) >= 8
    for name, pattern in found.items():
        parsed = list(parser.parse(pattern.pattern))
        is_bound = parsed[0] == (codes.AT, codes.AT_BEGINNING_STRING)
        assert list(loose(parsed, anywhere=is_bound)) == [], name


@pytest.mark.parametrize("pattern", [rb"[. ]+(?=/|\Z)", rb"[. ]++/", rb"a*", rb"(?:a|b+)c", rb"a*?"])
def test_what_is_loose(pattern: bytes) -> None:
    assert list(loose(list(parser.parse(pattern)), anywhere=False)) != []
