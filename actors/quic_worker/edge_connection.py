"""One connection to the edge, over whatever it goes: all that the worker knows of a transport."""

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple

from actors.bus.messages import Protocol
from actors.processes.log import Logger
from actors.quic_worker.control import ControlStream
from actors.quic_worker.ends import Ended, WorkerEnd
from actors.quic_worker.engine import Path
from actors.wire.registration import (
    ConfigurationAnswer,
    Details,
    Refusal,
    Registration,
    local_configuration,
    read_result,
)

NO_ROUTE_ERRORS: Final = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL))
"""What the kernel says where it knows no way. (EPERM, a firewall's, is not among them.)"""


Push = Callable[[int, bytes, Callable[[ConfigurationAnswer], None]], None]
"""A configuration that the edge pushes: its version, its JSON, and whom to give the answer, once."""


class Told(NamedTuple):
    """Whom a connection tells what."""

    lost: Callable[[str], None]
    """The connection ended by itself, once it had been reached: why, in words."""
    leaving: Callable[[str], None]
    """The edge wants to end it, and waits for what runs: why, in its words. It may say so more than once."""
    pushed: Push
    """The edge pushes a configuration."""


class EdgeConnection(ABC):
    """A connection that is to be dialled, registered, kept alive, unregistered, flushed and closed, in this order.

    It may be closed at any time, and more than once. Requests go to the exchanges that it is made with. What its
    control stream carries is the same over every transport.
    """

    protocol: Protocol
    name: str
    """Of the protocol, as people write it."""
    _control: ControlStream

    def __init__(self, told: Told, log: Logger) -> None:
        self._told = told
        self._log = log
        self._reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done as soon as the edge is reached; or tells why it never will be."""

    @abstractmethod
    async def dial(self) -> None:
        """Reach the edge; when this returns, it can be asked to register us.

        Raises:
            Ended: it cannot be reached; with `NO_ROUTE` or `DIAL_FAILED`.
        """

    async def register(self, registration: Registration) -> Details | Refusal:
        """Offer the edge to serve a tunnel; return its answer.

        Raises:
            EdgeProtocolError: no answer in time, or none in the protocol.
        """
        return read_result(
            await self._control.call("registerConnection", registration.params(self.protocol, self.local_ip()))
        )

    async def configure(self, ingress: str) -> None:
        """Tell the edge where requests go: `ingress` is the JSON list of rules.

        Raises:
            EdgeProtocolError: it did not take it.
        """
        configuration = local_configuration(ingress, self.protocol)
        await self._control.call("updateLocalConfiguration", {"config": configuration})

    async def unregister(self) -> None:
        """Ask the edge for no more requests.

        Raises:
            EdgeProtocolError: it did not answer.
        """
        await self._control.call("unregisterConnection", {})

    @abstractmethod
    async def keep_alive(self) -> None:
        """Keep the path alive, and see when it is dead; without end."""

    @abstractmethod
    async def flushed(self) -> None:
        """Wait until the edge has all that was written to it, or is gone. The control stream does not count."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection, and tell the edge so at once."""

    @abstractmethod
    def path(self) -> Path:
        """What is known of the path to the edge."""

    def local_ip(self) -> bytes:
        """What the edge is told of our own address; empty: nothing."""
        return b""

    @abstractmethod
    def key_exchange(self) -> str:
        """The TLS group that was agreed, by its registered name; empty while that is not known."""

    # --- how it ends by itself ---

    def _failed(self, error: BaseException) -> None:
        """A fault in the engine leaves a connection that nobody can trust."""
        self._log.error(f"internal fault in the {self.name} engine", exc_info=error)
        self._lost(f"internal fault in the {self.name} engine: {error!r}")

    def _lost(self, why: str) -> None:
        """The connection is gone: whoever has it is told; before it was reached, whoever dials it."""
        if self._reached.done():
            self._told.lost(why)
            return
        self._end_dial(Ended(WorkerEnd.DIAL_FAILED, self._not_reached(why)))

    def _end_dial(self, ended: Ended) -> None:
        self._reached.set_exception(ended)
        self._reached.exception()  # seen here, in case nobody waits for it any more

    @abstractmethod
    def _not_reached(self, why: str) -> str:
        """What to say of a dial that failed."""
