"""The edge over HTTP/2, with TLS over TCP: how it is dialled, and what to say when that fails."""

import asyncio
import ssl
from typing import Final

from actors.bus.messages import EdgeAddress, Proxy, Transport
from actors.exchange.exchanges import Exchanges
from actors.processes.log import Logger
from actors.quic_worker import tcp
from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.control import ControlStream
from actors.quic_worker.edge_connection import NO_ROUTE_ERRORS, EdgeConnection, Told
from actors.quic_worker.ends import Ended, WorkerEnd
from actors.quic_worker.engine import Closed, Path
from actors.quic_worker.engines.h2_engine import H2Engine
from actors.quic_worker.h2_streams import Acceptor
from actors.quic_worker.http2 import Http2Connection, Http2Stream
from actors.quic_worker.proxy import ProxyRefused
from actors.quic_worker.pulse import LOOK_INTERVAL, PATIENCE, QUIET, Due, Pulse

DIAL_TIMEOUT: Final = 10.0
"""Seconds for TCP, the proxy and TLS together: a first segment may be lost twice on the way."""

CONTROL_TIMEOUT: Final = 5.0
"""Seconds that the edge has to open the control stream, after TLS. It does so at once."""

FLUSH_INTERVAL: Final = 0.01
"""Seconds between looks at what is on the way, when the end waits for it: the kernel does not tell by itself."""


class Http2Edge(EdgeConnection):
    """A connection over HTTP/2."""

    protocol = "http2"
    name = "HTTP/2"

    def __init__(
        self,
        address: EdgeAddress,
        exchanges: Exchanges,
        told: Told,
        *,
        ca_file: str | None,
        transport: Transport,
        proxy: Proxy | None,
        log: Logger,
    ) -> None:
        """`ca_file` replaces the trust roots."""
        super().__init__(told, log)
        self._address = address
        self._ca_file = ca_file
        self._transport = transport
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._pulse = Pulse(self._loop.time())
        self._pipe: tcp.TcpPipe | None = None
        self._acceptor = Acceptor(exchanges, log, self._accept_control, told.pushed)
        self._connection = Http2Connection(
            H2Engine(),
            Owner(self._accept, lambda: None, self._closed, self._failed),
            on_pong=self._pong,
            on_leaving=told.leaving,
        )

    @property
    def _where(self) -> str:
        return f"{self._address}" if self._proxy is None else f"{self._address} through the proxy {self._proxy}"

    async def dial(self) -> None:
        if self._transport.post_quantum:
            raise Ended(
                WorkerEnd.DIAL_FAILED,
                "--post-quantum is not to be had over HTTP/2: Python's TLS cannot promise X25519MLKEM768. "
                "--protocol quic can",
            )
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                self._pipe = await tcp.open_pipe(
                    self._address,
                    tcp.trusting(self._ca_file),
                    tcp.Receiver(self._received, self._connection.has_room, self._connection.lost),
                    proxy=self._proxy,
                    congestion_control=self._transport.congestion_control,
                )
        except TimeoutError:
            raise Ended(
                WorkerEnd.DIAL_FAILED,
                f"no answer from {self._where} over TCP within {DIAL_TIMEOUT:.0f} s. "
                f"Is TCP to port {self._address.port} allowed on this network?",
            ) from None
        except ssl.SSLError as error:
            raise Ended(WorkerEnd.DIAL_FAILED, f"the TLS handshake with {self._where} failed: {_said(error)}") from None
        except ProxyRefused as error:
            raise Ended(
                WorkerEnd.DIAL_FAILED, f"the proxy {self._proxy} opens no way to {self._address}: {error}"
            ) from None
        except OSError as error:
            raise self._cannot_connect(error) from error
        self._connection.begin(self._pipe)
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                await self._reached
        except TimeoutError:
            raise Ended(
                WorkerEnd.DIAL_FAILED,
                f"{self._where} opened no control stream within {CONTROL_TIMEOUT:.0f} s: is it Cloudflare's edge?",
            ) from None

    def _cannot_connect(self, error: OSError) -> Ended:
        no_route = self._proxy is None and error.errno in NO_ROUTE_ERRORS
        end = WorkerEnd.NO_ROUTE if no_route else WorkerEnd.DIAL_FAILED
        return Ended(end, f"cannot connect to {self._where} over TCP: {error.strerror or error}")

    async def keep_alive(self) -> None:
        """PINGs where nothing comes; without an answer the path is dead."""
        while not self._connection.is_closed:
            match self._pulse.look(self._loop.time()):
                case Due.PING:
                    self._connection.ping()
                case Due.GIVE_UP:
                    self._told.lost(f"nothing came from the edge for {QUIET + PATIENCE:.0f} s, nor an answer to a PING")
                    return
            await asyncio.sleep(LOOK_INTERVAL)

    async def flushed(self) -> None:
        while not self._connection.is_closed and self._connection.is_undelivered(self._control.stream):  # noqa: ASYNC110
            await asyncio.sleep(FLUSH_INTERVAL)

    def close(self) -> None:
        self._connection.close()

    def path(self) -> Path:
        return Path() if self._pipe is None else self._pipe.path(self._pulse.round_trip_time)

    def key_exchange(self) -> str:
        """Python's TLS does not tell."""
        return ""

    def local_ip(self) -> bytes:
        return b"" if self._pipe is None else self._pipe.local_ip()

    # --- from the connection ---

    def _received(self, data: bytes) -> None:
        self._pulse.heard(self._loop.time())
        self._connection.received(data)

    def _pong(self) -> None:
        self._pulse.answered(self._loop.time())

    def _accept(self, stream: Stream) -> None:
        assert isinstance(stream, Http2Stream)
        self._acceptor.accept(stream)

    def _accept_control(self, stream: Http2Stream) -> None:
        if self._reached.done():
            stream.reset()  # there is one
            return
        self._control = ControlStream(stream)
        stream.handler = self._control
        stream.respond([(b":status", b"200")])
        self._reached.set_result(None)

    def _closed(self, why: Closed) -> None:
        self._lost(why.reason)

    def _not_reached(self, why: str) -> str:
        return f"HTTP/2 with {self._where} did not begin: {why}"


def _said(error: ssl.SSLError) -> str:
    """What OpenSSL says, without the numbers and files of its own."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason or str(error)
