"""The edge on QUIC: a session's streams are QUIC's own, and so are the words on them."""

import asyncio
from typing import Final

from actors.bus import messages
from actors.errors import EdgeProtocolError
from actors.local_edge.edge import CALL_TIMEOUT, ControlHandler, EdgeRegistry, EdgeSession, Ignored
from actors.local_edge.quic_server import ServerConnection, Session
from actors.quic_worker.connection import Stream, StreamHandler
from actors.quic_worker.engine import Closed
from actors.wire import rpc
from actors.wire.connect import RPC_SIGNATURE, ConnectRequest, encode_request

SERVER_NAME: Final = "quic.cftunnel.com"


class QuicLink(Session):
    """One client's connection over QUIC."""

    protocol: messages.Protocol = "quic"

    def __init__(self, connection: ServerConnection, registry: EdgeRegistry) -> None:
        self._connection = connection
        self._session = EdgeSession(self, registry)

    # --- from the connection ---

    def handshake_completed(self) -> None:
        self._session.begun(self._connection.edge_engine.client_server_name)

    def accept(self, stream: Stream) -> None:
        if stream.id == 0 and self._connection.edge_engine.client_server_name == SERVER_NAME:
            stream.handler = ControlHandler(self._session, stream)
        else:
            stream.handler = Ignored()
            stream.reset()
            stream.stop()

    def closed(self, why: Closed) -> None:
        self._session.lost(why.error_code, why.reason, is_application=why.is_application)

    # --- for the session ---

    @property
    def is_frozen(self) -> bool:
        return self._connection.frozen

    def freeze(self, silent: bool) -> None:
        self._connection.frozen = silent
        if not silent:
            self._connection.transmit()

    def round_trip_time(self) -> float:
        return self._connection.engine.path().round_trip_time

    def heard(self) -> int:
        return self._connection.batches

    def close(self, error_code: int, reason: str) -> None:
        self._connection.close(error_code, reason)

    def open_request(self, request: ConnectRequest, handler: StreamHandler) -> Stream:
        return self.open_raw(encode_request(request), handler, fin=False)

    def open_raw(self, data: bytes, handler: StreamHandler, *, fin: bool) -> Stream:
        stream = self._connection.open_stream(lambda stream: handler)
        stream.write(data, fin=fin)
        return stream

    async def call(self, method: rpc.Method, params: rpc.Struct) -> rpc.Struct:
        handler = CallHandler()
        question = handler.session.call(method, params)
        handler.stream = self.open_raw(RPC_SIGNATURE + handler.session.take_output(), handler, fin=False)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                event = await handler.answer
        except TimeoutError:
            raise EdgeProtocolError(f"the client did not answer {method.name} within {CALL_TIMEOUT:.0f} s") from None
        finally:
            handler.session.abort("rpc: shutdown")  # as Go's end of it says that it has what it wanted
            handler.stream.write(handler.session.take_output(), fin=True)
        if isinstance(event, rpc.Returned) and event.question == question:
            return event.results
        raise EdgeProtocolError(f"the client answered {event}")


class CallHandler(Ignored):
    """The edge's end of an RPC stream that it opened."""

    def __init__(self) -> None:
        self.session = rpc.RpcSession(serves=False)
        self.stream: Stream | None = None
        self.answer: asyncio.Future[rpc.Event] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        assert self.stream is not None
        self.stream.consumed(len(data))
        try:
            for event in self.session.receive(data):
                if not self.answer.done():
                    self.answer.set_result(event)
        except EdgeProtocolError as error:
            if not self.answer.done():
                self.answer.set_exception(error)

    def reset_received(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(EdgeProtocolError("the client reset the stream"))
