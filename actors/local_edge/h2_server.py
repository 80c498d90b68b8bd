"""The edge's TCP port: TLS without ALPN, and HTTP/2 behind it. For tests it drops or refuses what comes."""

import asyncio
import contextlib
import socket
import ssl
import struct
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, cast, get_args

from actors.errors import UsageError
from actors.local_edge.certificates import Authority, server_context
from actors.local_edge.edge import PROBE_NAME, EdgeRegistry
from actors.local_edge.h2_link import H2Link
from actors.processes.tasks import Tasks
from actors.quic_worker.engine import IDLE_TIMEOUT

SERVER_NAME: Final = "h2.cftunnel.com"

Network = Literal["open", "silent", "refused"]
"""How the network treats TCP: it passes, is dropped as a firewall does, or is answered with resets."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: to close sends a reset."""


class H2Server:
    """Serves every client that comes."""

    def __init__(self, registry: EdgeRegistry, authority: Authority, folder: Path, tasks: Tasks) -> None:
        """Keys pass through a file in `folder`, which is gone at once."""
        self._registry = registry
        self._tasks = tasks
        self._names: weakref.WeakKeyDictionary[ssl.SSLObject, str] = weakref.WeakKeyDictionary()
        """What each client asked for."""
        self._context = server_context(authority.issue((SERVER_NAME, PROBE_NAME)), folder)
        self._context.sni_callback = self._choose
        self._server: asyncio.Server | None = None
        self._network: Network = "open"
        self._passes = asyncio.Event()
        self._passes.set()
        self._transports: dict[asyncio.Transport, H2Link | None] = {}
        """What lies under TLS; None while that is not through."""
        self.address = ("", 0)
        """IP literal and port that were bound."""

    async def listen(self, address: tuple[str, int]) -> None:
        """Bind, and serve.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Arrival(self._arrived, self._transports), *address)
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Close every connection, and the port."""
        if self._server is not None:
            self._server.close()
        for transport, link in list(self._transports.items()):
            if link is not None:
                link.close(0, "the edge stops")
            else:
                transport.abort()

    async def treat(self, network: str) -> None:
        """Have the network treat connections like this, those that are there and those that come.

        Raises:
            OSError: the address cannot be bound again.
            UsageError: there is no such way.
        """
        if network not in get_args(Network):
            raise UsageError(f"tcp must be one of {', '.join(get_args(Network))}, not {network!r}")
        self._network = cast(Network, network)
        if network == "refused":
            self._refuse()
            return
        if self._server is None:
            await self.listen(self.address)
        if network == "open":
            self._passes.set()
        else:
            self._passes.clear()
        for link in list(self._transports.values()):
            if link is not None:
                link.freeze(network == "silent")

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._transports):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        self._passes.set()  # who waits finds its connection closed

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if name not in (SERVER_NAME, PROBE_NAME):
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        self._names[connection] = name
        return None

    def _arrived(self, transport: asyncio.Transport) -> None:
        self._transports[transport] = None
        self._tasks.start(self._greet(transport), name="TLS")

    async def _greet(self, transport: asyncio.Transport) -> None:
        await self._passes.wait()
        link = H2Link(self._registry, lambda: self._forget(transport))
        with contextlib.suppress(OSError):  # ssl.SSLError is one: no handshake, no client
            secured = await asyncio.get_running_loop().start_tls(
                transport, link, self._context, server_side=True, ssl_handshake_timeout=IDLE_TIMEOUT
            )
            if secured is not None:  # else it was aborted meanwhile
                self._begin(transport, secured, link)
                return
        self._forget(transport)
        transport.abort()

    def _forget(self, transport: asyncio.Transport) -> None:
        self._transports.pop(transport, None)

    def _begin(self, transport: asyncio.Transport, secured: asyncio.Transport, link: H2Link) -> None:
        name = self._names[secured.get_extra_info("ssl_object")]
        if name == PROBE_NAME:
            self._registry.note("handshake", server_name=name, protocol=link.protocol)
            self._forget(transport)
            secured.close()
            return
        self._transports[transport] = link
        link.begin(secured, name)
        if self._network == "silent":
            link.freeze(True)


class _Arrival(asyncio.Protocol):
    """A connection before TLS: nothing is read of it."""

    def __init__(
        self, arrived: Callable[[asyncio.Transport], None], transports: dict[asyncio.Transport, H2Link | None]
    ) -> None:
        self._arrived = arrived
        self._transports = transports
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._arrived(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._transports.pop(self._transport, None)
