"""The rules of a file of this machine (`--config FILE.yml`): what the supervisor makes of them."""

import argparse

from actors.bus.routes import Origin, Routes
from actors.errors import UsageError
from actors.ingress import routing
from actors.ingress.errors import IngressError
from actors.ingress.local_file import LocalFile
from actors.ingress.model import Configuration
from actors.ingress.versions import NEVER
from actors.supervisor import go_flags
from actors.supervisor.rule_files import check_roots

_A_PAGE = Origin(host="localhost", port=1)
"""Stands for the page of our own, which runs later, if a rule names it."""


def checked(file: LocalFile) -> Configuration | None:
    """The rules of a file; None: it has none.

    Raises:
        UsageError: workers could not keep to them.
    """
    if not file.configuration.rules:
        return None
    routes(file.configuration, _A_PAGE)
    return file.configuration


def routes(configuration: Configuration, page: Origin | None) -> Routes:
    """Where requests go by these rules. `page`: where the page of our own is.

    Raises:
        UsageError: a rule cannot be kept.
    """
    try:
        return routing.routes(
            configuration,
            version=NEVER,
            hello_world=page,
            allowed=routing.EVERYTHING,
            read_file=check_roots,
        )
    except IngressError as error:
        raise UsageError(f"the rules of --config: {error}") from None


def warnings(file: LocalFile, given: argparse.Namespace) -> list[str]:
    """What the user should know of what the file says in vain."""
    found = []
    if file.ignored:
        found.append(f"--config {given.config}: not known, and passed over: {', '.join(file.ignored)}")
    if passed_over := go_flags.translate(file.flags, has_rules=bool(file.configuration.rules)).passed_over:
        found.append(f"--config {given.config}: means nothing here, and is passed over: {', '.join(passed_over)}")
    if given.run is None and (file.tunnel or file.credentials_file):
        found.append(
            f"--config {given.config} names a tunnel, which is for `tunnel-supervisor run`; this is a quick one"
        )
    return found
