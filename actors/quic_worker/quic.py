"""What all QUIC connections have in common, whatever engine carries them: how they begin, streams of our own, and that
there could be streams of one direction."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from actors.quic_worker.connection import Connection, Stream, StreamHandler
from actors.quic_worker.engine import Address, QuicStreamEngine

_UNIDIRECTIONAL: Final = 2
"""The bit of a stream id that says so (RFC 9000 section 2.1)."""


class QuicConnection(Connection):
    """A connection over QUIC. The tunnel's protocol has no unidirectional streams: those of a peer are passed over."""

    engine: QuicStreamEngine

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
        if not stream_id & _UNIDIRECTIONAL:
            super().stream_data(stream_id, data, fin)
            return
        self.engine.consumed(stream_id, len(data))
        if fin:
            self.engine.discard(stream_id)

    def stream_reset(self, stream_id: int, error_code: int) -> None:
        if stream_id & _UNIDIRECTIONAL:
            self.engine.discard(stream_id)
        else:
            super().stream_reset(stream_id, error_code)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        # We open no unidirectional stream: there is none that the peer could stop.
        if not stream_id & _UNIDIRECTIONAL:
            super().stop_sending(stream_id, error_code)
