"""What to do with a stream that the edge opens over HTTP/2: a request, a configuration, or the control stream."""

import http
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from actors.bus.messages import DECODE_ERRORS
from actors.exchange.exchanges import Exchanges
from actors.exchange.http1 import error_answer
from actors.exchange.request import Field, Request
from actors.processes.log import Logger
from actors.quic_worker.edge_connection import Push
from actors.quic_worker.http2 import Http2Stream
from actors.quic_worker.responder import StreamResponder
from actors.wire import h2_heads
from actors.wire.h2_heads import Asked, Forbidden, Malformed, Purpose
from actors.wire.registration import ConfigurationAnswer

PROTOCOL_ERROR: Final = 1
"""RFC 9113 section 7: what is malformed."""

MAX_CONFIGURATION_BYTES: Final = 1024 * 1024
"""Bytes of a configuration that are read before it is refused: as many as a message over QUIC may have."""


class Http2Responder(StreamResponder[Http2Stream]):
    """Takes the response of an exchange (`Responder`), and writes it as HTTP/2's edge reads it."""

    takes_trailers = True

    def __init__(self, stream: Http2Stream, request: Request) -> None:
        super().__init__(stream)
        self._request = request
        self.has_responded = False

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        self.has_responded = True
        self._stream.respond(h2_heads.answered(status, fields))
        if body or fin:
            self._stream.write(body, fin=fin)

    def accept(self) -> None:
        self.has_responded = True
        self._stream.respond(h2_heads.tunnel_opened(self._request))

    def refuse(self, message: str) -> None:
        """HTTP/2 has no place for words."""
        self.has_responded = True
        self._stream.respond(h2_heads.NO_TUNNEL)
        self._stream.write(b"", fin=True)

    def end(self, trailers: Sequence[Field] = ()) -> None:
        if fields := h2_heads.trailers(trailers):
            self._stream.end(fields)
        else:
            self._stream.write(b"", fin=True)


class Acceptor:
    """Takes the streams that the edge opens, and gives each what it is for."""

    def __init__(self, exchanges: Exchanges, log: Logger, control: Callable[[Http2Stream], None], push: Push) -> None:
        """`control` gets the control stream; it answers for what becomes of a second one."""
        self._push = push
        self._exchanges = exchanges
        self._log = log
        self._control = control

    def accept(self, stream: Http2Stream) -> None:
        """Set the stream's handler, and answer it if there is nothing to wait for."""
        try:
            asked = h2_heads.asked_by(stream.fields, ended=stream.has_ended)
        except Malformed as error:
            self._log.debug("stream refused", stream=stream.id, reason=str(error))
            stream.reset(PROTOCOL_ERROR)
            return
        except Forbidden as error:
            _refuse(stream, str(error))
            return
        match asked:
            case Asked(request, awaits_continue):
                self._begin(stream, request, awaits_continue)
            case Purpose.CONFIGURATION:
                stream.handler = ConfigurationHandler(stream, self._push, self._log)
            case Purpose.CONTROL:
                self._control(stream)

    def _begin(self, stream: Http2Stream, request: Request, awaits_continue: bool) -> None:
        responder = Http2Responder(stream, request)
        exchange = self._exchanges.open(responder, request)
        stream.handler = exchange
        exchange.start(b"")  # a fault in it is its own affair
        if awaits_continue and not responder.has_responded:
            stream.respond(h2_heads.CONTINUE)


def _refuse(stream: Http2Stream, message: str) -> None:
    method = dict(stream.fields).get(b":method", b"").decode("latin-1")
    fields, page = error_answer(http.HTTPStatus.BAD_REQUEST, f"the request was refused: {message}", method=method)
    stream.respond(h2_heads.answered(http.HTTPStatus.BAD_REQUEST, fields))
    stream.write(page, fin=True)
    stream.stop()


class _Pushed(msgspec.Struct):
    """A configuration, as it comes over HTTP/2."""

    version: int = 0
    config: msgspec.Raw = msgspec.Raw(b"")


_PUSHED: Final = msgspec.json.Decoder(_Pushed)


class ConfigurationHandler:
    """A stream on which the edge pushes a configuration."""

    def __init__(self, stream: Http2Stream, push: Push, log: Logger) -> None:
        self._stream = stream
        self._push = push
        self._log = log
        self._body = bytearray()

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        self._body += data
        if len(self._body) > MAX_CONFIGURATION_BYTES:
            self._answer(h2_heads.NO_TUNNEL, b"")
            self._stream.stop()

    def eof_received(self) -> None:
        self._log.info("the edge calls", method="updateConfiguration")
        try:
            pushed = _PUSHED.decode(self._body)
        except DECODE_ERRORS:
            self._answer(h2_heads.NO_TUNNEL, b"")
            return
        self._push(pushed.version, bytes(pushed.config), self._configured)

    def _configured(self, answer: ConfigurationAnswer) -> None:
        told = {"lastAppliedVersion": answer.version, "err": answer.error or None}
        body = msgspec.json.encode(told)
        head = [
            (b":status", b"200"),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        self._answer(head, body)

    def _answer(self, head: list[Field], body: bytes) -> None:
        self._stream.respond(head)
        self._stream.write(body, fin=True)

    def reset_received(self) -> None:
        self._body.clear()

    def stop_received(self) -> None:
        """Nobody waits for the answer."""

    def pause_writing(self) -> None:
        """One small answer is all that is written."""

    def resume_writing(self) -> None:
        """Nothing waits: see `pause_writing`."""
