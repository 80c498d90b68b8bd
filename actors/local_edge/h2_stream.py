"""A stream that the edge opened over HTTP/2: what waits for credit, and whom to tell of what comes."""

from typing import Protocol

from actors.errors import EdgeProtocolError
from actors.exchange.request import Field
from actors.local_edge import h2_words
from actors.quic_worker.connection import HIGH_WATER, LOW_WATER, StreamHandler
from actors.wire.connect import ConnectionType, encode_response


class Carrier(Protocol):
    """What a stream asks of its connection."""

    def flush_soon(self) -> None:
        """Something waits to be sent."""

    def acknowledge(self, count: int, stream_id: int) -> None:
        """So many received bytes are dealt with: the client may send as many more."""

    def reset(self, stream: "H2Stream") -> None:
        """End both directions, and forget the stream."""


class H2Stream:
    """A stream; it has no id until the client allows one more."""

    def __init__(self, carrier: Carrier, fields: list[Field], kind: ConnectionType = ConnectionType.HTTP) -> None:
        self.id = 0
        self.fields = fields
        self.handler: StreamHandler | None = None
        self.sending = True
        self.has_sent_end = False
        self.status = b""
        """Of the answer, once it is there."""
        self._carrier = carrier
        self._kind = kind
        self._queue = bytearray()
        self._paused = False
        self._receiving = True
        self._made_up = 0
        """Bytes handed on that never came over the wire, and are not consumed yet: the head in QUIC's words."""

    # --- for whoever opened it ---

    def write(self, data: bytes, *, fin: bool = False) -> None:
        if not self.sending:
            return
        self._queue += data
        self.sending = not fin
        self._carrier.flush_soon()
        if not self._paused and not fin and len(self._queue) > HIGH_WATER and self.handler is not None:
            self._paused = True
            self.handler.pause_writing()

    def consumed(self, count: int) -> None:
        made_up = min(count, self._made_up)
        self._made_up -= made_up
        if count > made_up:
            self._carrier.acknowledge(count - made_up, self.id)

    def reset(self) -> None:
        """HTTP/2 ends both directions with it."""
        if not self.has_ended:
            self._forget()
            self._carrier.reset(self)

    def stop(self) -> None:
        """Likewise: HTTP/2 knows no other way."""
        self.reset()

    # --- what leaves ---

    @property
    def unsent(self) -> int:
        return len(self._queue)

    @property
    def is_due(self) -> bool:
        """Whether bytes or the end wait to be sent."""
        return bool(self._queue) or (not self.sending and not self.has_sent_end)

    def next_piece(self, count: int) -> tuple[bytes, bool]:
        """At most so many bytes of what waits, and whether the end comes with them."""
        piece = bytes(self._queue[:count])
        del self._queue[:count]
        if self._paused and len(self._queue) <= LOW_WATER:
            self._resume()
        self.has_sent_end = not self.sending and not self._queue
        return piece, self.has_sent_end

    def _resume(self) -> None:
        self._paused = False
        if self.handler is not None:
            self.handler.resume_writing()

    def _forget(self) -> None:
        self.sending = self._receiving = False
        self.has_sent_end = True
        self._queue.clear()

    @property
    def has_ended(self) -> bool:
        return not self._receiving and self.has_sent_end

    # --- what comes ---

    def answered(self, fields: list[Field]) -> None:
        """The client's answer has a head."""
        self.status = dict(fields).get(b":status", b"")
        try:
            head = self.in_words_of_quic(fields)
        except EdgeProtocolError:
            handler = self.handler
            self.reset()
            if handler is not None:
                handler.reset_received()
            return
        self._made_up = len(head)
        if head and self.handler is not None:
            self.handler.data_received(head)

    def in_words_of_quic(self, fields: list[Field]) -> bytes:
        """What the handler is told of the head.

        Raises:
            EdgeProtocolError: it is none.
        """
        return encode_response(h2_words.response_of(fields, self._kind))

    def received(self, data: bytes) -> None:
        """Bytes of the body."""
        if self._receiving and self.handler is not None:
            self.handler.data_received(data)
        else:
            self._carrier.acknowledge(len(data), self.id)

    def ended(self) -> None:
        """The answer is whole."""
        if self._receiving:
            self._receiving = False
            if self.handler is not None:
                self.handler.eof_received()

    def was_reset(self) -> None:
        """By the client, or with the connection."""
        receiving, sending = self._receiving, not self.has_sent_end
        self._forget()
        if self._paused:
            self._resume()  # its source may still be held
        if receiving and self.handler is not None:
            self.handler.reset_received()
        if sending and self.handler is not None:
            self.handler.stop_received()


class RawStream(H2Stream):
    """A stream whose answer is no origin's: the handler is told of its body alone."""

    def in_words_of_quic(self, fields: list[Field]) -> bytes:
        return b""
