"""Bytes of a stream that arrived before anybody wanted them, in order: a little in memory, the rest in a file.

For an engine that cannot hold a peer back stream by stream.
"""

import tempfile
from collections import deque
from typing import IO, Final

IN_MEMORY: Final = 256 * 1024
"""Bytes that wait in memory; as many as the other engine's window of a new stream, twice."""

PIECE: Final = 64 * 1024
"""Bytes that are read back at once: what an origin's socket takes in one go."""


class Spool:
    """A queue of bytes. Its file has no name, and is gone with it."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes in it."""
        self._memory: deque[bytes] = deque()
        self._in_memory = 0
        self._file: IO[bytes] | None = None
        self._read_at = 0
        self._written = 0

    @property
    def on_disk(self) -> int:
        """Bytes of it that are in the file."""
        return self._written - self._read_at

    def append(self, data: bytes) -> None:
        """Put bytes at the end.

        Raises:
            OSError: the disk is full.
        """
        if self._file is None and self._in_memory + len(data) <= IN_MEMORY:
            self._memory.append(data)
            self._in_memory += len(data)
        else:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as the stream
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
        self.size += len(data)

    def take(self) -> bytes:
        """Take a piece from the front; empty if there is none."""
        if self._memory:
            data = self._memory.popleft()
            self._in_memory -= len(data)
        elif self._file is not None:
            self._file.seek(self._read_at)
            data = self._file.read(min(PIECE, self.on_disk))
            self._read_at += len(data)
            if not self.on_disk:
                self.close()
        else:
            data = b""
        self.size -= len(data)
        return data

    def close(self) -> None:
        """Throw away what is in the file."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._read_at = self._written = 0
