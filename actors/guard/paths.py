"""Patterns of paths, and all that an origin may take a path for. Pure.

A pattern is a path, and stands for all below it as well: `/admin` is `/admin`, `/admin/` and `/admin/users`, and not
`/administrator`. `*` is anything within one segment, `**` any number of segments.

What is checked is the path as it goes to the origin, and everything that servers are known to make of such a path:
percent-encoding taken off once, twice, …, `\\` as `/`, `//` as `/` or as a host's beginning, `.` and `..` resolved,
`;parameters` and what ends a segment in vain left out. A path is denied if any of these is, and allowed if all of them
are. One that has too many, or a control character in any, is neither: it is refused.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from actors.exchange.request import Request

MAX_FORMS: Final = 96
MAX_FORM_BYTES: Final = 16 * 1024
"""Of what one path may be taken for, in number and in all. A path that is written plainly has one form, an odd one
a dozen; whatever has more is made to get past somebody, and is refused. Rules are looked for by each of them: so
this is a bound on a worker's time."""

MAX_PATH: Final = 8 * 1024
MAX_SLASHES: Final = 500
"""Bytes of a path, without the query, and slashes in any form of it: what is longer takes too long to be looked at, and
most servers refuse it anyway."""

MAX_MARKS: Final = 30
"""Accents and the like upon one letter, as UAX #15 has it (Stream-Safe Text): a longer row of them is brought into its
order in a time that grows with the square of its length."""

ALSO_PATHS: Final = (b"x-original-url", b"x-rewrite-url")
"""Fields from which some frameworks (of IIS, Symfony, Laminas) take the path in place of the one in the request. No
request has reason for two: nobody knows which one the origin believes, and each is one more path to look at."""

_AS_DASHES: Final = bytes(byte if chr(byte).isascii() and chr(byte).isalnum() else ord("-") for byte in range(256))
"""CGI and WSGI make one variable of names that differ in such characters alone: `X_Original_Url` is that, too."""

# Whoever asks chooses the length of what these are tried on, so none may take longer than its length: what repeats
# without a bound ends the pattern, or the pattern begins where the path does and never goes back (`*+`).

_PLAIN: Final = re.compile(rb"\A/(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*+)*+/?)?\Z")
"""A path that means the same to everybody, unless a segment ends with a dot."""

_WIDE_ESCAPE: Final = re.compile(rb"%u([0-9A-Fa-f]{4})")
"""Of IIS."""

_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
"""UTF-8 of more bytes than a character needs: lenient readers take it for the character."""

_PARAMETERS: Final = re.compile(rb";[^/]*+")
_SLASHES: Final = re.compile(rb"/{2,}+")
_QUERY: Final = re.compile(rb"[?#]")
_ESCAPE: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_URL_BEGINNING: Final = re.compile(rb"\A[A-Za-z][A-Za-z0-9+.-]*+://[^/?#]*+")
_AUTHORITY: Final = re.compile(rb"\A/{2,}+[^/]*+")
"""For whoever reads the target as a reference (RFC 3986 section 4.2): `//x/admin` is `/admin` on the host x. To the URL
of JavaScript any number of slashes begins one."""

_NEVER: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and ends of lines. No path has reason for one; readers cut it off there, leave it out, or take
what is before it for all (`$` in Python)."""

_VAIN: Final = ". \u1680\u200b\ufeff\udc85\udca0"
"""What Windows and careful readers leave out at the end of a name: dots, blanks (`_compatible` makes most of them the
plain one), and bytes that are blanks in Latin-1."""


def _decoded(path: bytes) -> bytes:
    return unquote_to_bytes(_WIDE_ESCAPE.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "replace"), path))


def _shortest(path: bytes) -> bytes:
    return _OVERLONG.sub(_character, path)


def _character(match: re.Match[bytes]) -> bytes:
    first, *others = match[0]
    value = first & (0x7F >> len(match[0]))
    for byte in others:
        value = value << 6 | byte & 0x3F
    return chr(value).encode("utf-8", "replace")


def _compatible(path: bytes) -> bytes:
    """Letters that look alike as the plain ones: full-width ones, a dot leader, …"""
    if path.isascii():
        return path
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogateescape")


def _resolved(path: bytes) -> bytes:
    """Without `.` and `..`, as RFC 3986 says (section 5.2.4)."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments and segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _trimmed(path: bytes) -> bytes:
    return _by_segment(path, lambda segment: segment if segment in (".", "..") else segment.rstrip(_VAIN))


def _dots_bared(path: bytes) -> bytes:
    return _by_segment(path, _bare)


def _bare(segment: str) -> str:
    """`.. ` and `....` as `..`."""
    if segment.strip(_VAIN) or not segment.startswith("."):
        return segment
    return ".." if segment.startswith("..") else "."


def _by_segment(path: bytes, read: Callable[[str], str]) -> bytes:
    text = path.decode("utf-8", "surrogateescape")
    return "/".join(map(read, text.split("/"))).encode("utf-8", "surrogateescape")


_READINGS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    _decoded,
    _shortest,
    _compatible,
    lambda path: path.replace(b"\\", b"/"),
    lambda path: _PARAMETERS.sub(b"", path),
    _resolved,
    lambda path: _SLASHES.sub(b"/", path),
    _trimmed,
    _dots_bared,
    lambda path: _AUTHORITY.sub(b"", path) or b"/",
    lambda path: _QUERY.split(path, maxsplit=1)[0] or b"/",
)
"""What servers make of a path, each for itself; some do several of these, in any order."""


