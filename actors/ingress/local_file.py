"""A configuration as a file of this machine has it: the Go client's YAML. Pure.

`tunnel` and `credentials-file` say which tunnel, `ingress`, `originRequest` and `warp-routing` are spelled as in JSON,
with durations as `1m30s`. What else stands at the top are flags of the Go client. Only plain data is read: no tag makes
anything, and aliases are followed up to a bound.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from actors.bus.tally import Message
from actors.ingress import rules
from actors.ingress.errors import IngressError, RuleError, well_formed
from actors.ingress.model import Configuration
from actors.ingress.shapes import CONFIGURATION, DURATION, FLAG, GUARD, LOCAL_RULE, TEXT, Field, Many, Scalar, Shape

MAX_CHARACTERS: Final = 1024 * 1024
"""Of a file: some 10 000 rules."""

MAX_NODES: Final = 200_000
"""Values that are looked at, those behind aliases each time anew: a few lines of aliases can stand for billions."""

MAX_DEPTH: Final = 32
"""Of values within values. Ours are 6 deep; an alias to what it stands in has no end."""

FLAGS: Final = frozenset(
    (
        *("protocol", "loglevel", "logfile", "metrics", "grace-period", "retries", "ha-connections", "region", "edge"),
        *("edge-ip-version", "post-quantum", "url", "unix-socket", "hello-world", "http-host-header"),
        *("origin-server-name", "origin-ca-pool", "no-tls-verify", "token-file", "pidfile", "tag", "label"),
    )
)
"""Flags of the Go client that mean something to us, or that a user would miss."""

_KEPT_TO: Final = frozenset(("no-autoupdate", "autoupdate-freq"))
"""Flags that ask for what is so anyway: nothing here updates itself."""

_STRINGS: Final = (Field("tunnel", "tunnel", TEXT), Field("credentials-file", "credentials_file", TEXT))
_RULES: Final = Field("ingress", "rules", Many(LOCAL_RULE))
_FILE: Final = Shape("file", *(CONFIGURATION.fields | {"ingress": _RULES}).values(), *_STRINGS)

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_PART: Final = re.compile(r"([0-9.]+)([^0-9.]+)")
_MAX_SECONDS: Final = 2**63 / 1e9
"""What Go's durations hold."""

MEANT: Final = 0.8
"""How much of a name has to be that of another one to be taken for it: `gaurd` is `guard`."""

_NULL: Final = "tag:yaml.org,2002:null"
_BOOL: Final = "tag:yaml.org,2002:bool"
_MERGE: Final = "tag:yaml.org,2002:merge"
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Either reads plain data alone; the one in C does so fifty times as fast."""


class LocalFileError(IngressError):
    """What is wrong with a file: its text begins with the line, if that is known."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text if line is None else f"line {line}: {text}")
        self.line = line


class LocalFile(Message, frozen=True):
    """What a file says."""

    configuration: Configuration = Configuration()
    """Without rules, if there is no `ingress` in it."""
    tunnel: str = ""
    """The id of a tunnel, or its name."""
    credentials_file: str = ""
    flags: dict[str, str] = msgspec.field(default_factory=dict)
    """Of `FLAGS`, what is set at the top; several values have commas between them."""
    ignored: tuple[str, ...] = ()
    """Keys that mean nothing here, each with its line: `hostnam (line 7)`."""
    lines: tuple[int, ...] = ()
    """Where each rule begins."""

    def located(self, error: RuleError) -> LocalFileError:
        """What is wrong with one of its rules, with the line: for what comes to light when routes are made of it."""
        return _located(error, self.lines)


def read(text: str) -> LocalFile:
    """Read a file.

    Raises:
        LocalFileError: it is no YAML, or its rules are not valid.
    """
    if len(text) > MAX_CHARACTERS:
        raise LocalFileError(f"the file has {len(text)} characters, which is more than {MAX_CHARACTERS}")
    node = _compose(text)
    if node is None or node.tag == _NULL:
        return LocalFile()
    if not isinstance(node, MappingNode):
        raise LocalFileError("the file is no map of names and values, as in `tunnel: NAME`", _line(node))
    reader = _Reader()
    given = reader.fields(_FILE, node, 0)
    lines = tuple(reader.rule_lines)
    try:
        configuration = rules.configuration(given)
    except RuleError as error:
        raise _located(error, lines) from None
    return LocalFile(
        configuration,
        given.get("tunnel", ""),
        given.get("credentials_file", ""),
        reader.flags,
        tuple(reader.ignored),
        lines,
    )


def _located(error: RuleError, lines: Sequence[int]) -> LocalFileError:
    text = str(error)
    named = text if text.startswith("Rule #") else f"rule #{error.number}: {text}"
    return LocalFileError(named, lines[error.number - 1])


