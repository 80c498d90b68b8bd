"""Patterns of paths: RE2's, as the Go client has them, so that no pattern that is pushed can hang a worker. Pure.

RE2 takes time that grows with the text alone, and memory that is bounded. Python's own `re` has neither bound, and
takes what RE2 refuses.
"""

import re
from typing import Any, Final
from weakref import WeakValueDictionary

try:
    import re2
except ModuleNotFoundError:  # no wheel for this system: rules without a path work all the same
    re2 = None

from actors.ingress.errors import IngressError

MAX_MEMORY: Final = 256 * 1024
"""Bytes that one pattern may take, its program and its automaton: what is pushed must not fill a small machine. Ten
times of what patterns of everyday use take; one that is larger is refused."""

MAX_LENGTH: Final = 1024
"""Characters of a pattern. RE2's parser is recursive, and a program grows with its text."""

MISSING: Final = "paths in rules need the package google-re2: pip install 'tunnel-supervisor[rules]'"

_GO: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "pattern too large - compile failed": "expression too large",
}
"""RE2's words in C++, which we get → in Go, which users know. What is not here is the same in both."""

_PARTS: Final = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|[()|]", re.DOTALL)
"""Of a pattern: quoted text, escapes, classes, and what groups."""

_ANY_BYTE: Final = r"\C"
"""RE2 takes it in C++, and not in Go."""

_PLAIN: Final = re.compile(r"\^([A-Za-z0-9/_-]*)(?![*+?{])(?=[^A-Za-z0-9/_-]|$)", re.ASCII)
"""Plain text after ^, of which nothing is repeated."""


class Pattern:
    """One pattern. It is compiled when it is first needed: most rules are told from others by how a path begins."""

    __slots__ = ("__weakref__", "_compiled", "beginning", "text")

    def __init__(self, text: str) -> None:
        """Take `text` for a pattern.

        Raises:
            IngressError: it is too long, or there is no RE2 here.
        """
        if re2 is None:
            raise IngressError(MISSING)
        if len(text) > MAX_LENGTH:
            raise IngressError(f"error parsing regexp: expression too large: `{text[:64]}…` ({len(text)} characters)")
        self.text = text
        self.beginning = _beginning(text)
        """What every path begins with in which it is."""
        self._compiled: Any = None

    def compile(self) -> Any:
        """Have it ready for use.

        Raises:
            IngressError: it is no pattern, or too large. Its text is Go's, where Go has one.
        """
        if self._compiled is None:
            self._compiled = _compile(self.text)
        return self._compiled

    @property
    def size(self) -> int:
        """Instructions of its program: at worst, so many steps are taken for each byte of a path."""
        size: int = self.compile().programsize
        return size

    def is_in(self, path: bytes) -> bool:
        """Whether it matches anywhere in `path`, which is UTF-8 (see `readable`)."""
        return self.compile().search(path) is not None


def _compile(text: str) -> Any:
    if any(part[0] == _ANY_BYTE for part in _PARTS.finditer(text)):
        raise IngressError(f"error parsing regexp: invalid escape sequence: `{_ANY_BYTE}`")
    options: Any = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    options.never_capture = True  # whether it is there is all that is asked
    try:
        return re2.compile(text.encode(), options)
    except re2.error as error:
        raise IngressError(f"error parsing regexp: {_in_go(error.args[0].decode(errors='replace'))}") from None


def _in_go(text: str) -> str:
    what, _, part = text.partition(": ")
    return f"{_GO.get(what, what)}: `{part}`"


def _beginning(text: str) -> bytes:
    """The plain text after ^, if that begins all that the pattern matches."""
    depth = 0
    for part in _PARTS.finditer(text):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if part[0] == "|" and depth == 0:
            return b""
    return found[1].encode() if (found := _PLAIN.match(text)) else b""


_alive: Final[WeakValueDictionary[str, Pattern]] = WeakValueDictionary()
"""Those that somebody has: a new configuration has mostly the patterns of the one before."""


def pattern(text: str) -> Pattern:
    """The pattern `text`, which is one for all that use it, so that it is compiled once.

    Raises:
        IngressError: see `Pattern`.
    """
    if (known := _alive.get(text)) is None:
        known = _alive[text] = Pattern(text)
    return known


def readable(path: bytes) -> bytes:
    """A path as patterns see it: what is no UTF-8 is U+FFFD, byte by byte, as it is for Go."""
    try:
        path.decode()
    except UnicodeDecodeError:
        text = path.decode(errors="surrogateescape")
        return "".join("\ufffd" if "\udc80" <= char <= "\udcff" else char for char in text).encode()
    return path
