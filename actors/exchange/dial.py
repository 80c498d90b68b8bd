"""Opens connections of TCP and TLS to origins and services, and says why there is none."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from actors.bus.addresses import HostPort
from actors.exchange.backend import OriginError
from actors.exchange.origin import OriginConnection, plain
from actors.exchange.origin_tls import explain
from actors.exchange.reach import Reach, Unreachable
from actors.processes.means import EXHAUSTED

NO_LIMIT: Final = 24 * 3600.0
"""Seconds where the rules set no limit: the kernel gives up long before."""

PROBES: Final = 3
"""Of the kernel, without an answer, after which a peer has vanished."""

Make = Callable[[], OriginConnection]


class Dialler:
    """Opens connections to one host, or to one of several."""

    def __init__(
        self,
        name: str,
        hosts: Sequence[str],
        port: int,
        *,
        connect_timeout: float,
        keep_alive_period: float,
        tls_timeout: float = 0.0,
        beside: bool = True,
        closed: HostPort | None = None,
    ) -> None:
        """`name` stands in errors; `hosts` are names or IP addresses. Times are in seconds: 0 sets no limit, or, as
        `keep_alive_period`, sends no probes. `beside`: see `Reach`. `closed`: an address where no connection may lead,
        however it is called."""
        self._name = name
        self._port = port
        self._closed = closed
        self._connect_timeout = connect_timeout or NO_LIMIT
        self._tls_timeout = tls_timeout or NO_LIMIT
        self._keep_alive_period = keep_alive_period
        self._reach: Reach[OriginConnection] = Reach(hosts, port, beside=beside)
        self.failures = 0
        """Times so far that nothing could be reached; this machine's own want of means does not count."""

    async def tcp(
        self, make: Make, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> OriginConnection:
        """Open a connection by TCP; with `tls` that of the name is spoken on it.

        Raises:
            OriginError: nothing answers there (502), not in time (504), or this machine is out of means (503).
        """

        async def attempt(address: str) -> OriginConnection:
            async with _within(self._connect_timeout, "no answer"):
                made = await self._connected(address)
            try:
                return await self._begun(make, made, tls, server_name)
            except BaseException:
                made.close()
                raise

        timeout = self._connect_timeout + (self._tls_timeout if tls is not None else 0.0)
        try:
            return await self._reach(attempt, OriginConnection.abort, timeout=timeout)
        except OSError as error:
            raise self.failed(error) from _telling(error)

    async def unix(
        self, make: Make, path: str, tls: ssl.SSLContext | None = None, server_name: str | None = None
    ) -> OriginConnection:
        """Open a connection to a socket of this machine.

        Raises:
            OriginError: as `tcp`.
        """
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            async with _within(self._connect_timeout, "no answer"):
                await asyncio.get_running_loop().sock_connect(made, path)
            return await self._begun(make, made, tls, server_name)
        except BaseException as error:
            made.close()
            if isinstance(error, OSError):
                raise self.failed(error) from error
            raise

    async def _connected(self, address: str) -> socket.socket:
        loop = asyncio.get_running_loop()
        (family, kind, protocol, _, where), *_ = await loop.getaddrinfo(address, self._port, type=socket.SOCK_STREAM)
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(made, where)
            if self._closed is not None and leads_to(made, self._closed):
                raise OSError("that is this tunnel's own inspector, which nobody reaches through the tunnel")
        except BaseException:
            made.close()
            raise
        keep_alive(made, self._keep_alive_period)
        return made

    async def _begun(
        self, make: Make, made: socket.socket, tls: ssl.SSLContext | None, server_name: str | None
    ) -> OriginConnection:
        loop = asyncio.get_running_loop()
        if tls is None:
            _, connection = await loop.create_connection(make, sock=made)
            return connection
        try:
            async with _within(self._tls_timeout, "no TLS handshake"):
                _, connection = await loop.create_connection(
                    make, sock=made, ssl=tls, server_hostname=server_name, ssl_handshake_timeout=NO_LIMIT
                )
        except ssl.SSLError:  # some are ValueErrors, too
            raise
        except ValueError as error:  # of which no certificate can be had: a label that is empty or too long
            raise OSError(f"{server_name!r} is no name that a certificate could have") from error
        return connection

    def failed(self, error: OSError) -> OriginError:
        """What is said of it. This counts as a failure of the other side, unless it was this machine's."""
        errors = error.errors if isinstance(error, Unreachable) else {self._name: error}
        if lacking := next((each for each in errors.values() if each.errno in EXHAUSTED), None):
            # The visitor may come again; the origin is not to blame.
            return OriginError(f"cannot connect to {self._name}: {plain(lacking)}", status=503)
        self.failures += 1
        whys = {address: self._why(each) for address, each in errors.items()}
        if len(set(whys.values())) == 1:
            tried = f" ({' and '.join(whys)})" if len(whys) > 1 else ""
            why = next(iter(whys.values()))
        else:
            tried = ""
            why = "; ".join(f"{address}: {each}" for address, each in whys.items())
        if any(isinstance(each, ConnectionRefusedError) for each in errors.values()):
            why += "; does anything listen there?"
        status = 504 if all(isinstance(each, TimeoutError) for each in errors.values()) else 502
        return OriginError(f"cannot connect to {self._name}{tried}: {why}", status=status)

    def _why(self, error: OSError) -> str:
        if isinstance(error, TimeoutError) and error.errno is None:
            return str(error) or f"no answer within {self._connect_timeout:g} s"
        if isinstance(error, ssl.SSLError) or (isinstance(error, ConnectionError) and not error.errno):
            return f"TLS failed: {explain(error)}"  # only asyncio's own errors, of a handshake, have no number
        return plain(error)


def leads_to(made: socket.socket, closed: HostPort) -> bool:
    """Whether a connection of TCP has come to this address of our own."""
    here, there = made.getsockname(), made.getpeername()
    if there[1] != closed.port:
        return False
    bound, reached = ipaddress.ip_address(closed.host), _address(there[0])
    return reached == bound or (bound.is_unspecified and (reached.is_loopback or reached == _address(here[0])))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, without the zone of IPv6; an IPv4 one in IPv6 is itself."""
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


@contextlib.asynccontextmanager
async def _within(seconds: float, what: str) -> Any:
    """Give up after so long, and say what did not happen."""
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            yield
    except TimeoutError as error:
        if bound.expired():
            raise TimeoutError(f"{what} within {seconds:g} s") from error
        raise


def _telling(error: OSError) -> OSError:
    """Of the errors of several addresses the one that says most of the other side."""
    if not isinstance(error, Unreachable):
        return error
    errors = list(error.errors.values())
    for kind in (ssl.SSLError, ConnectionRefusedError, TimeoutError):
        if found := [each for each in errors if isinstance(each, kind)]:
            return found[0]
    return errors[0]


def keep_alive(made: socket.socket, period: float) -> None:
    """Let the kernel look every so many seconds whether the peer of an idle connection is still there; 0: never."""
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(period))
        if not period:
            return
        seconds = max(1, round(period))
        for name, value in (
            ("TCP_KEEPIDLE", seconds),
            ("TCP_KEEPINTVL", max(1, seconds // PROBES)),
            ("TCP_KEEPCNT", PROBES),
        ):
            if hasattr(socket, name):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
