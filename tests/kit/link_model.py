"""Two ends of a QUIC connection on a line in virtual time: real engines, real packets, no sockets and no clock.

What `path_model.py` is for a congestion controller alone, this is for all that drives a connection: both directions
lose, delay and reorder, timers come when they are due, and a minute on a slow line takes seconds.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any, Final

from actors.bus.messages import CongestionControl
from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.datagrams import DatagramConnection
from actors.quic_worker.engine import Address, Closed, Datagram
from tests.kit.engines import make_client_engine, make_edge_engine

CLIENT: Final[Address] = ("192.0.2.1", 1)
SERVER: Final[Address] = ("192.0.2.2", 2)

QUEUE_SECONDS: Final = 0.1
"""What the queue before the line holds, in seconds of its rate."""

LATENESS: Final = 1e-6
"""Seconds by which a timer comes late, as every real one does: aioquic sets one that is on the dot anew, for ever."""

PING_SECONDS: Final = 1.0
"""The client says that it lives, as a worker does."""


class Clock:
    """The event loop as a connection sees it, in virtual time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = itertools.count()
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, arguments, self._loop)
        heapq.heappush(self._due, (when + LATENESS, next(self._order), handle))
        return handle

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        return self.call_at(self.now, callback, *arguments)

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    def run_until(self, is_over: Callable[[], bool], limit: float) -> bool:
        """Let time pass until something is so, for `limit` seconds at most; return whether it is."""
        end = self.now + limit
        while not is_over():
            if not self._due or self._due[0][0] > end:
                self.now = end
                return is_over()
            when, _, handle = heapq.heappop(self._due)
            self.now = max(self.now, when)
            if not handle.cancelled():
                handle._callback(*handle._args)  # type: ignore[attr-defined]
        return True


class Far:
    """A stream's handler: counts, consumes, and at the end answers with `answer` bytes, if it is to."""

    def __init__(self, stream: Stream, *, answer: int | None = None) -> None:
        self.stream = stream
        self.received = 0
        self.ended = False
        self.cut = False
        self._answer = answer
        stream.handler = self

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.stream.consumed(len(data))

    def eof_received(self) -> None:
        self.ended = True
        if self._answer is not None:
            self.stream.write(bytes(self._answer), fin=True)

    def reset_received(self) -> None:
        self.cut = True

    def stop_received(self) -> None:
        self.cut = True

    def pause_writing(self) -> None:
        """What it writes is all there is."""

    def resume_writing(self) -> None:
        """Likewise."""


class Line:
    """A client (the worker's end) and a server (the edge's), connected when it is made."""

    def __init__(
        self,
        *,
        rtt: float,
        megabits: float = 10.0,
        loss: float = 0.0,
        reorder: float = 0.0,
        congestion_control: CongestionControl = "bbr",
        answer: int | None = 2,
        seed: int = 1,
    ) -> None:
        """`rtt`: seconds. `loss`, `reorder`: shares of packets, each way. `answer`: bytes that the client sends at the
        end of each of the server's streams; None: it does not answer."""
        self.rtt, self.rate, self.loss, self.reorder = rtt, megabits * 1e6 / 8, loss, reorder
        self.clock = Clock()
        self.closed: list[Closed] = []
        self.faults: list[BaseException] = []
        self.accepted: list[Far] = []
        self.before_sending: Callable[[DatagramConnection], None] = lambda connection: None
        """Called before either end asks its engine for what is to be sent."""
        self._dice = random.Random(seed)
        self._free_at = {CLIENT: 0.0, SERVER: 0.0}
        client = make_client_engine(congestion_control=congestion_control)
        quic = client._connection
        self.server = self._end(
            make_edge_engine(quic.original_destination_connection_id), CLIENT, lambda stream: None, lambda why: None
        )
        self.client = self._end(
            client, SERVER, lambda stream: self.accepted.append(Far(stream, answer=answer)), self.closed.append
        )
        self.client.connect(SERVER)
        self.settle()
        self._ping()

    def _end(
        self, engine: Any, peer: Address, accept: Callable[[Stream], None], closed: Callable[[Closed], None]
    ) -> DatagramConnection:
        owner = Owner(accept, lambda: None, closed, self.faults.append)
        connection = DatagramConnection(engine, lambda datagrams: self._send(datagrams, peer), owner)
        connection._loop = self.clock  # type: ignore[assignment]
        transmit = connection.transmit

        def prepared() -> None:
            self.before_sending(connection)
            transmit()

        connection.transmit = prepared  # type: ignore[method-assign]
        return connection

    def _send(self, datagrams: list[Datagram], peer: Address) -> None:
        to, sender = (self.server, CLIENT) if peer == SERVER else (self.client, SERVER)
        for data, _ in datagrams:
            free_at = max(self._free_at[peer], self.clock.now)
            if free_at - self.clock.now > QUEUE_SECONDS or self._dice.random() < self.loss:
                continue
            self._free_at[peer] = free_at + len(data) / self.rate
            late = max(self.rtt / 4, 0.003) if self._dice.random() < self.reorder else 0.0
            self.clock.call_at(self._free_at[peer] + self.rtt / 2 + late, to.receive, [(data, sender)])

    def _ping(self) -> None:
        if not self.client.is_closed:
            self.client.ping()
            self.clock.call_at(self.clock.now + PING_SECONDS, self._ping)

    def settle(self, seconds: float = 1.0) -> None:
        """Let some time pass."""
        self.clock.run_until(lambda: False, seconds)

    def request(self, body: int = 7, *, fin: bool = True) -> Far:
        """The server opens a stream, and sends so many bytes at once."""
        far: list[Far] = []

        def make(stream: Stream) -> Far:
            far.append(Far(stream))
            return far[0]

        stream = self.server.open_stream(make)
        stream.write(bytes(body), fin=fin)
        return far[0]

    def wait(self, is_over: Callable[[], bool], limit: float) -> bool:
        """Let time pass until something is so, or the connection is no more, or for `limit` seconds."""
        over = self.clock.run_until(lambda: is_over() or self.is_lost, limit)
        return over and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, in whichever way."""
        return bool(self.closed or self.faults)
