"""What `bin/tunnel-doctor` looks at. Each check says what it found and, where something is wrong, what to do."""

import asyncio
import enum
import importlib.metadata
import importlib.util
import os
import platform
import socket
import ssl
import sys
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple

import zmq

from actors import __version__, trust
from actors.bus.messages import EdgeAddress, ProtocolWish, Proxy, Transport
from actors.errors import DiscoveryError
from actors.quic_worker.connection import Owner
from actors.quic_worker.dial import address_of, open_connection
from actors.quic_worker.udp import SOCKET_BUFFER
from actors.supervisor.discovery import EDGE_SERVICE, IpVersion, lookup
from actors.supervisor.network import sources
from actors.supervisor.provisioning import is_here
from actors.supervisor.proxies import ProxyRules

PATIENCE: Final = 5.0
"""Seconds for each answer from the network: a little more than a worker gives the edge over QUIC."""

CLOCK_WARN: Final = 60.0
CLOCK_FAIL: Final = 3600.0
"""Seconds by which this clock may differ from the API's: certificates and tokens are dated."""


class Verdict(enum.StrEnum):
    """What a finding means for a tunnel."""

    PASS = "PASS"
    WARN = "WARN"
    """It works without, or not as well."""
    FAIL = "FAIL"


class Finding(NamedTuple):
    """One line."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
    """What to do; empty with PASS."""


def versions() -> list[Finding]:
    """What runs here."""
    names = ("aioquic", "pycapnp", "msgspec", "httptools")
    parts = [f"tunnel-supervisor {__version__}", f"Python {platform.python_version()}", f"libzmq {zmq.zmq_version()}"]
    parts += [f"{name} {importlib.metadata.version(name)}" for name in names]
    found = [Finding("versions", Verdict.PASS, ", ".join(parts))]
    if (warning := trust.expiry_warning(date.today())) is not None:
        found.append(Finding("trust", Verdict.WARN, warning, "update tunnel-supervisor"))
    return found


def engine() -> Finding:
    """The QUIC engine, and what makes its sockets fast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        offloads = []
        for name, option in (("GSO", 103), ("GRO", 104)):
            try:
                probe.setsockopt(17, option, 0)
            except OSError:
                continue
            offloads.append(name)
    fast = [name for name in ("aiopquic", "uvloop") if importlib.util.find_spec(name) is not None]
    engines = f"aioquic, and with [fast] {' and '.join(fast)}" if fast else "aioquic"
    found = f"{engines}; {' and '.join(offloads) or 'no offloads'}"
    if len(offloads) == 2:
        return Finding("engine", Verdict.PASS, found)
    return Finding("engine", Verdict.WARN, found, "nothing to do: slower, since this system sends UDP one by one")


