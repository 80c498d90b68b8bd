"""A connection whose datagrams we drive ourselves: when to send, when to wake, what comes together.

A batch of datagrams is dealt with as a whole before anything is sent.
"""

import asyncio
import socket
from collections.abc import Callable

from actors.quic_worker.connection import Owner
from actors.quic_worker.engine import Address, Datagram, PacketEngine
from actors.quic_worker.quic import QuicConnection
from actors.quic_worker.udp import ANY_ADDRESS, UdpSocket


class DatagramConnection(QuicConnection):
    """A connection over a `PacketEngine`; `send` lets datagrams leave."""

    engine: PacketEngine

    def __init__(self, engine: PacketEngine, send: Callable[[list[Datagram]], None], owner: Owner) -> None:
        super().__init__(owner)
        self.engine = engine
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._transmit_scheduled = False

    def connect(self, address: Address) -> None:
        self.enter(self._connect, address)

    def _connect(self, address: Address) -> None:
        self.engine.connect(address, self._loop.time())
        self.transmit()

    def receive(self, datagrams: list[Datagram]) -> None:
        """Take a batch of datagrams: all are read before anything is delivered, and that before anything is sent."""
        self.enter(self._received, datagrams)

    def _received(self, datagrams: list[Datagram]) -> None:
        self.engine.receive(datagrams, self._loop.time())
        self.engine.deliver(self)
        self.transmit()

    def close(self, error_code: int = 0, reason: str = "") -> None:
        self._attempt(self._close, error_code, reason)

    def _close(self, error_code: int, reason: str) -> None:
        self.engine.close(error_code, reason)
        self.transmit()

    def transmit_soon(self) -> None:
        if not self._transmit_scheduled:
            self._transmit_scheduled = True
            self._loop.call_soon(self.enter, self._scheduled_transmit)

    def _scheduled_transmit(self) -> None:
        if self._transmit_scheduled:
            self.engine.deliver(self)  # what waited for its consumer
            self.transmit()

    def transmit(self) -> None:
        """Send what is due now, wake the writers that have room again, and set the timer."""
        self._transmit_scheduled = False
        self._send(self.engine.datagrams(self._loop.time()))
        self.progressed()
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.engine.timer()
        if self._timer is not None:
            # A timer that comes early costs less than a new one after each batch.
            if due is not None and self._timer_at <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self.enter, self._expired)
            self._timer_at = due  # not every loop's handles say so

    def _expired(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = self.engine.timer()
        if due is not None and due <= now:
            self.engine.expire(now)
            self.engine.deliver(self)
        self.transmit()  # it may have come early, or only the pacer waited

    def _end_streams(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super()._end_streams()

    def connection_id_issued(self, connection_id: bytes) -> None:
        """Of interest to a server with many connections on one socket only."""

    def connection_id_retired(self, connection_id: bytes) -> None:
        """Likewise."""


class UdpConnection(DatagramConnection):
    """A client's connection, with a socket of its own."""

    def __init__(self, engine: PacketEngine, family: socket.AddressFamily, owner: Owner) -> None:
        """Open the socket.

        Raises:
            OSError: there is none to be had.
        """
        self._udp = UdpSocket(ANY_ADDRESS[family], family, self.receive)
        super().__init__(engine, self._udp.send, owner)

    @property
    def last_error(self) -> OSError | None:
        return self._udp.last_error

    def close(self, error_code: int = 0, reason: str = "") -> None:
        super().close(error_code, reason)
        self._udp.close()
