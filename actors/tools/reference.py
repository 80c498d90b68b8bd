"""docs/cli.md: all programs and their flags, made from their parsers.

.venv/bin/python -m actors.tools.reference > docs/cli.md
"""

import argparse
from collections.abc import Iterable
from typing import Final

from actors.supervisor.flags import ENVIRONMENT_PREFIX, EXIT_CODES
from actors.tools import requests, status
from actors.tools.completion import ALL_PARSERS

_CODES: Final = {requests.NAME: requests.CODES, status.NAME: status.CODES}
"""What the exit codes mean of those that scripts ask for more than whether it was done."""

_HEAD: Final = f"""# The command line

Made from the parsers by `.venv/bin/python -m actors.tools.reference > docs/cli.md`; each program prints its part with
`--help`. All are in `bin/`, and all but `local-edge` are on your path after `pipx install .`. For completion, put
`eval "$(bin/tunnel-completion bash)"` into `~/.bashrc` (zsh, fish: see its `--help`).

Every flag of `tunnel-supervisor` but `--config` can be given as an environment variable too: `{ENVIRONMENT_PREFIX}` and
its name in capitals, with `_` for `-` (`{ENVIRONMENT_PREFIX}PORT=8080`; a switch takes 1 or 0; several `--edge` are
separated by commas). Or in a TOML file that `--config` names, by the same names:

```toml
port = 8080
connections = 4
metrics-http = "127.0.0.1:20241"
renew = true
edge = ["198.41.192.7:7844", "198.41.200.33:7844"]
```

A flag wins over a variable, and a variable over the file. A name that the file gets wrong is an error.
"""


def markdown() -> str:
    """The document."""
    parts = [_HEAD]
    for make in ALL_PARSERS:
        parser = make()
        parts.append(_program(parser))
        if parser.prog == "tunnel-supervisor":
            parts.append(_codes((str(code.value), text) for code, text in EXIT_CODES.items()))
        if (codes := _CODES.get(parser.prog)) is not None:
            parts.append(_codes((str(code.value), codes[code]) for code in sorted(codes)))
    return "\n".join(parts)


def _program(parser: argparse.ArgumentParser) -> str:
    lines = [f"## {parser.prog}", "", f"{(parser.description or '').rstrip('.')}.", ""]
    lines += ["| flag | |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._VersionAction):
            continue
        lines.append(f"| {_name(action)} | {_cell(action.help or '')} |")
    return "\n".join([*lines, ""])


def _codes(codes: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| exit code | |", "|---|---|", *(f"| {code} | {_cell(text)} |" for code, text in codes), ""])


def _name(action: argparse.Action) -> str:
    takes = ""
    if action.nargs != 0:
        takes = str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper())
    names = action.option_strings or [""]
    return ", ".join(f"`{' '.join(filter(None, (name, takes)))}`".replace("|", "\\|") for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
