"""Which fields a configuration has, by the names that files and JSON give them, and what their values are. Pure.

The names of types are Go's: they stand in the texts of errors.
"""

from typing import Any, Final, NamedTuple

import msgspec

from actors.guard.wanted import GuardWanted
from actors.ingress.model import AccessRequest, OriginRequest, WarpRouting


class Scalar(NamedTuple):
    """A single value."""

    go: str
    zero: Any
    lowest: int = 0
    highest: int = 0
    """Of a whole number."""


TEXT: Final = Scalar("string", "")
FLAG: Final = Scalar("bool", False)
INT: Final = Scalar("int", 0, -(2**63), 2**63 - 1)
UINT: Final = Scalar("uint", 0, 0, 2**64 - 1)
UINT64: Final = Scalar("uint64", 0, 0, 2**64 - 1)
DURATION: Final = Scalar("config.CustomDuration", 0.0, -(2**63), 2**63 - 1)


class Many(NamedTuple):
    """A list."""

    of: "Scalar | Shape"
    or_one: bool = False
    """Whether a single value stands for a list of it, and an empty one for an empty list."""

    @property
    def go(self) -> str:
        return f"[]{self.of.go}"


class Field(NamedTuple):
    """A field: its name in files, its name here, and what it holds."""

    name: str
    attribute: str
    kind: "Scalar | Many | Shape"


class Shape:
    """A group of fields."""

    def __init__(self, go: str, *fields: Field) -> None:
        """Name it as Go does, with its package."""
        self.go = go
        self.fields: Final = {field.name: field for field in fields}
        self._folded: Final = {_folded(field.name): field for field in fields}

    @property
    def name(self) -> str:
        """Without its package."""
        return self.go.rpartition(".")[2]

    def find(self, key: str) -> Field | None:
        """The field of a key in JSON, whose case does not count."""
        return self.fields.get(key) or self._folded.get(_folded(key))


def _folded(key: str) -> str:
    """As Go folds it: the long s is an s, but a character never becomes two."""
    if key.isascii():
        return key.lower()
    return "".join(folded if len(folded := char.casefold()) == 1 else char for char in key)


def _fields(struct: type[msgspec.Struct], **special: "Scalar | Many | Shape") -> list[Field]:
    usual = {str: TEXT, bool: FLAG, int: INT, float: DURATION}
    return [
        Field(field.encode_name, field.name, special.get(field.name) or usual[field.type])
        for field in msgspec.structs.fields(struct)
    ]


ACCESS: Final = Shape("config.AccessConfig", *_fields(AccessRequest, audiences=Many(TEXT)))

IP_RULE: Final = Shape(
    "config.IngressIPRule",
    Field("prefix", "prefix", TEXT),
    Field("ports", "ports", Many(INT)),
    Field("allow", "allow", FLAG),
)

ORIGIN_REQUEST: Final = Shape(
    "config.OriginRequestConfig",
    *_fields(OriginRequest, ip_rules=Many(IP_RULE), access=ACCESS, proxy_port=UINT),
)

RULE: Final = Shape(
    "config.UnvalidatedIngressRule",
    Field("hostname", "hostname", TEXT),
    Field("path", "path", TEXT),
    Field("service", "service", TEXT),
    Field("originRequest", "request", ORIGIN_REQUEST),
)

WARP_ROUTING: Final = Shape("config.WarpRoutingConfig", *_fields(WarpRouting, max_active_flows=UINT64))

_LISTS: Final = ("verify_webhook", "allow_ip", "deny_ip", "allow_path", "deny_path")

GUARD: Final = Shape(
    "guard",
    *(
        Field(
            name.replace("_", "-"),
            name,
            Many(TEXT, or_one=True) if name in _LISTS else FLAG if name == "banner" else TEXT,
        )
        for name in GuardWanted.__struct_fields__
    ),
)
"""Of a rule in a file of this machine; the names are those of our flags."""

LOCAL_RULE: Final = Shape(RULE.go, *RULE.fields.values(), Field("guard", "guard", GUARD))

CONFIGURATION: Final = Shape(
    "ingress.RemoteConfigJSON",
    Field("originRequest", "request", ORIGIN_REQUEST),
    Field("ingress", "rules", Many(RULE)),
    Field("warp-routing", "warp_routing", WARP_ROUTING),
)
