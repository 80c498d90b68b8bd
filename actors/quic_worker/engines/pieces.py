"""The stream data of a batch of datagrams, joined: a handler is called once a batch, not once a packet. Pure."""

from collections.abc import Iterator


class Pieces:
    """Collects, and gives each stream's bytes as one."""

    def __init__(self) -> None:
        self._parts: dict[int, list[bytes]] = {}
        self._ended: set[int] = set()

    def add(self, stream_id: int, data: bytes, fin: bool) -> None:
        """The next bytes of a stream, and whether they are its last."""
        self._parts.setdefault(stream_id, []).append(data)
        if fin:
            self._ended.add(stream_id)

    def take(self) -> Iterator[tuple[int, bytes, bool]]:
        """Each stream's bytes, in the order in which the streams came; they are forgotten one by one."""
        while self._parts:
            stream_id = next(iter(self._parts))
            parts = self._parts.pop(stream_id)
            fin = stream_id in self._ended
            self._ended.discard(stream_id)
            yield stream_id, parts[0] if len(parts) == 1 else b"".join(parts), fin
