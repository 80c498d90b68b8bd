"""A worker's connection over picoquic, in a process of its own: what crashes there is a child's death.

It is told what to do by lines of JSON on stdin, and says what happened by lines on stdout. What it does on a stream is
chosen by the stream's first byte: so the peer knows what it asked for.
"""

import asyncio
import ctypes
import gc
import json
import sys
from typing import Any, Final

from aiopquic._binding import _transport

from actors.bus.messages import EdgeAddress, Transport
from actors.processes import event_loop
from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.dial import address_of, open_connection
from actors.quic_worker.engine import Closed
from actors.quic_worker.engines import picoquic_engine
from actors.quic_worker.engines.picoquic_engine import PicoquicEngine
from actors.quic_worker.picoquic import PicoquicConnection
from tests.kit.fuzzing_peer import ACTIONS

PIECE: Final = bytes(64 * 1024)
PIECES: Final = 24
"""Of a body: more than all water marks, and the ring besides."""

LATE: Final = 0.03
"""Seconds that a slow consumer takes for what it got."""

TOO_LONG: Final = 0.7
"""Seconds until a handshake is given up: half of one is what some peers do."""


class Actor:
    """What a stream is for (StreamHandler)."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._action = ""
        self._owed = 0
        self._pieces = 0
        self._paused = False

    def data_received(self, data: bytes) -> None:
        begins = not self._action
        if begins:
            self._action = ACTIONS[data[0] % len(ACTIONS)]
        match self._action:
            case "echo":
                self._stream.write(data)
                self._owed += len(data)
                if not self._paused:
                    self._consume()
            case "hold":
                pass
            case "late":
                asyncio.get_running_loop().call_later(LATE, self._stream.consumed, len(data))
            case _:
                self._stream.consumed(len(data))
        if begins:
            self._begin()

    def _begin(self) -> None:
        match self._action:
            case "body":
                self._pieces = PIECES
                self.resume_writing()
            case "stop":
                self._stream.stop(7)
            case "reset":
                self._stream.reset(8)
            case "both":
                self._stream.reset()
                self._stream.stop()
                self._stream.write(b"too late", fin=True)
            case "end":
                self._stream.write(b"", fin=True)
            case "fault":
                raise ArithmeticError("asked for by the peer")

    def _consume(self) -> None:
        owed, self._owed = self._owed, 0
        self._stream.consumed(owed)

    def eof_received(self) -> None:
        if self._action == "answer":
            self._stream.write(PIECE)
        if not self._pieces:
            self._stream.write(b"", fin=True)

    def reset_received(self) -> None:
        self._stream.reset()

    def stop_received(self) -> None:
        self._pieces = 0
        self._stream.stop()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._consume()
        while self._pieces and not self._paused:
            self._pieces -= 1
            self._stream.write(PIECE, fin=not self._pieces)


def accept(stream: Stream) -> None:
    stream.handler = Actor(stream)


def say(what: str, **more: Any) -> None:
    print(json.dumps({"said": what, **more}), flush=True)


class Client:
    """One connection after the other."""

    def __init__(self) -> None:
        self._connection: PicoquicConnection | None = None
        self._too_long: asyncio.TimerHandle | None = None

    def do(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        match order["do"]:
            case "dial":
                self._dial(EdgeAddress(host="127.0.0.1", port=order["port"], region=""), order["ca"])
            case "close":
                self._end("closed", "by us")
            case "tidy":
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)  # what the allocator merely keeps is no leak
                say("tidied")
            case "count":
                say("counted", **self._counts())
            case "name":
                say("named", streams=self._kept())

    def _dial(self, edge: EdgeAddress, ca_file: str) -> None:
        owner = Owner(accept, self._connected, self._closed, self._failed)
        connection = open_connection(edge, ca_file, Transport("picoquic"), owner)
        assert isinstance(connection, PicoquicConnection)
        self._connection = connection
        connection.connect(address_of(edge))
        self._too_long = asyncio.get_running_loop().call_later(TOO_LONG, self._end, "closed", "no handshake")

    def _connected(self) -> None:
        assert self._too_long is not None
        self._too_long.cancel()
        say("connected")

    def _closed(self, why: Closed) -> None:
        asyncio.get_running_loop().call_soon(self._end, "closed", f"{why.reason} ({why.error_code:#x})")

    def _failed(self, error: BaseException) -> None:
        asyncio.get_running_loop().call_soon(self._end, "failed", repr(error))

    def _end(self, how: str, why: str) -> None:
        if self._connection is not None:
            assert self._too_long is not None
            self._too_long.cancel()
            self._connection.close()
            self._connection = None
            say(how, why=why)

    def _counts(self) -> dict[str, int]:
        if self._connection is None:
            return {}
        engine = self._connection.engine
        assert isinstance(engine, PicoquicEngine)
        return {
            "streams": len(self._connection._streams),
            "watched": len(self._connection._watched),
            "inboxes": len(engine._inboxes),
            "unsent": len(engine._unsent),
            "orders": len(engine._orders),
            "stopped": len(engine._stopped),
            "spooled": engine._spooled,
            "contexts": len(engine._quic._sc_owned),
        }

    def _kept(self) -> list[int]:
        """The streams that the library still knows."""
        if self._connection is None:
            return []
        engine = self._connection.engine
        assert isinstance(engine, PicoquicEngine)
        return sorted(engine._quic._stream_ctxs)


async def main() -> None:
    # aioquic's server, as it comes, knows no post-quantum keys, and cannot ask for another share.
    vars(picoquic_engine)["KEX_X25519MLKEM768"] = _transport.KEX_X25519
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # faults of handlers are among what is asked for
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client = Client()
    async for line in reader:
        client.do(json.loads(line))


if __name__ == "__main__":
    event_loop.run(main())
