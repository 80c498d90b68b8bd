"""`bin/tunnel-doctor`: what stands in the way of a tunnel on this machine, one line each, and what to do."""

import argparse
import asyncio
import sys
from collections.abc import Iterable
from typing import Final

import msgspec

from actors.bus.messages import EdgeAddress
from actors.errors import TunnelError
from actors.supervisor.discovery import IpVersion, resolve_given
from actors.supervisor.flag_values import port
from actors.supervisor.flags import add_edge_flags
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL
from actors.tools import checks
from actors.tools.checks import Finding, Verdict
from actors.tools.running import Failed, Status, make_parser, run, state_folder

NAME: Final = "tunnel-doctor"


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = make_parser(NAME, "What stands in the way of a tunnel here. None is asked for; exit code 1: one would fail.")
    made.add_argument("--port", type=port, metavar="PORT", help="look whether something listens there, too")
    add_edge_flags(made)
    made.add_argument("--json", action="store_true", help="a list of findings as JSON")
    return made


async def examine(given: argparse.Namespace) -> list[Finding]:
    """All checks, those that wait for the network side by side."""
    found = [*checks.versions(), checks.engine(), checks.udp_buffers(), checks.proxies()]
    found.append(checks.state_folder(state_folder(given)))
    if given.port is not None:
        found.append(await checks.origin(given.port))
    service, network = await asyncio.gather(checks.api(given.service_url or DEFAULT_SERVICE_URL), _network(given))
    return [*found, *service, *network]


async def _network(given: argparse.Namespace) -> list[Finding]:
    findings, addresses = await _addresses(given)
    ca_file = str(given.edge_ca) if given.edge_ca else None
    chosen = checks.choose(addresses)
    reached = await asyncio.gather(
        *(checks.quic(address, ca_file) for address in chosen), *(checks.tcp(address) for address in chosen)
    )
    return [*findings, *_with_each_other(reached)]


async def _addresses(given: argparse.Namespace) -> tuple[list[Finding], list[EdgeAddress]]:
    version: IpVersion = given.edge_ip_version or "auto"
    if not given.edge:
        return await checks.dns(version)
    try:
        return [], await resolve_given(given.edge, version)
    except TunnelError as error:
        return [Finding("--edge", Verdict.FAIL, str(error), "give an address that can be resolved")], []


def _with_each_other(findings: Iterable[Finding]) -> list[Finding]:
    """One address that answers is enough for a tunnel: others that do not are a warning then."""
    findings = list(findings)
    if any(finding.check.startswith("QUIC") and finding.verdict is Verdict.PASS for finding in findings):
        return [f._replace(verdict=Verdict.WARN) if f.verdict is Verdict.FAIL else f for f in findings]
    return findings


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
