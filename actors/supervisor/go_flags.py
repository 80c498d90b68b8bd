"""Flags of the Go client, as its users' file of rules has them beside the rules, in our words. Pure."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_OURS: Final = {
    "protocol": "protocol",
    "metrics": "metrics-http",
    "ha-connections": "connections",
    "region": "region",
    "edge": "edge",
    "edge-ip-version": "edge-ip-version",
    "post-quantum": "post-quantum",
    "token-file": "token-file",
    "loglevel": "log-level",
    "grace-period": "grace-period",
    "url": "url",
    "unix-socket": "url",
    "hello-world": "hello-world",
    "http-host-header": "host-header",
    "origin-server-name": "origin-server-name",
    "origin-ca-pool": "origin-ca",
    "no-tls-verify": "no-tls-verify",
}
"""Their flag → ours."""

_OF_ONE_ORIGIN: Final = frozenset(
    (
        *("url", "unix-socket", "hello-world", "http-host-header"),
        *("origin-server-name", "origin-ca-pool", "no-tls-verify"),
    )
)
"""Those that say where requests go, and how: beside rules they mean nothing, to the Go client neither."""

_LEVELS: Final = {"warn": "warning", "fatal": "error", "panic": "error"}
"""Their levels of the log that have another name here."""

_GRACE: Final = re.compile(r"(?:([0-9]{1,3})m)?(?:([0-9]{1,5})s)?", re.ASCII)


class Translated(NamedTuple):
    """What a file says of flags."""

    said: dict[str, tuple[str, str]]
    """Our flag → theirs, and the value for ours."""
    passed_over: list[str]
    """Theirs that mean nothing here."""


def translate(flags: Mapping[str, str], *, has_rules: bool) -> Translated:
    """Say in our flags what a file says in theirs. `has_rules`: the file has rules too."""
    said, passed_over = {}, []
    for name, value in flags.items():
        ours = _OURS.get(name)
        if ours is None or (has_rules and name in _OF_ONE_ORIGIN):
            passed_over.append(name)
        else:
            said[ours] = name, _value(name, value)
    return Translated(said, passed_over)


def _value(name: str, value: str) -> str:
    match name:
        case "unix-socket":
            return f"unix:{value}"
        case "loglevel":
            return _LEVELS.get(value, value)
        case "grace-period" if value and (parts := _GRACE.fullmatch(value)):
            return str(int(parts[1] or 0) * 60 + int(parts[2] or 0))
    return value