def _compose(text: str) -> Node | None:
    """The nodes of a file, which know their lines.

    Raises:
        LocalFileError: it is no YAML.
    """
    try:
        node: Node | None = yaml.compose(text, _LOADER)
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem))) or "this is no YAML"
        if "alias" in what:
            what += ' (a hostname that begins with * stands in quotes: "*.example.com")'
        raise LocalFileError(what, mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        what = "values are too deep within each other" if isinstance(error, RecursionError) else str(error)
        raise LocalFileError(f"this is no YAML: {what[:200]}") from None


class _Reader:
    """Goes through one file."""

    def __init__(self) -> None:
        self.flags: dict[str, str] = {}
        self.ignored: list[str] = []
        self.rule_lines: list[int] = []
        self._nodes = 0

    def fields(self, shape: Shape, node: MappingNode, depth: int) -> dict[str, Any]:
        """What a map says, by the attributes of a shape. Its own keys go before those that it merges (`<<`)."""
        given: dict[str, Any] = {}
        seen: dict[str, int] = {}
        for key, value, is_own in self._pairs(node, depth):
            name = key.value if isinstance(key, ScalarNode) else "?"
            if is_own and name in seen:
                raise LocalFileError(f"{name!r} is here a second time: it stands in line {seen[name]}, too", _line(key))
            if name in seen:
                continue
            seen[name] = _line(key)
            if (field := shape.fields.get(name)) is not None:
                if (part := self._value(field.kind, value, name, depth + 1)) is not None:
                    given[field.attribute] = part
            elif shape is _FILE and name in FLAGS:
                if value.tag != _NULL:
                    self.flags[name] = self._flag(value)
            elif shape is not _FILE or name not in _KEPT_TO:
                _refuse_unknown_guard(name, shape, key)
                self.ignored.append(f"{name[:100]} (line {_line(key)})")
        return given

    def _pairs(self, node: MappingNode, depth: int) -> Iterator[tuple[Node, Node, bool]]:
        """Keys and values, and whether they are the map's own; what it merges comes last."""
        self._count(node, depth)
        merged: list[Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += value.value if isinstance(value, SequenceNode) else [value]
            else:
                yield key, value, True
        for other in merged:
            if not isinstance(other, MappingNode):
                raise LocalFileError("<< takes a map, or a list of maps", _line(other))
            for key, value, _ in self._pairs(other, depth + 1):
                yield key, value, False

    def _value(self, kind: Scalar | Many | Shape, node: Node, name: str, depth: int) -> Any:
        self._count(node, depth)
        match kind, node:
            case _, ScalarNode() if node.tag == _NULL:
                return None
            case Shape(), MappingNode():
                if name == "ingress":
                    self.rule_lines.append(_line(node))
                return self.fields(kind, node, depth)
            case Many(), SequenceNode():
                return [self._part(kind.of, part, name, depth + 1) for part in node.value]
            case Many(or_one=True), ScalarNode():
                return [_scalar(kind.of, node, name)] if node.value and isinstance(kind.of, Scalar) else []
            case Scalar(), ScalarNode():
                return _scalar(kind, node, name)
        wanted = {Many: "a list", Shape: "a map of names and values"}.get(type(kind), "a single value")
        raise LocalFileError(f"{name} takes {wanted}", _line(node))

    def _part(self, kind: Scalar | Shape, node: Node, name: str, depth: int) -> Any:
        if (value := self._value(kind, node, name, depth)) is None:
            raise LocalFileError(f"{name} has an empty part", _line(node))
        return value

    def _flag(self, node: Node) -> str:
        self._count(node, 1)
        parts = node.value if isinstance(node, SequenceNode) else [node]
        if not all(isinstance(part, ScalarNode) for part in parts):
            raise LocalFileError("a flag takes a value, or a list of values", _line(node))
        return ",".join(part.value for part in parts)

    def _count(self, node: Node, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise LocalFileError("what its aliases stand for is too large, or has no end", _line(node))


def _refuse_unknown_guard(name: str, shape: Shape, key: Node) -> None:
    """What is passed over does no harm, but for a guard that was meant to be there: the door would stay open."""
    if shape is GUARD:
        close = difflib.get_close_matches(name, GUARD.fields, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(GUARD.fields)}"
        raise LocalFileError(f"guard: {name[:100]!r} is none of its settings; {hint}", _line(key))
    if close := difflib.get_close_matches(name, (*GUARD.fields, "guard"), n=1, cutoff=MEANT):
        what = "`guard` of a rule" if close[0] == "guard" else f"{close[0]} below `guard` of a rule"
        raise LocalFileError(
            f"{name[:100]!r} means nothing here, and looks like {what}; for all rules there are flags, as "
            "--access-token-file FILE",
            _line(key),
        )


def _scalar(kind: Scalar, node: ScalarNode, name: str) -> Any:
    text: str = node.value
    if kind is TEXT:
        return well_formed(text)
    if kind is FLAG:
        if node.tag != _BOOL:
            raise LocalFileError(f"{name} takes true or false, not {text[:50]!r}", _line(node))
        return text.lower() in ("true", "yes", "on")
    if kind is DURATION:
        return _duration(text, name, node)
    if not re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII) or not kind.lowest <= int(text) <= kind.highest:
        raise LocalFileError(f"{name} takes a whole number, not {text[:50]!r}", _line(node))
    return int(text)


def _duration(text: str, name: str, node: ScalarNode) -> float:
    """Seconds."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        advice = f"; write {text}s if that is seconds" if re.fullmatch(r"[0-9.]{1,20}", text, re.ASCII) else ""
        raise LocalFileError(f"{name} takes a duration, as in 1m30s, not {text[:50]!r}{advice}", _line(node))
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > _MAX_SECONDS:
        raise LocalFileError(f"{name}: {text[:50]} is longer than any duration", _line(node))
    return -seconds if text.startswith("-") else seconds


def _line(node: Node) -> int:
    """From 1."""
    return int(node.start_mark.line) + 1
