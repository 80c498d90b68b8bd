"""Connections to one origin (a `Target`), kept between exchanges.

An idle connection may be closed by the origin at the very moment when a request is sent on it. So it is used only for
requests that may be repeated (`reuse.py`), and those are repeated once, on a fresh connection, when it was so.
Everything else gets a fresh connection. The pool never limits how many requests run.

Idle connections cost an origin what it may have little of: a thread, or one of a handful of sockets. So they are few
and short-lived, and none are left where a fresh one is not served.
"""

import asyncio
import contextlib
import functools
import ssl
from collections import deque
from typing import Final, cast

from actors.bus.addresses import HostPort, without_port
from actors.bus.routes import Origin
from actors.exchange import reuse
from actors.exchange.backend import Backend
from actors.exchange.dial import Dialler
from actors.exchange.http1 import RequestHead
from actors.exchange.origin import OriginConnection
from actors.exchange.origin_tls import TLS, UNIX, make_context
from actors.exchange.request import Request

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


class OriginPool:
    """The connections to one origin."""

    answer: Final = None

    def __init__(self, origin: Origin, closed: HostPort | None = None) -> None:
        """`closed`: see `Dialler`."""
        self._loop = asyncio.get_running_loop()
        self._origin = origin
        self.name: Final = str(origin)
        self._tls: ssl.SSLContext | None = None
        """Made for the first connection: it takes long, and of many rules few may ever be asked for."""
        self._dial = Dialler(
            self.name,
            origin.hosts,
            origin.port,
            connect_timeout=origin.connect_timeout,
            tls_timeout=origin.tls_timeout,
            keep_alive_period=origin.keep_alive_period,
            beside=origin.happy_eyeballs,
            closed=closed,
        )
        self._idle: deque[OriginConnection] = deque()
        self._trimming: asyncio.TimerHandle | None = None
        self._waiting: dict[OriginConnection, asyncio.TimerHandle] = {}
        """Fresh connections without a byte of an answer, and what is to be done if it stays so."""
        self._starved: set[OriginConnection] = set()
        """Those for which it stayed so."""
        self._made_room_at = float("-inf")
        self._keeps_none_until = float("-inf")

    @property
    def origin(self) -> Origin:
        return self._origin

    @property
    def failures(self) -> int:
        return self._dial.failures

    def reuse(self, request: Request, head: RequestHead) -> OriginConnection | None:
        """An idle connection, if there is one and the request may go on it. The latest used comes first."""
        if not reuse.may_go_on_used(head):
            return None
        name, others = self._name(request), []
        found = None
        while self._idle and found is None:
            connection = self._idle.pop()
            if not connection.is_usable:
                connection.close()
            elif connection.name == name:
                found = connection
            else:
                others.append(connection)
        self._idle.extend(reversed(others))
        return found

    async def connect(self, request: Request, head: RequestHead) -> OriginConnection:
        """Open a connection.

        Raises:
            OriginError: nothing answers there (502), not in time (504), or this machine is out of means (503).
        """
        origin = self._origin
        impatience = self._loop.call_later(STARVED, self._make_room)
        try:
            if self._tls is None and origin.scheme in TLS:
                self._tls = await self._context()
            name = self._name(request)
            make = functools.partial(OriginConnection, self, name=name)
            if origin.scheme in UNIX:
                return await self._dial.unix(make, origin.path, self._tls, name)
            return await self._dial.tcp(make, self._tls, name)
        finally:
            impatience.cancel()

    async def _context(self) -> ssl.SSLContext:
        try:
            return await asyncio.to_thread(make_context, self._origin)  # to read all the roots takes long
        except OSError as error:
            raise self._dial.failed(error) from error

    def _name(self, request: Request) -> str | None:
        """By which name a request's connection goes in TLS."""
        origin = self._origin
        if origin.scheme not in TLS:
            return None
        if origin.match_sni_to_host or (origin.scheme in UNIX and origin.server_name is None):
            return without_port(request.host).decode("latin-1").lower()
        return origin.server_name or origin.host

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
        few = 0 if self._starved else self._origin.keep_alive_connections
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
