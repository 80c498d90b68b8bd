"""What all QUIC connections have in common, whatever engine carries them: how they begin, streams of our own, and that
there could be streams of one direction."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from actors.quic_worker.connection import Connection, Owner, Stream, StreamHandler
from actors.quic_worker.engine import MAX_STREAMS, Address, QuicStreamEngine

_UNIDIRECTIONAL: Final = 2
"""The bit of a stream id that says so (RFC 9000 section 2.1)."""


class QuicConnection(Connection):
    """A connection over QUIC. The tunnel's protocol has no unidirectional streams: those of a peer are passed over."""

    engine: QuicStreamEngine

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._early_stops: dict[int, None] = {}
        """Streams that the peer stopped before anything of them came: their handlers are told behind the first data. Or
        that are done with, which is not to be told apart: the oldest leave."""

    @abstractmethod
    def connect(self, address: Address) -> None:
        """Begin the handshake (client)."""

    @property
    def last_error(self) -> OSError | None:
        """What the last failed send said: the reason to give when nothing is ever answered."""
        return None

    def open_stream(self, make_handler: Callable[[Stream], StreamHandler]) -> Stream:
        """Open a stream of ours."""
        stream = Stream(self, self.engine.open_stream())
        self._streams[stream.id] = stream
        stream.handler = make_handler(stream)
        return stream

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        if stream_id & _UNIDIRECTIONAL:
            self.engine.consumed(stream_id, len(data))
            if fin:
                self.engine.discard(stream_id)
            return
        super().stream_data(stream_id, data, fin)
        if self._early_stops and stream_id in self._early_stops:
            del self._early_stops[stream_id]
            if stream_id in self._streams:
                super().stop_sending(stream_id, 0)

    def stream_reset(self, stream_id: int, error_code: int) -> None:
        if stream_id & _UNIDIRECTIONAL:
            self.engine.discard(stream_id)
        else:
            super().stream_reset(stream_id, error_code)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        if stream_id & _UNIDIRECTIONAL:
            return  # we open none: there is none that the peer could stop
        if stream_id in self._streams:
            super().stop_sending(stream_id, error_code)
            return
        self.engine.reset(stream_id, 0)  # what is left of one that is done with; RFC 9000 section 3.5
        self._early_stops[stream_id] = None
        if len(self._early_stops) > MAX_STREAMS:
            del self._early_stops[next(iter(self._early_stops))]
