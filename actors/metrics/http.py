"""`--metrics-http`: what operators of the Go client know, under the same paths and in the same forms.

GET /metrics      the counters, for Prometheus
GET /ready        200 while a visitor would be served, else 503: {"status", "readyConnections", "connectorId"} as there,
                  and "rules" and "configurationVersion": a tunnel of one's own is ready when rules are in force
GET /healthcheck  200 OK, unless nothing was heard from the supervisor for half a minute: then 503
GET /quicktunnel  {"hostname": …}
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
import zmq

from actors.bus import sockets
from actors.bus.addresses import HostPort
from actors.bus.events import read_payload
from actors.bus.messages import DECODE_ERRORS
from actors.errors import LocalSetupError
from actors.metrics.prometheus import CONTENT_TYPE
from actors.web import pages
from actors.web.pages import Answer, Asked, Pages, Route, as_json, text

FRESH: Final = 3.5
"""Seconds for which a word of the supervisor's holds: it speaks every second, and a dead one is not ready."""

SILENT: Final = 30.0
"""Seconds without a word after which the supervisor counts as stuck: far more than a busy machine takes."""

STOP_TIMEOUT: Final = 0.2
"""Seconds for requests in flight at the end."""


class _Stats(msgspec.Struct):
    """What is read of the event `stats`."""

    url: str
    serves: bool
    connections: int
    origin_reachable: bool = True
    rules: int = 1
    configuration_version: int = -1


class Readiness:
    """What the supervisor said last, and when."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._said = _Stats("", False, 0)
        self._at = float("-inf")
        self._begun = self._loop.time()

    @property
    def latest(self) -> _Stats:
        """What it said; that it does not serve, if that was too long ago."""
        if self._loop.time() - self._at <= FRESH:
            return self._said
        return msgspec.structs.replace(self._said, serves=False, connections=0)

    @property
    def is_silent(self) -> bool:
        """Whether it has said nothing for so long that it must be stuck."""
        return self._loop.time() - max(self._at, self._begun) > SILENT

    async def follow(self, context: sockets.Context, endpoint: str) -> None:
        """Listen to it, for as long as this process lives."""
        socket = sockets.make_socket(context, zmq.SocketType.SUB)
        socket.subscribe(b"stats")
        socket.connect(endpoint)
        while True:
            payload = (await socket.recv_multipart())[-1]
            with contextlib.suppress(*DECODE_ERRORS):
                self._said, self._at = read_payload(payload, _Stats), self._loop.time()


def make_pages(exposition: Callable[[], str | None], readiness: Readiness, connector_id: str) -> Pages:
    """The endpoints. `exposition` gives the text for Prometheus; None while what was counted before is not known."""

    async def metrics(asked: Asked) -> Answer:
        if (counted := exposition()) is None:  # counters that went back to 0 for a moment would be counted again
            return text("starting\n", 503)
        return Answer(counted.encode(), content_type=CONTENT_TYPE)

    async def ready(asked: Asked) -> Answer:
        said = readiness.latest
        status = 200 if said.serves and said.origin_reachable else 503
        body = {
            "status": status,
            "readyConnections": said.connections,
            "connectorId": connector_id,
            "rules": said.rules,
            "configurationVersion": said.configuration_version,
        }
        return as_json(body, status)

    async def healthcheck(asked: Asked) -> Answer:
        if readiness.is_silent:
            return text("nothing is heard from the supervisor\n", 503)
        return text("OK\n")

    async def quicktunnel(asked: Asked) -> Answer:
        return as_json({"hostname": urllib.parse.urlsplit(readiness.latest.url).netloc})

    return Pages(
        [
            Route("GET", "/metrics", metrics),
            Route("GET", "/ready", ready),
            Route("GET", "/healthcheck", healthcheck),
            Route("GET", "/quicktunnel", quicktunnel),
        ]
    )


@contextlib.asynccontextmanager
async def serving(serve: Pages, address: HostPort) -> AsyncIterator[str]:
    """Serve for the length of the block; yields the address as it came out.

    Raises:
        LocalSetupError: it cannot be bound.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            bound = await stack.enter_async_context(
                pages.serving(serve, address.host, address.port, stop_timeout=STOP_TIMEOUT)
            )
        except OSError as error:
            raise LocalSetupError(
                f"cannot bind --metrics-http {address}: {error.strerror}. Choose another port, or 0 for any."
            ) from error
        yield str(HostPort(*bound))
