"""`bin/tunnel-doctor`: what stands in the way of a tunnel on this machine, one line each, and what to do."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from actors.bus.messages import EdgeAddress
from actors.errors import TunnelError
from actors.supervisor.discovery import IpVersion, by_name, resolve_given
from actors.supervisor.flag_values import port
from actors.supervisor.flags import add_edge_flags
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL
from actors.supervisor.proxies import ProxyRules
from actors.tools import checks
from actors.tools.checks import Finding, Verdict
from actors.tools.running import CODES, Failed, Status, make_parser, run, state_folder

NAME: Final = "tunnel-doctor"


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    codes = CODES | {Status.DOES_NOT_SERVE: "one would fail"}
    made = make_parser(
        NAME, "What stands in the way of a tunnel here. None is asked for; exit code 1: one would fail.", codes
    )
    made.add_argument("run", nargs="?", choices=("run",), help="a tunnel of your own: no API is asked")
    made.add_argument("--port", type=port, metavar="PORT", help="look whether something listens there, too")
    add_edge_flags(made)
    made.add_argument("--json", action="store_true", help="a list of findings as JSON")
    return made


async def examine(given: argparse.Namespace) -> list[Finding]:
    """All checks, those that wait for the network side by side."""
    rules = ProxyRules.read(os.environ)
    found = [*checks.versions(), checks.engine(), checks.udp_buffers(), checks.proxies(rules)]
    found.append(checks.state_folder(state_folder(given)))
    if given.port is not None:
        found.append(await checks.origin(given.port))
    if given.run is not None:
        return [*found, *await _network(given, rules)]
    service, network = await asyncio.gather(
        checks.api(given.service_url or DEFAULT_SERVICE_URL), _network(given, rules)
    )
    return [*found, *service, *network]


async def _network(given: argparse.Namespace, rules: ProxyRules) -> list[Finding]:
    findings, addresses = await _addresses(given)
    ca_file = str(given.edge_ca) if given.edge_ca else None
    if not addresses and rules.proxy is not None and not given.edge:
        addresses = by_name()
    chosen = checks.choose(addresses)
    reached = await asyncio.gather(
        *(checks.quic(address, ca_file) for address in chosen if not address.is_name),
        *(checks.http2(address, ca_file, rules.for_edge(address)) for address in chosen),
    )
    return checks.verdict([*findings, *reached], given.protocol or "auto")


async def _addresses(given: argparse.Namespace) -> tuple[list[Finding], list[EdgeAddress]]:
    version: IpVersion = given.edge_ip_version or "auto"
    if not given.edge:
        return await checks.dns(version)
    try:
        return [], await resolve_given(given.edge, version)
    except TunnelError as error:
        return [Finding("--edge", Verdict.FAIL, str(error), "give an address that can be resolved")], []


def _lines(findings: list[Finding]) -> Iterable[str]:
    width = max(len(finding.check) for finding in findings)
    for check, verdict, found, advice in findings:
        yield f"{verdict}  {check.ljust(width)}  {found}" + (f" -> {advice}" if advice else "")


def _work() -> int:
    given = parser().parse_args()
    try:
        findings = asyncio.run(examine(given))
    except TunnelError as error:
        raise Failed(Status.USAGE, str(error)) from None
    if given.json:
        print(msgspec.json.encode([finding._asdict() for finding in findings]).decode())
    else:
        print("\n".join(_lines(findings)))
    return int(any(finding.verdict is Verdict.FAIL for finding in findings))


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
