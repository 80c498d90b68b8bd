"""Defaults: filled in, built-in ← top `originRequest` ← rule, and taken out again for reports. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from actors.bus.routes import IpRule
from actors.ingress.model import AccessRequest, Configuration, OriginRequest, Rule, Status

Given = Mapping[str, Any]
"""What was given, by the names of attributes; what was not is not there."""

NO_RULES: Final = Status(503)
"""What a configuration without rules comes to."""

_UNSET: Final = {
    field.encode_name: 0
    for field in msgspec.structs.fields(OriginRequest)
    if isinstance(field.default, int | float) and field.default
}
"""The request of the one rule that stands for none: where there are limits by default, it has none."""


def over(base: OriginRequest, given: Given) -> OriginRequest:
    """`base`, with what was given in its place, field by field; an empty text or false is given as well."""
    changes = dict(given)
    if "access" in changes:
        changes["access"] = AccessRequest(
            **{**changes["access"], "audiences": tuple(changes["access"].get("audiences", ()))}
        )
    if "ip_rules" in changes:
        changes["ip_rules"] = tuple(
            IpRule(rule.get("prefix", ""), tuple(rule.get("ports", ())), rule.get("allow", False))
            for rule in changes["ip_rules"]
        )
    return msgspec.structs.replace(base, **changes)


def complete(configuration: Configuration) -> dict[str, Any]:
    """The configuration by the names of its JSON, with all defaults filled in: what is in force."""
    return {
        "ingress": [_rule(rule, _plain(rule.request)) for rule in configuration.rules or (Rule(NO_RULES),)],
        "originRequest": _plain(configuration.request),
        "warp-routing": _plain(configuration.warp_routing),
    }


def local_configuration(configuration: Configuration, flags: Mapping[str, str]) -> bytes:
    """What `updateLocalConfiguration` carries: the rules with what differs from the defaults, and our flags.

    Args:
        flags: by the names of the Go client's.
    """
    told = {"__configuration_flags": dict(sorted(flags.items())), "ingress": local_rules(configuration)}
    return msgspec.json.encode({**told, "warp-routing": _differing(configuration.warp_routing)})


def local_rules(configuration: Configuration) -> list[dict[str, Any]]:
    """Its part with the rules."""
    rules = [_rule(rule, _differing(rule.request)) for rule in configuration.rules]
    return rules or [_rule(Rule(NO_RULES), _UNSET)]  # none are told as the Go client does: nothing is set


def _rule(rule: Rule, request: dict[str, Any]) -> dict[str, Any]:
    told = {"hostname": rule.hostname, "path": rule.path, "service": str(rule.service)}
    return {**{name: value for name, value in told.items() if value}, "originRequest": request}


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    """All fields, by their names in JSON."""
    return {field.encode_name: _value(getattr(struct, field.name)) for field in msgspec.structs.fields(struct)}


def _differing(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields that are not as they are by default."""
    usual = type(struct)()
    return {
        field.encode_name: _value(value)
        for field in msgspec.structs.fields(struct)
        if (value := getattr(struct, field.name)) != getattr(usual, field.name)
    }


def _value(value: Any) -> Any:
    match value:
        case float():  # seconds
            return int(value) if value.is_integer() else value
        case AccessRequest():
            return _differing(value)
        case IpRule():
            return {"prefix": value.prefix, "ports": list(value.ports), "allow": value.allow}
        case tuple():
            return [_value(part) for part in value]
    return value
