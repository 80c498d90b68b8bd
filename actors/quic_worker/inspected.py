"""A worker's line to the inspector: what the tap saw goes there, and replays come from there."""

import asyncio
import time
from typing import Final

import zmq

from actors.bus import inspection, sockets
from actors.bus.messages import DECODE_ERRORS, HEARTBEAT_INTERVAL, Inspection
from actors.exchange.replays import Replays
from actors.exchange.router import Router
from actors.exchange.tap import Tap
from actors.processes.log import Logger
from actors.processes.tasks import Tasks


class Inspected:
    """It is there for the life of a worker, whatever becomes of the inspector: ZeroMQ connects again by itself."""

    def __init__(self, how: Inspection, identity: str, context: sockets.Context, log: Logger) -> None:
        self._log = log
        self._socket: Final = sockets.make_socket(
            context,
            zmq.SocketType.DEALER,
            identity=identity,
            limit=inspection.MAX_BATCH_BYTES,
            queue=inspection.QUEUED_BATCHES,
        )
        self._socket.connect(how.endpoint)
        loop = asyncio.get_running_loop()
        self.tap: Final = Tap(
            self._send, body_limit=how.body_limit, now=time.monotonic, wall=time.time, call_later=loop.call_later
        )

    def begin(self, router: Router, tasks: Tasks) -> None:
        """Say that this worker lives, and take replays from now on."""
        tasks.start(self._listen(Replays(router, self.tap, tasks)), name="replays")
        tasks.start(self._beat(), name="signs of life")

    async def _listen(self, replays: Replays) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            try:
                replay = inspection.decode_replay(frames[-1])
            except DECODE_ERRORS as error:
                self._log.warning("replay that cannot be read", error=type(error).__name__)
                continue
            replays.begin(replay)

    async def _beat(self) -> None:
        while True:
            self.tap.flush(alive=True)
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    def _send(self, message: bytes) -> bool:
        return sockets.try_send(self._socket, message)

    def close(self) -> None:
        """Send what is left. Nobody waits for an inspector that does not read."""
        self.tap.close()
        self._socket.close()
