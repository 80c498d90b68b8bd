"""A bad way to an origin: a TCP proxy on loopback whose faults a test sets and changes at any time."""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Final, Self

READ_SIZE: Final = 65536

MAX_PIECES: Final = 16
"""Reads that wait for their time, each way and connection: a slow reader stops the other side, as it would without."""

RESETS: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST, and what was not sent yet is thrown away."""


class TcpProxy:
    """Relays connections to a port of this machine. The faults hold for all connections, open ones too."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        """The port that those reach who connect from now on."""
        self.latency = 0.0
        """Seconds that each piece takes, each way."""
        self.bandwidth: float | None = None
        """Bytes a second, each way and each connection; None: as much as goes."""
        self.slice = READ_SIZE
        """Bytes of a write at most: with asyncio's TCP_NODELAY, each may be a segment of its own."""
        self.reset_after: int | None = None
        """Bytes towards the client that no connection passes: one is reset on both sides instead."""
        self.port = 0
        """Where it listens, once it is entered."""
        self.relayed_bytes = 0
        """Towards clients, over all connections."""
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._server: asyncio.Server | None = None
        self._connections: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        for connection in self._connections:
            connection.cancel()
        for outcome in await asyncio.gather(*self._connections, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    # --- what a test does to it ---

    def stop(self) -> None:
        """Take connections and relay nothing, as an origin that hangs."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Relay again."""
        self._goes_on.set()

    def refuse(self) -> None:
        """Nobody listens any more; open connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def listen(self) -> None:
        """Be there, after `refuse` on the same port as before."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    # --- connections ---

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._connection(reader, writer))  # noqa: TID251 - awaited at the end
        self._connections.append(connection)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            ends.append(upstream_writer)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._relay(reader, upstream_writer, is_response=False))
                ways.create_task(self._relay(upstream_reader, writer, is_response=True))
        except* OSError:
            for end in ends:
                _reset(end)
        finally:
            for end in ends:
                end.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_response: bool) -> None:
        """One way of one connection, until its end, which is handed on."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_PIECES)
        async with asyncio.TaskGroup() as halves:
            halves.create_task(self._read(reader, pieces))
            halves.create_task(self._write(pieces, writer, is_response=is_response))

    async def _read(self, reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            data = await reader.read(READ_SIZE)
            await pieces.put((asyncio.get_running_loop().time() + self.latency, data))

    async def _write(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, is_response: bool
    ) -> None:
        loop, written = asyncio.get_running_loop(), 0
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                await self._goes_on.wait()
                writer.write_eof()
                return
            while data:
                part, data = data[: self.slice], data[self.slice :]
                await self._goes_on.wait()
                if is_response and self.reset_after is not None and written + len(part) > self.reset_after:
                    raise ConnectionResetError
                writer.write(part)
                await writer.drain()
                written += len(part)
                if is_response:
                    self.relayed_bytes += len(part)
                await asyncio.sleep(len(part) / self.bandwidth if self.bandwidth else 0.0)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
    writer.transport.abort()
