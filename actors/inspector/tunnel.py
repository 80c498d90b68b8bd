"""What is known of the tunnel whose requests are seen: the supervisor says it on the event socket, each second."""

import asyncio
import contextlib
from typing import Final

import msgspec
import zmq

from actors.bus import sockets
from actors.bus.events import read_payload
from actors.bus.messages import DECODE_ERRORS

FRESH: Final = 3.5
"""Seconds for which a word of the supervisor's holds: it speaks every second."""


class _Stats(msgspec.Struct):
    """What is read of the event `stats`."""

    url: str = ""
    tunnel_id: str = ""
    state: str = "starting"
    serves: bool = False
    origin: str = ""


class _State(msgspec.Struct):
    """What is read of the event `state`, which comes as soon as there is news."""

    url: str
    state: str
    serves: bool


class _Configured(msgspec.Struct):
    """What is read of the event `configuration_applied`."""

    hostnames: list[str]


class Tunnel:
    """As the supervisor said last."""

    def __init__(self, *, origin: str, hostnames: list[str]) -> None:
        """What was known when this inspector began."""
        self._stats = _Stats(origin=origin)
        self.hostnames = hostnames
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time()

    @property
    def said(self) -> _Stats:
        """What it said; of one that is silent, that nothing is known of its state."""
        if self._loop.time() - self._at <= FRESH:
            return self._stats
        return msgspec.structs.replace(self._stats, state="silent", serves=False)

    @property
    def urls(self) -> list[str]:
        """Where it is in the world."""
        if self._stats.url:
            return [self._stats.url]
        return [f"https://{name}" for name in self.hostnames if "*" not in name]

    async def follow(self, context: sockets.Context, endpoint: str) -> None:
        """Listen, for as long as this process lives."""
        socket = sockets.make_socket(context, zmq.SocketType.SUB)
        for topic in (b"stats", b"state", b"configuration_applied"):
            socket.subscribe(topic)
        socket.connect(endpoint)
        while True:
            topic, payload = (await socket.recv_multipart())[:2]
            with contextlib.suppress(*DECODE_ERRORS):
                if topic == b"configuration_applied":
                    self.hostnames = read_payload(payload, _Configured).hostnames
                    continue
                if topic == b"stats":
                    self._stats = read_payload(payload, _Stats)
                else:
                    said = read_payload(payload, _State)
                    self._stats = msgspec.structs.replace(
                        self._stats, url=said.url, state=said.state, serves=said.serves
                    )
                self._at = self._loop.time()
