"""The catalogue of events: docs/events.md, and the JSON Schema that `bin/tunnel-events --schema` prints.

.venv/bin/python -m actors.tools.catalogue > docs/events.md
"""

import ast
import inspect
import textwrap
from typing import Any, Final

import msgspec

from actors.bus import events

_HEAD: Final = """# Events

Made from `actors/bus/events.py` by `.venv/bin/python -m actors.tools.catalogue > docs/events.md`;
`bin/tunnel-events --schema` prints the same as JSON Schema.

On the event socket (PUB) an event is two frames: its type, which is the topic to subscribe to, and its payload, a map
in msgpack (or in JSON, with `--events-format json`). With `--json` it is a line of JSON on stdout. Every event has
`type`, `seq` (rises by one within its type: a gap is what was missed) and `time` (Unix seconds). New fields and new
types may come; what is here stays.

A subscriber that comes late learns where things stand from `stats`, within a second; or at once from `tunnel.json`,
or by asking the metrics socket (REQ) for `snapshot`.
"""


def kinds() -> list[type[events.Event]]:
    """All types of events, in the order of their appearance."""
    return list(events.AnyEvent.__args__)


def topic(kind: type[events.Event]) -> str:
    """The type of a kind of event, which is its topic."""
    return str(kind.__struct_config__.tag)


def schema() -> dict[str, Any]:
    """JSON Schema of any event."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(events.AnyEvent)}


def markdown() -> str:
    """The catalogue for people."""
    return "\n".join([_HEAD, *(_section(kind) for kind in kinds())])


def _section(kind: type[events.Event]) -> str:
    own = [field for field in msgspec.structs.fields(kind) if field.name not in ("seq", "time")]
    remarks = _remarks(kind)
    lines = [f"## {topic(kind)}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    if own:
        lines += ["| field | type | |", "|---|---|---|"]
        lines += [f"| `{field.name}` | {_words(field.type)} | {remarks.get(field.name, '')} |" for field in own]
        lines.append("")
    return "\n".join(lines)


def _remarks(kind: type[events.Event]) -> dict[str, str]:
    """The docstrings under the fields, which Python does not keep."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, remark in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(remark, ast.Expr) and isinstance(remark.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(remark.value.value).split())
    return found


def _words(kind: Any) -> str:
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if kind in names:
        return names[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "map of " + ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(kind))
    if kind == list[str]:
        return "list of texts"
    return " or ".join("null" if part is type(None) else _words(part) for part in kind.__args__)


if __name__ == "__main__":
    print(markdown(), end="")
