"""Where settings come from: flags first, then the environment, then the file of --config. Each speaks in text."""

import argparse
import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.errors import UsageError
from actors.processes.environment import cleaned, variable
from actors.supervisor.flags import ENVIRONMENT_PREFIX

WHAT: Final = ("port", "url", "hello_world")
"""The flags that say what to show; one of them."""

SERVICE_LINKS: Final = ("tcp://", "udp://", "sctp://")
"""How Kubernetes' variables of a service's address begin."""

_FLAGS_ONLY: Final = ("help", "version", "config")


def fill(given: argparse.Namespace, parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """Add to the flags in `given` what environment and file say of the others.

    Raises:
        UsageError: a variable, or a line of the file, makes no sense.
    """
    actions = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if action.dest not in _FLAGS_ONLY
    }
    _add(given, actions, _variables(environment, actions))
    if given.config is not None:
        _add(given, actions, _read_file(given.config, actions))


class _Said(NamedTuple):
    """What a source says of a setting."""

    where: str
    value: Any
    read: Callable[[str, Any, argparse.Action], Any]


def _add(given: argparse.Namespace, actions: Mapping[str, argparse.Action], said: Mapping[str, _Said]) -> None:
    """Take what was not said yet. The rest is not even read: what a better source overrules need make no sense."""
    # What to show is one decision: a source that made it makes the others' moot.
    decided = any(getattr(given, name) for name in WHAT)
    for name, (where, value, read) in said.items():
        action = actions[name]
        if getattr(given, action.dest) is not None or (decided and action.dest in WHAT):
            continue
        taken = read(where, value, action)
        if name.startswith("no-") and isinstance(action, argparse.BooleanOptionalAction):
            taken = not taken
        setattr(given, action.dest, taken)


def _variables(environment: Mapping[str, str], actions: Mapping[str, argparse.Action]) -> dict[str, _Said]:
    said = {}
    for name in actions:
        where = ENVIRONMENT_PREFIX + name.replace("-", "_").upper()
        if (text := variable(environment, where)) and not _is_service_link(environment, where, text):
            said[name] = _Said(where, text, _read)
    return said


def _is_service_link(environment: Mapping[str, str], where: str, text: str) -> bool:
    """Whether Kubernetes set this variable, as it does in every pod beside a service that has this program's name."""
    service = where.removesuffix("_PORT")
    return service != where and text.startswith(SERVICE_LINKS) and f"{service}_SERVICE_HOST" in environment


def _read_file(path: Path, actions: Mapping[str, argparse.Action]) -> dict[str, _Said]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise UsageError(f"--config {path}: is no TOML: {error}") from None
    values = {}
    for name, value in content.items():
        if name not in actions:
            close = difflib.get_close_matches(name, actions, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see --help for those that there are"
            raise UsageError(f"--config {path}: there is no setting {name[:100]!r}{hint}")
        values[name] = _Said(f"--config {path}: {name}", value, _read_value)
    return values


def _read_value(name: str, value: Any, action: argparse.Action) -> Any:
    """A value of the file: as TOML has it, where that fits, else as the flag would take it."""
    if isinstance(value, bool) and _is_switch(action):
        return value
    if isinstance(value, list) and isinstance(action, argparse._AppendAction):
        return [part for entry in value for part in _read(name, str(entry), action)]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{name}: a {type(value).__name__} makes no sense here")
    try:
        text = str(value)
    except ValueError:
        raise UsageError(f"{name}: a number of thousands of digits makes no sense") from None
    return _read(name, text, action)


def _is_switch(action: argparse.Action) -> bool:
    return action.nargs == 0


def _read(name: str, text: str, action: argparse.Action) -> Any:
    text = cleaned(text)
    if "\0" in text:
        raise UsageError(f"{name}: there is a NUL in it")
    if _is_switch(action):
        if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
            raise UsageError(f"{name}={text[:100]!r}: give 1 or 0")
        return text.lower() in ("1", "true", "yes")
    if action.choices is not None and text not in action.choices:
        raise UsageError(f"{name}={text[:100]!r}: give one of {', '.join(action.choices)}")
    convert = action.type if callable(action.type) else str
    try:
        if isinstance(action, argparse._AppendAction):
            return [convert(part.strip()) for part in text.split(",")]
        return convert(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{name}: {error}") from None
    except ValueError:
        raise UsageError(f"{name}={text[:100]!r} makes no sense") from None
