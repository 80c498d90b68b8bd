"""What to do with a stream that the edge opens: read its head, then hand it to a request or to RPC."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from actors.errors import EdgeProtocolError
from actors.exchange.exchanges import Exchanges
from actors.exchange.request import Field
from actors.processes.log import Logger
from actors.quic_worker.connection import Stream
from actors.quic_worker.edge_connection import Push
from actors.quic_worker.responder import StreamResponder
from actors.wire import rpc
from actors.wire.connect import HeadReader
from actors.wire.heads import read_request, write_accepted, write_refused, write_response
from actors.wire.registration import ConfigurationAnswer

HEAD_TIMEOUT: Final = 5.0
"""Seconds for the head of a stream to arrive whole. The edge sends it in one write; slower is an attack or a fault."""

CALLS_TIMEOUT: Final = 5.0
"""Seconds for which a stream of the edge's calls is served: what the edge allows for an answer, and as long as the
other client serves one."""

MAX_JOINED: Final = 16 * 1024
"""Bytes of a body that are sent in one piece with the head: a copy of them costs less than a second write."""


class IncomingStream:
    """A stream whose head is still being read."""

    def __init__(self, stream: Stream, exchanges: Exchanges, push: Push, log: Logger) -> None:
        self._stream = stream
        self._exchanges = exchanges
        self._push = push
        self._log = log
        self._reader = HeadReader()
        self._deadline: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        try:
            head = self._reader.message(data)
            request = read_request(head) if isinstance(head, bytes) else None
        except EdgeProtocolError as error:
            self._refuse(str(error))
            return
        if head is None:
            self._stream.consumed(len(data))  # at once: a large head is longer than a stream's first window
            if self._deadline is None:  # nearly all heads come whole, and need none
                loop = asyncio.get_running_loop()
                self._deadline = loop.call_later(HEAD_TIMEOUT, self._refuse, "no head within 5 s")
            return
        self._cancel_deadline()
        rest = self._reader.rest
        self._stream.consumed(len(data) - len(rest))
        if request is not None:
            exchange = self._exchanges.open(QuicResponder(self._stream), request)
            self._stream.handler = exchange
            exchange.start(rest)  # a fault in it is its own affair
        else:
            handler = RpcStreamHandler(self._stream, self._push, self._log)
            self._stream.handler = handler
            handler.data_received(rest)

    def eof_received(self) -> None:
        self._refuse("the stream ended before its head did")

    def reset_received(self) -> None:
        self._refuse("the edge took the stream back")

    def stop_received(self) -> None:
        self._refuse("the edge wants no answer")

    def pause_writing(self) -> None:
        """Nothing is written yet."""

    def resume_writing(self) -> None:
        """Nothing waits: see `pause_writing`."""

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, reason: str) -> None:
        self._cancel_deadline()
        self._log.debug("stream refused", stream=self._stream.id, reason=reason)
        self._stream.reset()
        self._stream.stop()


class QuicResponder(StreamResponder[Stream]):
    """Takes the response of an exchange (`Responder`), and writes it as QUIC's edge reads it."""

    takes_trailers = False

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        head = write_response(status, fields)
        if len(body) > MAX_JOINED:
            self._stream.write(head)
            self._stream.write(body, fin=fin)
        else:
            self._stream.write(head + body, fin=fin)

    def accept(self) -> None:
        self._stream.write(write_accepted())

    def refuse(self, message: str) -> None:
        self._stream.write(write_refused(message), fin=True)

    def end(self, trailers: Sequence[Field] = ()) -> None:
        """QUIC's edge takes no trailers."""
        self._stream.write(b"", fin=True)


class RpcStreamHandler:
    """A stream on which the edge calls us. Every call gets a well-formed answer that says what we do not do."""

    def __init__(self, stream: Stream, push: Push, log: Logger) -> None:
        self._stream = stream
        self._push = push
        self._log = log
        self._session = rpc.RpcSession(serves=True)
        self._deadline = asyncio.get_running_loop().call_later(CALLS_TIMEOUT, self._shut_down)

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        try:
            for event in self._session.receive(data):
                match event:
                    case rpc.Called():
                        self._answer(event)
                    case rpc.Aborted():
                        self._finish()
                        return
        except EdgeProtocolError as error:
            self._log.debug("edge's call refused", stream=self._stream.id, reason=str(error))
            self._session.abort(str(error))
            self._finish()
            return
        self._send()

    def _send(self) -> None:
        if output := self._session.take_output():
            self._stream.write(output)

    def _answer(self, call: rpc.Called) -> None:
        self._log.info("the edge calls", method=call.method.name)
        match call.method.name:
            case "updateConfiguration":
                self._push(call.params["version"], call.params.get("config", b""), partial(self._configured, call))
            case "registerUdpSession":
                result = {"err": "this client serves quick tunnels and has no UDP sessions", "spans": b""}
                self._session.answer(call.answer, call.method, {"result": result})
            case "unregisterUdpSession":
                self._session.answer(call.answer, call.method, {})
            case name:
                self._session.refuse(call.answer, f"{name} is not a method of this side")

    def _configured(self, call: rpc.Called, answer: ConfigurationAnswer) -> None:
        result = {"latestAppliedVersion": answer.version, "err": answer.error}
        self._session.answer(call.answer, call.method, {"result": result})
        self._send()

    def _shut_down(self) -> None:
        self._session.abort("rpc: shutdown")
        self._finish()

    def _finish(self) -> None:
        self._deadline.cancel()
        self._stream.write(self._session.take_output(), fin=True)
        self._stream.stop()

    def eof_received(self) -> None:
        self._finish()

    def reset_received(self) -> None:
        self._deadline.cancel()
        self._stream.reset()

    def stop_received(self) -> None:
        self._deadline.cancel()
        self._stream.stop()

    def pause_writing(self) -> None:
        """Answers are small, and one is written for each call."""

    def resume_writing(self) -> None:
        """Nothing waits: see `pause_writing`."""
