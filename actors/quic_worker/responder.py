"""What the responders of both transports have in common: how bytes and ends go to the stream."""

from typing import Generic, TypeVar

from actors.quic_worker.connection import Stream

S = TypeVar("S", bound=Stream)


class StreamResponder(Generic[S]):
    """The half of a `Responder` that does not depend on how heads are written."""

    def __init__(self, stream: S) -> None:
        self._stream = stream
        self.id = stream.id

    @property
    def sending(self) -> bool:
        return self._stream.sending

    def write(self, data: bytes, *, fin: bool = False) -> None:
        self._stream.write(data, fin=fin)

    def reset(self) -> None:
        self._stream.reset()

    def stop(self) -> None:
        self._stream.stop()

    def consumed(self, count: int) -> None:
        self._stream.consumed(count)