def forms(path: bytes) -> list[bytes] | None:
    """All that a path may be taken for, itself first; None: too much to be told, or something that no path is."""
    if len(path) > MAX_PATH:
        return None
    if _PLAIN.match(path) and b"./" not in path and not path.endswith(b"."):
        return [path] if path.count(b"/") <= MAX_SLASHES else None
    found = {path: None}
    waiting = [path]
    size = len(path)
    while waiting:
        form = waiting.pop()
        if not _is_path(form):
            return None
        for read in _READINGS:
            other = read(form)
            if other in found:
                continue
            size += len(other)
            if len(found) >= MAX_FORMS or size > MAX_FORM_BYTES:
                return None
            found[other] = None
            waiting.append(other)
    return list(found)


def _is_path(form: bytes) -> bool:
    """Whether it is anything that can be looked at, and that honest people ask for."""
    if form.count(b"/") + form.count(b"\\") > MAX_SLASHES:
        return False
    text = form.decode("utf-8", "surrogateescape")
    if _NEVER.search(text):
        return False
    return text.isascii() or all(
        not is_mark or sum(1 for _ in row) <= MAX_MARKS
        for is_mark, row in groupby(text, lambda letter: unicodedata.combining(letter) > 0)
    )


def folded(path: bytes) -> bytes:
    """Without regard to case, as file systems of Windows and macOS have it."""
    return path.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogatepass")


class Pattern:
    """One pattern. It is matched from the left, each part where it first fits, so that no path takes long."""

    def __init__(self, text: str | bytes, *, any_case: bool = False) -> None:
        """`text` begins with `/`. `any_case`: it is compared with forms that are `folded`."""
        raw = text if isinstance(text, bytes) else text.encode()
        raw = folded(raw) if any_case else raw
        self._runs: list[list[bytes]] = [[]]
        """Segments that follow each other; between two runs there may be any number of others."""
        for segment in raw.rstrip(b"/").split(b"/")[1:]:
            if segment == b"**":
                self._runs.append([])
            else:
                self._runs[-1].append(segment)

    def matches(self, path: bytes) -> bool:
        """Whether the path is meant, or is below one that is."""
        segments = path.split(b"/")[1:]
        first, *others = self._runs
        if not _fits(first, segments, 0):
            return False
        at = len(first)
        for run in others:
            while not _fits(run, segments, at):
                at += 1
                if at + len(run) > len(segments):
                    return False
            at += len(run)
        return True


def _fits(run: list[bytes], segments: list[bytes], at: int) -> bool:
    return at + len(run) <= len(segments) and all(
        _is_like(segments[at + number], wanted) for number, wanted in enumerate(run)
    )


def _is_like(segment: bytes, wanted: bytes) -> bool:
    if b"*" not in wanted:
        return segment == wanted
    first, *middle, last = wanted.split(b"*")
    if not (len(segment) >= len(first) + len(last) and segment.startswith(first) and segment.endswith(last)):
        return False
    at, end = len(first), len(segment) - len(last)
    for part in middle:
        if (found := segment.find(part, at, end)) < 0:
            return False
        at = found + len(part)
    return True


def _patterns(texts: Sequence[str], *, any_case: bool) -> list[Pattern]:
    """Each is meant as it is written, with its percent-encoding taken off, and with all of it that a URL needs."""
    bare = [unquote_to_bytes(text) for text in texts]
    encoded = [quote_from_bytes(each, safe=_UNRESERVED).encode() for each in bare]
    written = [_capitals(text.encode()) for text in texts]
    return [Pattern(each, any_case=any_case) for each in dict.fromkeys((*written, *bare, *encoded))]


_UNRESERVED: Final = "/*!$&'()+,;=:@~[]"
"""What stays as it is in the path of a URL, and what a pattern means by itself."""


def _capitals(path: bytes) -> bytes:
    """With escapes in capital letters, which mean the same."""
    return _ESCAPE.sub(lambda match: match[0].upper(), path)


class Paths:
    """Which paths may be asked for."""

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        """Both are patterns; what is denied is so even if it is allowed as well. Without any that are allowed, all
        are."""
        self._allow = _patterns(allow, any_case=False)
        self._deny = _patterns(deny, any_case=True)

    def __bool__(self) -> bool:
        """Whether they say anything."""
        return bool(self._allow or self._deny)

    def admit(self, request: Request) -> bool:
        """Whether what a request asks for may be asked for."""
        asked = _asked(request)
        return asked is not None and all(map(self._admit, asked))

    def _admit(self, path: bytes) -> bool:
        if (taken_for := forms(path)) is None:
            return False
        if self._deny and any(pattern.matches(form) for form in map(folded, taken_for) for pattern in self._deny):
            return False
        if not self._allow:
            return True
        return all(any(pattern.matches(form) for pattern in self._allow) for form in map(_capitals, taken_for))


def readings(request: Request) -> list[bytes] | None:
    """All paths that a request may be taken to ask for, in any case of letters; None: too many to be told."""
    if (asked := _asked(request)) is None:
        return None
    found: dict[bytes, None] = {}
    for path in asked:
        if (taken_for := forms(path)) is None:
            return None
        found |= dict.fromkeys([*taken_for, *map(folded, taken_for)])
    return list(found)


def _asked(request: Request) -> list[bytes] | None:
    """The path of a request, and the one that a field of it names besides; None: there are several such fields."""
    besides = [value for name, value in request.fields if name.lower().translate(_AS_DASHES) in ALSO_PATHS]
    if len(besides) > 1:
        return None
    return [_path(request.target), *(_path(value.strip(b" \t")) for value in besides)]


def _path(target: bytes) -> bytes:
    """The path of a target, which is an absolute path, `*`, or (in a field) perhaps a URL."""
    path = _URL_BEGINNING.sub(b"", target).partition(b"?")[0]
    return path if path.startswith(b"/") else b"/" + path
