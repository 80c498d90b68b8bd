"""The edge over QUIC: how it is dialled, and what to say when that fails."""

import asyncio
from typing import Final

from actors.bus.messages import EdgeAddress, Transport
from actors.exchange.exchanges import Exchanges
from actors.processes.log import Logger
from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.control import ControlStream
from actors.quic_worker.dial import address_of, open_connection
from actors.quic_worker.edge_connection import NO_ROUTE_ERRORS, EdgeConnection, Told
from actors.quic_worker.ends import Ended, WorkerEnd
from actors.quic_worker.engine import IDLE_TIMEOUT, PING_INTERVAL, Closed, Path
from actors.quic_worker.quic import QuicConnection
from actors.quic_worker.streams import IncomingStream

DIAL_TIMEOUT: Final = 4.0
"""Seconds for the QUIC handshake: its first flight is sent again after 1 s and after 3 s (RFC 9002). Where UDP is
blocked, HTTP/2 is tried next, and somebody waits."""


class QuicEdge(EdgeConnection):
    """A connection over either of QUIC's engines."""

    protocol = "quic"
    name = "QUIC"

    def __init__(
        self,
        address: EdgeAddress,
        exchanges: Exchanges,
        told: Told,
        *,
        ca_file: str | None,
        transport: Transport,
        log: Logger,
    ) -> None:
        """`ca_file` replaces the trust roots."""
        super().__init__(told, log)
        self._address = address
        self._exchanges = exchanges
        self._ca_file = ca_file
        self._transport = transport
        self._connection: QuicConnection | None = None

    async def dial(self) -> None:
        address = self._address
        owner = Owner(self._accept, self._shaken_hands, self._closed, self._failed)
        try:
            connection = open_connection(address, self._ca_file, self._transport, owner)
        except OSError as error:
            raise self._cannot_send(error) from error
        self._connection = connection
        connection.connect(address_of(address))
        if connection.last_error is not None:
            raise self._cannot_send(connection.last_error)  # there is nothing to wait for
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await self._reached
        except TimeoutError:
            raise self._no_answer(DIAL_TIMEOUT) from None
        stream = connection.open_stream(ControlStream)  # the first of ours: the edge knows it by that
        assert isinstance(stream.handler, ControlStream)
        self._control = stream.handler

    def _cannot_send(self, error: OSError) -> Ended:
        end = WorkerEnd.NO_ROUTE if error.errno in NO_ROUTE_ERRORS else WorkerEnd.DIAL_FAILED
        return Ended(end, f"cannot send UDP to {self._address}: {error.strerror}")

    def _no_answer(self, waited: float) -> Ended:
        failed = None if self._connection is None else self._connection.last_error
        hint = f"; sending failed: {failed.strerror}" if failed is not None else ""
        return Ended(
            WorkerEnd.DIAL_FAILED,
            f"no answer from {self._address} over UDP within {waited:.0f} s{hint}. "
            f"Is UDP to port {self._address.port} allowed on this network?",
        )

    async def keep_alive(self) -> None:
        """PINGs; that nothing is answered is seen by the idle timeout."""
        assert self._connection is not None
        while True:
            await asyncio.sleep(PING_INTERVAL)
            self._connection.ping()

    async def flushed(self) -> None:
        assert self._connection is not None
        await self._connection.flushed(besides=self._control.stream)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(0, "")

    def path(self) -> Path:
        return Path() if self._connection is None else self._connection.engine.path()

    def key_exchange(self) -> str:
        return "" if self._connection is None else self._connection.engine.key_exchange()

    # --- from the connection ---

    def _accept(self, stream: Stream) -> None:
        stream.handler = IncomingStream(stream, self._exchanges, self._told.pushed, self._log)

    def _shaken_hands(self) -> None:
        if not self._reached.done():
            self._reached.set_result(None)

    def _closed(self, why: Closed) -> None:
        who = "application" if why.is_application else "QUIC"
        reason = why.reason or ("closed without a reason" if why.is_application else "no reason given")
        if why.is_silence and not self._reached.done():  # on a busy machine it may be seen before `DIAL_TIMEOUT`
            self._end_dial(self._no_answer(IDLE_TIMEOUT))
        else:
            self._lost(f"{reason} ({who} error {why.error_code:#x})")

    def _not_reached(self, why: str) -> str:
        hint = ""
        if self._transport.post_quantum:
            hint = ". --post-quantum takes no key exchange but X25519MLKEM768: does the edge know it?"
        return f"the QUIC handshake with {self._address} failed: {why}{hint}"
