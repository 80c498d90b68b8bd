"""What `cloudflared access` is to SSH: `python -m tests.kit.access_client ws://HOST/ FRONT FRONT_PORT [NAME:VALUE …]`.

Standard input goes into binary messages of a WebSocket, and what comes back to standard output. As a ProxyCommand it is
all that a client of SSH needs.
"""

import asyncio
import os
import sys
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PIECE: Final = 64 * 1024


async def _upload(socket: ClientConnection) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.run_in_executor(None, os.read, 0, PIECE):
        await socket.send(data)


async def _download(socket: ClientConnection) -> None:
    loop = asyncio.get_running_loop()
    async for message in socket:
        assert isinstance(message, bytes)
        await loop.run_in_executor(None, _write, message)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


async def main(url: str, host: str, port: str, *fields: str) -> None:
    headers = dict(field.split(":", 1) for field in fields)
    async with connect(
        url, host=host, port=int(port), proxy=None, compression=None, additional_headers=headers, max_size=None
    ) as socket:
        upload = asyncio.create_task(_upload(socket))  # noqa: TID251 - held, and cancelled below
        try:
            await _download(socket)
        except ConnectionClosed:
            pass
        finally:
            upload.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    os._exit(0)  # a thread may be reading standard input, for ever
