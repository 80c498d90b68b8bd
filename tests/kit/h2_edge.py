"""An edge over HTTP/2 for tests of the worker's end: TLS over TCP, the control stream, and whatever a test sends."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.events import DataReceived

from actors.exchange.request import Field
from actors.local_edge.certificates import Certificates
from actors.wire import rpc
from actors.wire.h2_heads import PURPOSE
from tests.kit.h2_peer import HEAD, Answer, H2Peer

DETAILS = {"uuid": bytes(range(16)), "locationName": "lab01", "tunnelIsRemotelyManaged": False}


class H2Edge(asyncio.Protocol):
    """One connection, as the edge has it."""

    def __init__(self, *, opens_control: bool = True) -> None:
        self.peer = H2Peer()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.result: dict[str, Any] = {"result": {"result": {"connectionDetails": DETAILS}}}
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_frozen = False
        """What comes is not answered, as if the network had died."""
        self._opens_control = opens_control
        self._control = 0
        self._rpc = rpc.RpcSession(serves=True)
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        if self._opens_control:
            self._control = self.peer.ask([(PURPOSE, b"control-stream")], body=None)
        self.flush()
        self.connected.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.is_frozen:
            return
        seen = len(self.peer.events)
        self.peer.receive(data)
        for event in self.peer.events[seen:]:
            if isinstance(event, DataReceived) and event.stream_id == self._control:
                self._called(event.data)
        self.flush()
        self._changed.set()

    def _called(self, data: bytes) -> None:
        for event in self._rpc.receive(data):
            if isinstance(event, rpc.Called):
                self.calls.append((event.method.name, dict(event.params)))
                results = self.result if event.method.name == "registerConnection" else {}
                self._rpc.answer(event.answer, event.method, results)
        if output := self._rpc.take_output():
            self.peer.send(self._control, output)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)
        self._changed.set()

    def flush(self) -> None:
        """Send what was said."""
        if self._transport is not None and (data := self.peer.output()):
            self._transport.write(data)

    def close(self) -> None:
        """Close the TCP connection."""
        if self._transport is not None:
            self._transport.close()

    async def abort(self) -> None:
        """Close it without a word, and wait until it is."""
        if self._transport is not None and not self.lost.done():
            self._transport.abort()
            await self.lost

    def ask(self, fields: Sequence[Field] = (), body: bytes | None = b"", head: Sequence[Field] = HEAD) -> Answer:
        """Make a request; what comes back is in the answer."""
        stream_id = self.peer.ask(fields, body, head)
        self.flush()
        return self.peer.answers[stream_id]

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until it is so; looked at whenever something comes."""
        while not what():
            self._changed.clear()
            await self._changed.wait()

    async def ended(self, answer: Answer) -> Answer:
        """Wait for the end of an answer."""
        await self.until(lambda: answer.ended or answer.reset is not None)
        return answer


class H2Server:
    """Listens, and has the connections that were made."""

    def __init__(self) -> None:
        self.edges: list[H2Edge] = []
        self.port = 0
        self.opens_control = True

    def make(self) -> H2Edge:
        self.edges.append(H2Edge(opens_control=self.opens_control))
        return self.edges[-1]

    @property
    def edge(self) -> H2Edge:
        """The latest."""
        return self.edges[-1]


@contextlib.asynccontextmanager
async def h2_server(certificates: Certificates, folder: Path) -> AsyncIterator[H2Server]:
    """A server at which workers register over HTTP/2."""
    served = H2Server()
    context = server_context(certificates, folder)
    server = await asyncio.get_running_loop().create_server(served.make, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        for edge in served.edges:
            await edge.abort()
        server.close()
        await server.wait_closed()


def server_context(certificates: Certificates, folder: Path) -> ssl.SSLContext:
    """TLS as the edge has it: no ALPN."""
    path = folder / "edge.pem"
    key = certificates.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key + certificates.certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
