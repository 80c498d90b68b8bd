"""Where settings come from: flags first, then the environment, then the file of --config. Each speaks in text."""

import argparse
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.errors import UsageError
from actors.processes.environment import cleaned, variable
from actors.supervisor import go_flags
from actors.supervisor.flags import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from actors.ingress.local_file import LocalFile

WHAT: Final = ("port", "url", "hello_world")
"""The flags that say what to show; one of them."""

PROOFS: Final = ("token", "token_file", "credentials_file")
"""The flags that say which tunnel of one's own it is; one of them, and the first of several."""

TOKEN_VARIABLES: Final = (f"{ENVIRONMENT_PREFIX}TOKEN", "TUNNEL_TOKEN")
"""What holds a token itself."""

GO_VARIABLES: Final = {
    "TUNNEL_TOKEN": "token",
    "TUNNEL_TOKEN_FILE": "token-file",
    "TUNNEL_CRED_FILE": "credentials-file",
}
"""Variables of the Go client's users, and their flags: read for `run` alone, where ours say nothing."""

SERVICE_LINKS: Final = ("tcp://", "udp://", "sctp://")
"""How Kubernetes' variables of a service's address begin."""

_FLAGS_ONLY: Final = ("help", "version", "config")

_YAML: Final = re.compile(r"(?:\s*(?:#.*)?\n)*(?:---|\{|[\"']?[\w-]+[\"']?\s*:(?:\s|$))")
"""How a file of rules begins; no line of TOML does."""


def fill(
    given: argparse.Namespace, parser: argparse.ArgumentParser, environment: Mapping[str, str]
) -> "LocalFile | None":
    """Add to the flags in `given` what environment and file say of the others; return the file if it has rules (YAML).

    `given.run`: not None for a tunnel of one's own; the variables with its token are for that alone.

    Raises:
        UsageError: a variable, or a line of the file, makes no sense.
    """
    actions = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if action.dest not in _FLAGS_ONLY
    }
    kept = {name: action for name, action in actions.items() if given.run is not None or action.dest not in PROOFS}
    _add(given, actions, _variables(environment, kept))
    if given.config is None:
        return None
    text = _read_text(given.config)
    if given.config.suffix in (".yml", ".yaml") or _YAML.match(text):
        rules = _rules(given.config, text)
        said = go_flags.translate(rules.flags, has_rules=bool(rules.configuration.rules)).said
        _add(
            given,
            kept,
            {
                ours: _Said(f"--config {given.config}: {name}", value, _read)
                for ours, (name, value) in said.items()
                if ours in kept
            },
        )
        return rules
    _add(given, actions, _settings(given.config, text, actions))
    return None


def in_words(dest: str) -> str:
    """A flag as it is written."""
    return f"--{dest.replace('_', '-')}"


class _Said(NamedTuple):
    """What a source says of a setting."""

    where: str
    value: Any
    read: Callable[[str, Any, argparse.Action], Any]


def _add(given: argparse.Namespace, actions: Mapping[str, argparse.Action], said: Mapping[str, _Said]) -> None:
    """Take what was not said yet. The rest is not even read: what a better source overrules need make no sense."""
    # What to show is one decision, and whose tunnel it is another: a source that made it makes the others' moot.
    decided = {name for group in (WHAT, PROOFS) if any(getattr(given, one) for one in group) for name in group}
    for name, (where, value, read) in said.items():
        action = actions[name]
        if getattr(given, action.dest) is not None or action.dest in decided:
            continue
        taken = read(where, value, action)
        if name.startswith("no-") and isinstance(action, argparse.BooleanOptionalAction):
            taken = not taken
        setattr(given, action.dest, taken)


def _variables(environment: Mapping[str, str], actions: Mapping[str, argparse.Action]) -> dict[str, _Said]:
    said = {}
    ours = {ENVIRONMENT_PREFIX + name.replace("-", "_").upper(): name for name in actions}
    for where, name in (GO_VARIABLES | ours).items():  # ours are the last, and win
        text = variable(environment, where) if name in actions else ""
        if text and not _is_service_link(environment, where, text):
            said[name] = _Said(where, text, _read)
    return said


def _is_service_link(environment: Mapping[str, str], where: str, text: str) -> bool:
    """Whether Kubernetes set this variable, as it does in every pod beside a service that has this program's name."""
    service = where.removesuffix("_PORT")
    return service != where and text.startswith(SERVICE_LINKS) and f"{service}_SERVICE_HOST" in environment


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError
        raise UsageError(f"--config {path}: is no text: {error}") from None


def _rules(path: Path, text: str) -> "LocalFile":
    from actors.ingress import local_file  # here, since few have such a file

    try:
        return local_file.read(text)
    except ValueError as error:
        raise UsageError(f"--config {path}: {error}") from None


def _settings(path: Path, text: str, actions: Mapping[str, argparse.Action]) -> dict[str, _Said]:
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise UsageError(f"--config {path}: is no TOML: {error}") from None
    values = {}
    for name, value in content.items():
        if name not in actions:
            close = difflib.get_close_matches(name, actions, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see --help for those that there are"
            raise UsageError(f"--config {path}: there is no setting {name[:100]!r}{hint}")
        if name == "token":
            raise UsageError(f"--config {path}: a token has no place there; put it into a file of its own: token-file")
        values[name] = _Said(f"--config {path}: {name}", value, _read_value)
    return values


def _read_value(name: str, value: Any, action: argparse.Action) -> Any:
    """A value of the file: as TOML has it, where that fits, else as the flag would take it."""
    if isinstance(value, bool) and (_is_switch(action) or action.nargs == "?"):
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
