"""JSON as Go's encoding/json reads it, with its words for what is wrong. Pure.

Numbers keep their text (`Number`), and objects their order and repeated keys (`Object`): what they mean depends on the
field that they are for.
"""

import json
import re
from typing import Any, Final, NoReturn

from actors.ingress.errors import IngressError

MAX_BYTES: Final = 1024 * 1024
"""Of a configuration: as much as the edge's messages can carry. Some 2000 rules take a quarter of it."""

MAX_DEPTH: Final = 64
"""Brackets within brackets: ours are 6 deep. What is deeper is no configuration, and costs stack."""

CUT_SHORT: Final = "unexpected end of JSON input"


class Number(str):
    """A number, as it is written."""

    __slots__ = ()


class Object(list[tuple[str, Any]]):
    """Keys and values in their order."""


# A text that has no end is one up to the end: each byte is looked at once, whatever comes.
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)

_WHERE: Final = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}
"""Python's words for what is wrong → Go's for where it is."""


def read(data: bytes) -> Any:
    """The value: None, a bool, a text, a `Number`, a list or an `Object`.

    Raises:
        IngressError: it is no JSON, too large or too deep.
    """
    if len(data) > MAX_BYTES:
        raise IngressError(f"the configuration has {len(data)} bytes, which is more than {MAX_BYTES}")
    text = data.decode(errors="replace")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise IngressError("exceeded max depth")
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise IngressError(_in_go(text, error)) from None


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    """Python's reader would take NaN and Infinity."""
    raise json.JSONDecodeError("Expecting value", name, 0)


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
)


def _in_go(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    if error.doc != text:  # NaN, Infinity, -Infinity: where it is was not told
        return f"invalid character '{error.doc[0]}' looking for beginning of value"
    what = error.msg.removesuffix(": ")
    if what.startswith(("Illegal trailing comma", "Invalid \\")):  # Go stumbles over what comes after it
        position += 1
    while position < len(text) and text[position] in " \t\r\n" and not what.startswith("Invalid"):
        position += 1
    if position >= len(text) or what.startswith("Unterminated string"):
        return CUT_SHORT
    where = _WHERE.get(what)
    if what == "Expecting ',' delimiter":
        where = "after object key:value pair" if _is_in_object(text[:position]) else "after array element"
    return f"invalid character {_quoted(text[position])} {where or 'looking for beginning of value'}"


def _is_in_object(text: str) -> bool:
    """Whether the innermost bracket that is open at the end of `text` is an object's."""
    open_ones: list[str] = []
    for token in _TOKEN.finditer(text):
        match text[token.start()]:
            case "[" | "{" as bracket:
                open_ones.append(bracket)
            case "]" | "}" if open_ones:
                open_ones.pop()
    return open_ones[-1:] == ["{"]


def _quoted(char: str) -> str:
    if char == "'":
        return r"'\''"
    return f"'{char}'" if char == '"' else f"'{json.dumps(char, ensure_ascii=False)[1:-1]}'"
