"""Text to stdout and to a terminal, without waiting for whoever reads it."""

import contextlib
import queue
import sys
import threading
from typing import Final, Literal, TextIO

MAX_WAITING: Final = 10_000
"""Lines for a reader that does not read, a megabyte or two; further ones are dropped."""

FLUSH_TIMEOUT: Final = 1.0
"""Seconds for the reader to take what waits at the end."""


class OutputWriter:
    """Writes from a thread of its own: a reader that stops must not stop the supervisor."""

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self._name = name
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write it, some time soon."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(text)

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be written."""
        return not self._waiting.empty()

    def close(self) -> None:
        """Write what waits, if the reader takes it within `FLUSH_TIMEOUT`."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(FLUSH_TIMEOUT)

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            stream: TextIO = getattr(sys, self._name)
            try:
                stream.write(text)
                stream.flush()
            except (AttributeError, OSError, ValueError):
                return  # closed: there is nobody to tell
