"""Rules from what was given: inherited, checked, numbered. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.bus.routes import EVERY_HOST
from actors.guard import values
from actors.guard.wanted import GuardWanted
from actors.ingress import defaults, hostnames
from actors.ingress.defaults import Given
from actors.ingress.errors import IngressError, RuleError
from actors.ingress.model import AccessRequest, Configuration, OriginRequest, Rule, WarpRouting
from actors.ingress.patterns import Pattern, pattern
from actors.ingress.services import service

MAX_RULES: Final = 5000
"""Of a configuration: a pattern takes some KiB in every worker, and a request may have to be tried on all of them."""


def configuration(given: Given) -> Configuration:
    """The configuration that was given, by the attributes of `shapes.CONFIGURATION`.

    Raises:
        IngressError: it is not valid; a `RuleError`, if that is one rule's fault.
    """
    rules: Sequence[Given] = given.get("rules") or ()
    if len(rules) > MAX_RULES:
        raise IngressError(f"the configuration has {len(rules)} rules, which is more than {MAX_RULES}")
    request = defaults.over(OriginRequest(), given.get("request") or {})
    made = []
    for index, rule in enumerate(rules):
        try:
            made.append(_rule(rule, request, number=index + 1, is_last=index == len(rules) - 1))
        except IngressError as error:
            raise RuleError(str(error), index + 1) from None
    return Configuration(tuple(made), request, WarpRouting(**given.get("warp_routing") or {}))


def _rule(given: Given, inherited: OriginRequest, *, number: int, is_last: bool) -> Rule:
    hostname: str = given.get("hostname", "")
    path: str = given.get("path", "")
    request = defaults.over(inherited, given.get("request") or {})
    destination = service(given.get("service", ""), request)
    _check_access(request.access)
    hostnames.check(hostname, path, number=number, is_last=is_last)
    in_dns = "" if hostname in EVERY_HOST else hostnames.punycode(hostname)
    return Rule(destination, hostname, in_dns, path, request, _guard(given.get("guard")), _pattern(path, number))


def _guard(given: Given | None) -> GuardWanted | None:
    if given is None:
        return None
    wanted = msgspec.convert(given, GuardWanted)
    try:
        values.check(wanted)
    except ValueError as error:
        raise IngressError(f"guard: {error}") from None
    return wanted


def _pattern(path: str, number: int) -> Pattern | None:
    if not path:
        return None
    try:
        made = pattern(path)
        made.compile()
    except IngressError as error:
        raise IngressError(f"Rule #{number} has an invalid regex: {error}") from None
    return made


def _check_access(access: AccessRequest) -> None:
    if access.required and access.audiences and not access.team_name:
        raise IngressError("access.TeamName cannot be blank when access.audTags are present")
