"""`bin/tunnel-ingress`: what is wrong with a file of ingress rules, and which rule a URL meets."""

import argparse
import os
import sys
import urllib.parse
from pathlib import Path
from typing import Final

from actors.bus.routes import Origin, Routes
from actors.errors import UsageError
from actors.guard.wanted import NOTHING
from actors.ingress import local_file, routing
from actors.ingress.allowed import EVERYTHING
from actors.ingress.errors import IngressError, RuleError
from actors.ingress.local_file import LocalFile
from actors.ingress.match import Table
from actors.ingress.model import Rule
from actors.supervisor import guards
from actors.tools.running import Failed, Status, run

NAME: Final = "tunnel-ingress"

VALID: Final = 0
NOT_VALID: Final = 1
"""The file says something wrong; or the URL meets no rule."""

_CODES: Final = f"""exit codes:
  {VALID}  the rules are valid; the URL meets one
  {NOT_VALID}  they are not; it meets none
  {Status.USAGE.value}  usage, or the file cannot be read
"""

_PAGE: Final = Origin(host="127.0.0.1", port=1)
"""Stands for the page of our own, which does not run now."""


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = argparse.ArgumentParser(
        prog=NAME,
        description="Say what is wrong with ingress rules in a file (validate), or which of them a URL meets (rule).",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("command", choices=("validate", "rule"))
    made.add_argument("file", type=Path, metavar="FILE", help="rules in YAML: a config.yml of the Go client will do")
    made.add_argument("url", nargs="?", metavar="URL", help="with rule: what a visitor asks for, as https://HOST/PATH")
    return made


def _work() -> int:
    asked = parser().parse_args()
    if (asked.command == "rule") != (asked.url is not None):
        raise Failed(Status.USAGE, "rule takes a file and a URL, validate a file alone")
    where = _host_and_target(asked.url) if asked.url is not None else None
    try:
        found, routes = _read(asked.file)
    except IngressError as error:
        print(f"{asked.file}: {error}")
        return NOT_VALID
    if where is not None:
        return _tell_rule(found, Table(routes.routes).find(*where))
    for key in found.ignored:
        print(f"{NAME}: {asked.file}: {key} means nothing here, and is passed over", file=sys.stderr)
    count = len(found.configuration.rules)
    print(f"{asked.file}: {count} rule{'' if count == 1 else 's'}, valid")
    return VALID


def _read(path: Path) -> tuple[LocalFile, Routes]:
    """The file, and what would come of it.

    Raises:
        IngressError: it is not valid.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(local_file.MAX_CHARACTERS + 1)
    except OSError as error:
        raise Failed(Status.USAGE, f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise IngressError("it is no text in UTF-8") from None
    found = local_file.read(text)
    try:
        made = routing.routes(
            found.configuration,
            version=-1,
            hello_world=_PAGE,
            allowed=EVERYTHING,
            read_file=lambda name: open(name).close(),
        )
    except RuleError as error:
        raise found.located(error) from None
    _check_guards(found, path)
    return found, made


def _check_guards(found: LocalFile, path: Path) -> None:
    """See that the secrets are there which guards of rules name.

    Raises:
        IngressError: they are not, or make no sense.
    """
    wanted = [rule.guard for rule in found.configuration.rules]
    warnings: list[str] = []
    try:
        guards.read(NOTHING, wanted, os.environ, warnings)
    except UsageError as error:
        raise IngressError(str(error)) from None
    for warning in warnings:
        print(f"{NAME}: {path}: {warning}", file=sys.stderr)


def _host_and_target(url: str) -> tuple[bytes, bytes]:
    """What a request for a URL says of itself."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        parts = urllib.parse.urlsplit("")
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not host:
        raise Failed(Status.USAGE, f"{url[:200]!r} is no http:// or https:// URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host.encode(errors="replace"), target.encode(errors="replace")


def _tell_rule(found: LocalFile, index: int | None) -> int:
    if index is None:
        print("no rule: the visitor gets status 503")
        return NOT_VALID
    rule = found.configuration.rules[index]
    print(f"rule #{index + 1} (line {found.lines[index]}): {_conditions(rule)} → {rule.service}")
    return VALID


def _conditions(rule: Rule) -> str:
    told = [("hostname", rule.hostname), ("path", rule.path)]
    return ", ".join(f"{name} {value}" for name, value in told if value) or "everything"


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