def udp_buffers() -> Finding:
    """How much the kernel lets a UDP socket hold."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
        got = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    if sys.platform == "linux":
        got //= 2  # it doubles what it is asked for, for its own bookkeeping: socket(7)
    found = f"{got // 1024} KiB of the {SOCKET_BUFFER // 1024} KiB that are asked for"
    if got >= SOCKET_BUFFER:
        return Finding("UDP buffers", Verdict.PASS, found)
    return Finding(
        "UDP buffers",
        Verdict.WARN,
        found,
        f"for high rates: sysctl -w net.core.rmem_max={SOCKET_BUFFER} net.core.wmem_max={SOCKET_BUFFER}",
    )


def proxies(rules: ProxyRules) -> Finding:
    """What is in the environment."""
    if rules.problem:
        return Finding("proxies", Verdict.WARN, rules.problem, "nothing, if port 7844 is allowed; else name another")
    if rules.proxy is None:
        return Finding("proxies", Verdict.PASS, "none")
    return Finding("proxies", Verdict.PASS, f"{rules.proxy}: for the API, and for HTTP/2; QUIC passes none")


async def api(url: str) -> list[Finding]:
    """Whether the tunnel API answers, and what time it thinks it is. No tunnel is asked for."""
    import httpx  # here, since it takes its time

    begun = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(trust_env=not is_here(url)) as client:
            response = await client.get(url)
    # A proxy of an unknown kind, certificates that cannot be read: httpx has an error of its own for each.
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ImportError, OSError, ValueError) as error:
        why = str(error) or type(error).__name__
        return [Finding("API", Verdict.FAIL, f"{url} does not answer: {why}", "allow HTTPS to it, or set HTTPS_PROXY")]
    took = f"{(time.monotonic() - begun) * 1000:.0f} ms"
    answered = Finding("API", Verdict.PASS, f"{url} answers ({response.status_code}) in {took}")
    return [answered, *clock(response.headers.get("date"), datetime.now(UTC))]


def clock(told: str | None, now: datetime) -> list[Finding]:
    """This clock against the Date of an answer."""
    try:
        theirs = parsedate_to_datetime(told or "")
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
        off = (now - theirs).total_seconds()
    except (ValueError, OverflowError):
        return []  # nothing to compare with
    found = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the API's"
    if abs(off) < CLOCK_WARN:
        return [Finding("clock", Verdict.PASS, found)]
    verdict = Verdict.WARN if abs(off) < CLOCK_FAIL else Verdict.FAIL
    return [Finding("clock", verdict, found, "set it (timedatectl set-ntp true): certificates are dated")]


async def dns(ip_version: IpVersion) -> tuple[list[Finding], list[EdgeAddress]]:
    """The edge's addresses, by the system's resolver and over TLS; what either found."""
    findings: list[Finding] = []
    found: list[EdgeAddress] = []
    for over_tls, name in ((False, "DNS"), (True, "DNS over TLS")):
        try:
            addresses = await lookup(EDGE_SERVICE, ip_version, over_tls=over_tls)
        except DiscoveryError as error:
            advice = "one of the two ways is enough; or give --edge HOST:PORT"
            findings.append(Finding(name, Verdict.WARN, str(error), advice))
            continue
        regions = len({address.region for address in addresses})
        findings.append(Finding(name, Verdict.PASS, f"{EDGE_SERVICE}: {len(addresses)} addresses in {regions} regions"))
        found = found or addresses
    if not found:
        findings = [f._replace(verdict=Verdict.FAIL, advice="mend DNS, or give --edge HOST:PORT") for f in findings]
    return findings, found


def choose(addresses: Iterable[EdgeAddress]) -> list[EdgeAddress]:
    """The first of each region and family."""
    chosen: dict[tuple[str, bool], EdgeAddress] = {}
    for address in addresses:
        chosen.setdefault((address.region, ":" in address.host), address)
    return list(chosen.values())


async def quic(address: EdgeAddress, ca_file: str | None) -> Finding:
    """A real handshake with the edge, as a worker makes it; nothing is registered."""
    check = f"QUIC {address}"
    if not sources([address]):
        is_ipv6 = ":" in address.host
        verdict = Verdict.WARN if is_ipv6 else Verdict.FAIL
        advice = "nothing, if IPv4 works" if is_ipv6 else "connect this machine to a network"
        return Finding(check, verdict, "there is no route to it", advice)
    begun = time.monotonic()
    over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(why: str, *, is_silence: bool = False) -> None:
        if over.done():
            return
        if is_silence:  # the engine's patience may be over before our own
            over.set_exception(TimeoutError())
        else:
            over.set_result(why)

    connection = open_connection(
        address,
        ca_file,
        Transport(),
        Owner(
            accept=lambda stream: stream.reset(),
            on_handshake=lambda: end(""),
            on_closed=lambda why: end(why.reason or f"error {why.error_code:#x}", is_silence=why.is_silence),
            on_fault=lambda error: end(f"internal fault: {error!r}"),
        ),
    )
    try:
        connection.connect(address_of(address))
        async with asyncio.timeout(PATIENCE):
            refused = await over
    except TimeoutError:
        hint = f" ({connection.last_error.strerror})" if connection.last_error else ""
        advice = f"allow UDP to port {address.port} on the way out: firewall, VPN or guest network"
        return Finding(check, Verdict.FAIL, f"no answer within {time.monotonic() - begun:.0f} s{hint}", advice)
    finally:
        connection.close(0, "")
    if refused:
        advice = "is something between here and the edge opening TLS? Its root would go to --edge-ca"
        return Finding(check, Verdict.FAIL, f"the handshake failed: {refused}", advice)
    took = (time.monotonic() - begun) * 1000
    return Finding(check, Verdict.PASS, f"{trust.EDGE_SERVER_NAME}, {trust.ALPN}: in {took:.0f} ms")


async def http2(address: EdgeAddress, ca_file: str | None, proxy: Proxy | None) -> Finding:
    """A real TLS handshake over TCP, as a worker makes it for HTTP/2, through the proxy if there is one for it."""
    from actors.quic_worker.proxy import ProxyRefused
    from actors.quic_worker.tcp import Receiver, open_pipe, trusting

    check = f"HTTP/2 {address}"
    way = f" through {proxy}" if proxy is not None else ""
    ignored = Receiver(lambda data: None, lambda: None, lambda why: None)
    begun = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            pipe = await open_pipe(address, trusting(ca_file), ignored, proxy=proxy)
    except ProxyRefused as error:
        return Finding(check, Verdict.FAIL, f"the proxy {proxy}: {error}", "have it allow CONNECT to that port")
    except TimeoutError:
        advice = f"allow TCP to port {address.port} on the way out"
        return Finding(check, Verdict.FAIL, f"no answer within {PATIENCE:.0f} s{way}", advice)
    except ssl.SSLError as error:
        advice = "is something between here and the edge opening TLS? Its root would go to --edge-ca"
        return Finding(check, Verdict.FAIL, f"the handshake failed{way}: {error.reason or error}", advice)
    except OSError as error:
        advice = f"allow TCP to port {address.port} on the way out"
        return Finding(check, Verdict.FAIL, f"cannot be reached{way}: {error.strerror or error}", advice)
    pipe.close()
    took = (time.monotonic() - begun) * 1000
    return Finding(check, Verdict.PASS, f"{trust.H2_SERVER_NAME}, over TCP{way}: in {took:.0f} ms")


def verdict(reached: Iterable[Finding], wish: ProtocolWish) -> list[Finding]:
    """What a tunnel will do: one address that answers is enough for it, by a protocol that it may speak."""
    findings = list(reached)
    works = {
        name: any(finding.check.startswith(name) and finding.verdict is Verdict.PASS for finding in findings)
        for name in ("QUIC", "HTTP/2")
    }
    wanted = {"auto": ("QUIC", "HTTP/2"), "quic": ("QUIC",), "http2": ("HTTP/2",)}[wish]
    spoken = next((name for name in wanted if works[name]), None)
    if spoken is not None:
        findings = [f._replace(verdict=Verdict.WARN) if f.verdict is Verdict.FAIL else f for f in findings]
    match spoken, wish:
        case None, "auto":
            last = Finding("verdict", Verdict.FAIL, "a tunnel cannot reach the edge", "see the lines above")
        case None, _:
            last = Finding(
                "verdict", Verdict.FAIL, f"a tunnel cannot reach the edge by {wanted[0]}", "leave out --protocol"
            )
        case "HTTP/2", "auto":
            text = "a tunnel will use HTTP/2, some seconds after its start: QUIC is not answered"
            last = Finding("verdict", Verdict.WARN, text, "nothing; allow UDP to port 7844 for QUIC, which is faster")
        case _:
            last = Finding("verdict", Verdict.PASS, f"a tunnel will use {spoken}")
    return [*findings, last]


async def origin(port: int) -> Finding:
    """Whether anything listens where requests would go."""
    for host in ("127.0.0.1", "::1"):
        try:
            async with asyncio.timeout(PATIENCE):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            continue
        writer.close()
        return Finding("origin", Verdict.PASS, f"something listens on port {port}")
    return Finding("origin", Verdict.WARN, f"nothing listens on port {port}", "start it: visitors get 502 until then")


def state_folder(folder: Path) -> Finding:
    """Whether the files can be written there."""
    parent = folder
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding("state folder", Verdict.PASS, str(folder))
    return Finding("state folder", Verdict.WARN, f"{folder} cannot be written to", "name another with --state-dir")
