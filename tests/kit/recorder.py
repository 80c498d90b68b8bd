"""A stream handler that notes what it hears."""

from actors.quic_worker.connection import Stream


class Recorder:
    """A handler that notes what it hears, and consumes when it is told to."""

    def __init__(self, stream: Stream, *, consumes: bool = True) -> None:
        self.stream = stream
        self.consumes = consumes
        self.data = bytearray()
        self.heard: list[str] = []
        stream.handler = self

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.consumes:
            self.stream.consumed(len(data))

    def eof_received(self) -> None:
        self.heard.append("eof")

    def reset_received(self) -> None:
        self.heard.append("reset")

    def stop_received(self) -> None:
        self.heard.append("stop")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")
