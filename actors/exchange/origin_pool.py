"""Connections to one origin (a `Target`), kept between exchanges.

An idle connection may be closed by the origin at the very moment when a request is sent on it. So it is used only for
requests that may be repeated (`reuse.py`), and those are repeated once, on a fresh connection, when it was so.
Everything else gets a fresh connection. The pool never limits how many requests run.

Idle connections cost an origin what it may have little of: a thread, or one of a handful of sockets. So they are few
and short-lived, and none are left where a fresh one is not served.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from typing import Any, Final, cast

from actors.bus.routes import Origin
from actors.exchange import reuse
from actors.exchange.backend import Backend, OriginError
from actors.exchange.http1 import RequestHead
from actors.exchange.origin import OriginConnection, plain
from actors.exchange.origin_tls import explain, make_context
from actors.exchange.reach import Reach, Unreachable
from actors.exchange.request import Request
from actors.processes.means import EXHAUSTED

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to reach the origin, its TLS handshake included: it is on this machine or next to it."""

MAX_IDLE: Final = 2
"""Idle connections that are kept for the whole of --origin-keep-alive. A tunnel has two pools as it comes, and there
are devices that take seven connections in all."""

BRIEFLY: Final = 0.25
"""Seconds for which any number may be idle: of as many as were busy a moment ago, as many may be wanted at once again.
This is also how often the pool looks for those that it need not keep."""

STARVED: Final = 0.3
"""Seconds without an answer after which a fresh connection may be waiting for an idle one to end, and those are
closed, and kept but briefly until it comes. An answer that is slow for reasons of its own costs a few connections made
anew, which is little beside it."""

AT_ONCE: Final = 0.05
"""Seconds within which an answer that comes after idle ones were closed is taken to have waited for that."""

ONE_BY_ONE: Final = 60.0
"""Seconds for which none are kept then: the origin serves one connection after the other."""

KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds and counts after which the kernel notices an origin that vanished: a minute."""


class OriginPool:
    """The connections to one origin."""

    answer: Final = None

    def __init__(self, origin: Origin) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self._tls: ssl.SSLContext | None = None
        """Made for the first connection: it takes long, and of many rules few may ever be asked for."""
        self._reach: Reach[OriginConnection] = Reach(origin.hosts, origin.port)
        self._idle: deque[OriginConnection] = deque()
        self._trimming: asyncio.TimerHandle | None = None
        self._waiting: dict[OriginConnection, asyncio.TimerHandle] = {}
        """Fresh connections without a byte of an answer, and what is to be done if it stays so."""
        self._starved: set[OriginConnection] = set()
        """Those for which it stayed so."""
        self._made_room_at = float("-inf")
        self._keeps_none_until = float("-inf")
        self.failures = 0
        """Times so far that the origin could not be reached."""

    @property
    def origin(self) -> Origin:
        return self._origin

    def reuse(self, request: Request, head: RequestHead) -> OriginConnection | None:
        """An idle connection, if there is one and the request may go on it. The latest used comes first."""
        if not reuse.may_go_on_used(head):
            return None
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def connect(self, request: Request) -> OriginConnection:
        """Open a connection.

        Raises:
            OriginError: nothing answers there (502), not in time (504), or this machine is out of means (503).
        """
        impatience = self._loop.call_later(STARVED, self._make_room)
        try:
            return await self._open()
        except OSError as error:
            raise self._failed(error) from _telling(error)
        finally:
            impatience.cancel()

    async def _open(self) -> OriginConnection:
        origin = self._origin
        self._tls = self._tls or make_context(origin)
        if origin.scheme == "unix":
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, connection = await self._loop.create_unix_connection(lambda: OriginConnection(self), origin.path)
            return connection
        return await self._reach(self._try, OriginConnection.abort, timeout=CONNECT_TIMEOUT)

    async def _try(self, address: str) -> OriginConnection:
        name = (self._origin.server_name or self._origin.host) if self._tls is not None else None
        transport, connection = await self._loop.create_connection(
            lambda: OriginConnection(self), address, self._origin.port, ssl=self._tls, server_hostname=name
        )
        _keep_alive(transport.get_extra_info("socket"))
        return connection

    def _failed(self, error: OSError) -> OriginError:
        """What is said of it. This counts as a failure of the origin, unless it was this machine's."""
        origin = self._origin
        errors = error.errors if isinstance(error, Unreachable) else {str(origin): error}
        if lacking := next((each for each in errors.values() if each.errno in EXHAUSTED), None):
            # The visitor may come again; the origin is not to blame.
            return OriginError(f"cannot connect to {origin}: {plain(lacking)}", status=503)
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
        return OriginError(f"cannot connect to {origin}{tried}: {why}", status=status)

    def _why(self, error: OSError) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {CONNECT_TIMEOUT:.0f} s"
        if isinstance(error, ssl.SSLError) or (isinstance(error, ConnectionError) and not error.errno):
            return f"TLS failed: {explain(error)}"  # only asyncio's own errors, of a handshake, have no number
        return plain(error)

    # --- between exchanges ---

    def release(self, backend: Backend) -> None:
        """An exchange on it has ended: keep it for the next one, if that harms nobody."""
        connection = cast(OriginConnection, backend)  # it came from here
        now = self._loop.time()
        if now < self._keeps_none_until or not self._origin.keep_alive:
            self._made_room_at = now
            connection.close()
            return
        connection.idle(now)
        self._idle.append(connection)
        if self._trimming is None:
            self._trimming = self._loop.call_later(BRIEFLY, self._trim)

    def _trim(self) -> None:
        """Close what has been idle for too long."""
        now = self._loop.time()
        few = 0 if self._starved else MAX_IDLE
        while self._idle:
            seconds = now - self._idle[0].idle_since
            if seconds < self._origin.keep_alive and (len(self._idle) <= few or seconds < BRIEFLY):
                break
            self._made_room_at = now
            self._idle.popleft().close()
        self._trimming = self._loop.call_later(BRIEFLY, self._trim) if self._idle else None

    def _make_room(self) -> None:
        """Close what is idle: a fresh connection may be waiting for that."""
        if self._idle:
            self._made_room_at = self._loop.time()
            self._close_idle()

    def close(self) -> None:
        """Nobody else comes: close what is idle, and keep nothing from now on."""
        self._keeps_none_until = float("inf")
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.popleft().close()

    # --- told by connections (Keeper) ---

    def waits(self, connection: OriginConnection) -> None:
        self._waiting[connection] = self._loop.call_later(STARVED, self._starves, connection)

    def _starves(self, connection: OriginConnection) -> None:
        self._starved.add(connection)
        self._make_room()

    def answers(self, connection: OriginConnection) -> None:
        if connection in self._starved:
            now = self._loop.time()
            if now - self._made_room_at < AT_ONCE:
                self._keeps_none_until = now + ONE_BY_ONE
        self._waits_no_longer(connection)

    def forget(self, connection: OriginConnection) -> None:
        self._waits_no_longer(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)

    def _waits_no_longer(self, connection: OriginConnection) -> None:
        self._starved.discard(connection)
        if (timer := self._waiting.pop(connection, None)) is not None:
            timer.cancel()


def _telling(error: OSError) -> OSError:
    """Of the errors of several addresses the one that says most of the origin."""
    if not isinstance(error, Unreachable):
        return error
    errors = list(error.errors.values())
    for kind in (ssl.SSLError, ConnectionRefusedError, TimeoutError):
        if found := [each for each in errors if isinstance(each, kind)]:
            return found[0]
    return errors[0]


def _keep_alive(transport_socket: Any) -> None:
    with contextlib.suppress(OSError):
        transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                transport_socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
