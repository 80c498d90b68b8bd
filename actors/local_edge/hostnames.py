"""Which names lead a visitor to a tunnel. Pure."""

import json
from typing import Any


def named_by(configuration: bytes) -> tuple[str, ...]:
    """The hostnames of a configuration's rules, each once, in their order; none if it is no configuration."""
    try:
        rules = _member(json.loads(configuration), "ingress")
    except (ValueError, RecursionError):
        return ()
    names = [_member(rule, "hostname") for rule in rules] if isinstance(rules, list) else []
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name not in ("", "*")))


def _member(value: Any, name: str) -> Any:
    """A member of an object, its name in any case, as Go reads JSON; None if there is none."""
    if not isinstance(value, dict):
        return None
    return next((member for key, member in reversed(value.items()) if key.lower() == name), None)


def without_port(host: str) -> str:
    """A Host field as names are compared: in lower case, and without its port, which differs where it is forwarded."""
    return host.partition(":")[0].lower()


def fit(name: str, host: str) -> int:
    """How well a tunnel's name fits a host (`without_port`): 0 not at all, and more the more of it is said.

    `*.example.com` fits what ends in `.example.com`; a name of other letters than ASCII fits as DNS spells it, too.
    """
    name = without_port(name)
    if name.startswith("*."):
        return len(name) - 1 if host.endswith(name[1:]) else 0
    return len(name) + 1 if host in (name, _in_dns(name)) else 0


def _in_dns(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
