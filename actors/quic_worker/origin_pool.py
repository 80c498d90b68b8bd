"""Connections to the origin, kept between exchanges.

An idle connection may be closed by the origin at the very moment when a request is sent on it. So it is used only for
requests that may be repeated (RFC 9110 section 9.2.2) and have no body, and those are repeated once, on a fresh
connection, when it was so. Everything else gets a fresh connection. The pool never limits how many requests run.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import deque
from typing import Any, Final

from actors.messages import Origin
from actors.quic_worker.http1 import Body, RequestHead
from actors.quic_worker.origin import OriginConnection, OriginError, plain

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to reach the origin, its TLS handshake included: it is on this machine or next to it."""

MAX_IDLE: Final = 256
"""Idle connections that are kept; more only hold the origin's file descriptors."""

MAX_IDLE_TIME: Final = 60.0
"""Seconds that one is kept. Origins close theirs after 5 (uvicorn, Node) to 75 (nginx) themselves."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds and counts after which the kernel notices an origin that vanished: a minute."""

OUT_OF_MEANS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""What this process, not the origin, lacks for another connection."""

_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class OriginPool:
    """The connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        """Prepare for `origin`.

        Raises:
            OSError: its CA file cannot be read. ssl.SSLError: it holds no certificate.
        """
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._tls = _tls_context(origin)
        self._idle: deque[OriginConnection] = deque()
        self.failures = 0
        """Times so far that the origin could not be reached."""
        self._hosts = list(origin.hosts)

    @property
    def origin(self) -> Origin:
        return self._origin

    def reuse(self, head: RequestHead) -> OriginConnection | None:
        """An idle connection, if there is one and the request may go on it. The latest used comes first."""
        if head.method not in _REPEATABLE or head.body is not Body.NONE or head.upgrade:
            return None
        oldest = self._loop.time() - MAX_IDLE_TIME
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def connect(self) -> OriginConnection:
        """Open a connection.

        Raises:
            OriginError: nothing answers there (502), not in time (504), or this machine is out of means (503).
        """
        origin = self._origin
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self._open(origin)
        except OSError as error:
            if error.errno in OUT_OF_MEANS:  # the visitor may come again; the origin is not to blame
                raise OriginError(f"cannot connect to {origin}: {plain(error)}", status=503) from error
            self.failures += 1
            raise self._failed(origin, error) from error

    def _failed(self, origin: Origin, error: OSError) -> OriginError:
        if isinstance(error, TimeoutError):
            return OriginError(f"no connection to {origin} within {CONNECT_TIMEOUT:.0f} s", status=504)
        if isinstance(error, ssl.SSLError):
            return OriginError(f"TLS with {origin} failed: {error.reason or error}")
        tried = f" ({' and '.join(sorted(self._hosts))})" if len(self._hosts) > 1 else ""
        return OriginError(f"cannot connect to {origin}{tried}: {plain(error)}")

    async def _open(self, origin: Origin) -> OriginConnection:
        if origin.scheme == "unix":
            _, connection = await self._loop.create_unix_connection(lambda: OriginConnection(self), origin.path)
            return connection
        server_name = (origin.server_name or origin.host) if self._tls is not None else None
        for host in list(self._hosts):
            try:
                transport, connection = await self._loop.create_connection(
                    lambda: OriginConnection(self), host, origin.port, ssl=self._tls, server_hostname=server_name
                )
            except ConnectionRefusedError:
                if host == self._hosts[-1]:
                    raise
                continue
            if host != self._hosts[0]:
                self._hosts.reverse()  # the other one is tried first from now on
            _keep_alive(transport.get_extra_info("socket"))
            return connection
        raise AssertionError("no address to connect to")

    def release(self, connection: OriginConnection) -> None:
        """An exchange on it has ended: keep it for the next one."""
        connection.idle(self._loop.time())
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.popleft().close()

    def forget(self, connection: OriginConnection) -> None:
        """It has ended by itself."""
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close what has been idle for too long."""
        oldest = self._loop.time() - MAX_IDLE_TIME
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.popleft().close()


def _tls_context(origin: Origin) -> ssl.SSLContext | None:
    if origin.scheme != "https":
        return None
    context = ssl.create_default_context(cafile=origin.ca_file)
    if not origin.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _keep_alive(transport_socket: Any) -> None:
    with contextlib.suppress(OSError):
        transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                transport_socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
