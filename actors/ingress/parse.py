"""A configuration as the edge pushes it: JSON, read as Go reads it. Pure.

Keys are known in any case, unknown ones are passed over, of a repeated one the last counts, and null is as good as
nothing. `null` and `{}` are valid, and have no rules. What has the wrong type is refused, in Go's words.
"""

import json
from typing import Any

from actors.ingress import json_text, rules
from actors.ingress.errors import IngressError, well_formed
from actors.ingress.json_text import Number, Object
from actors.ingress.model import Configuration
from actors.ingress.shapes import CONFIGURATION, DURATION, FLAG, TEXT, Many, Scalar, Shape


def remote(data: bytes) -> Configuration:
    """Read a configuration.

    Raises:
        IngressError: it is not valid.
    """
    reader = _Reader()
    given = reader.read(CONFIGURATION, json_text.read(data), CONFIGURATION, ())
    if reader.wrong is not None:
        raise reader.wrong
    return rules.configuration(given or {})


class _Reader:
    """Goes through one configuration. A value of the wrong type is noted, and the first one told at the end: a
    duration that is none ends it at once."""

    def __init__(self) -> None:
        self.wrong: IngressError | None = None

    def read(self, kind: Scalar | Many | Shape, value: Any, parent: Shape, path: tuple[str, ...]) -> Any:
        """What `value` says, or None if that is nothing.

        Args:
            kind: what it should be.
            value: what it is.
            parent: the group of fields that it belongs to.
            path: its names from the top.
        """
        match kind, value:
            case _, None:
                return None
            case Shape(), Object():
                return self._fields(kind, value, path)
            case Many(), list() if not isinstance(value, Object):
                empty = kind.of.zero if isinstance(kind.of, Scalar) else {}
                parts = (self.read(kind.of, part, parent, path) for part in value)
                return [empty if part is None else part for part in parts]
            case Scalar(), _ if kind is DURATION:
                return _duration(value)
            case Scalar(), bool() if kind is FLAG:
                return value
            case Scalar(), str() if kind is TEXT and not isinstance(value, Number):
                return well_formed(value)
            case Scalar(), Number() if kind.highest and _is_whole(value, kind):
                return int(value)
        self._refuse(kind, value, parent, path)
        return None

    def _fields(self, shape: Shape, value: Object, path: tuple[str, ...]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for key, part in value:
            if (field := shape.find(key)) is None:
                continue
            given[field.attribute] = self.read(field.kind, part, shape, (*path, field.name))
        return {name: part for name, part in given.items() if part is not None}

    def _refuse(self, kind: Scalar | Many | Shape, value: Any, parent: Shape, path: tuple[str, ...]) -> None:
        if self.wrong is not None:
            return
        what = _called(value)
        if isinstance(kind, Scalar) and kind.highest and isinstance(value, Number):
            what = f"number {value}"
        into = f"Go struct field {parent.name}.{'.'.join(path)} of type" if path else "Go value of type"
        self.wrong = IngressError(f"json: cannot unmarshal {what} into {into} {kind.go}")


def _called(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case Number():
            return "number"
        case str():
            return "string"
        case Object():
            return "object"
    return "array"


def _is_whole(number: Number, kind: Scalar) -> bool:
    """Whether it is a whole number that the type holds: digits alone, no fraction and no exponent."""
    return (
        number.removeprefix("-").isdecimal()
        and len(number) <= len(str(kind.lowest or kind.highest))
        and kind.lowest <= int(number) <= kind.highest
    )


def _duration(value: Any) -> float:
    """Seconds: a whole number of them.

    Raises:
        IngressError: it is none.
    """
    if isinstance(value, Number) and _is_whole(value, DURATION):
        return float(value)
    text = str(value) if isinstance(value, Number) else json.dumps(_plain(value), ensure_ascii=False)
    is_whole = isinstance(value, Number) and value.removeprefix("-").isdecimal()
    why = "value out of range" if is_whole else "invalid syntax"
    raise IngressError(f"strconv.ParseInt: parsing {json.dumps(text, ensure_ascii=False)}: {why}")


def _plain(value: Any) -> Any:
    if isinstance(value, Object):
        return {key: _plain(part) for key, part in value}
    return [_plain(part) for part in value] if isinstance(value, list) else value
