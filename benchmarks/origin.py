"""The origin of the benchmarks, a process of its own: as little work for an answer as a Python server can do.

    GET  /small      128 bytes
    GET  /down/N     N bytes
    POST /up         reads the body, answers with 128 bytes
    GET  /hold       a head, and a body that never comes
    GET  /socket     an upgrade; whatever comes goes back

`python -m benchmarks.origin` prints its port.
"""

import asyncio
import re
import sys
from typing import Final, cast

from actors import event_loop

SMALL: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + b"x" * 128
HOLD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"
UPGRADED: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PIECE: Final = bytes(256 * 1024)
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Origin(asyncio.Protocol):
    """One connection. It trusts its client: requests come whole, one at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._left = 0
        self._to_send = 0
        self._echoes = False
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._echoes:
            self._transport.write(data)
        elif self._left:
            self._uploaded(len(data))
        elif data.startswith(b"GET /small"):
            self._transport.write(SMALL)
        elif data.startswith(b"POST "):
            head, _, body = data.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            self._left = int(found.group(1)) if found else 0
            self._uploaded(len(body))
        elif data.startswith(b"GET /down/"):
            self._to_send = int(data[10:].split(b" ", 1)[0])
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self._to_send)
            self.resume_writing()
        elif data.startswith(b"GET /hold"):
            self._transport.write(HOLD)
        else:
            self._echoes = True
            self._transport.write(UPGRADED)

    def _uploaded(self, count: int) -> None:
        assert self._transport is not None
        self._left -= count
        if self._left <= 0:
            self._left = 0
            self._transport.write(SMALL)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        assert self._transport is not None
        self._writable = True
        while self._to_send and self._writable:
            piece = PIECE[: self._to_send]
            self._to_send -= len(piece)
            self._transport.write(piece)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    event_loop.run(main())
