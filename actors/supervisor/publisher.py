"""Events to the PUB socket, and to stdout as `--json` asks for it."""

import contextlib
import queue
import sys
import threading
import time
from collections import Counter
from typing import Final, Literal

import msgspec

from actors import bus
from actors.events import Event, topic_of

EventsFormat = Literal["msgpack", "json"]

MAX_WAITING_LINES: Final = 10_000
"""Lines for a stdout that nobody reads, a megabyte or two; further ones are dropped."""

FLUSH_TIMEOUT: Final = 1.0
"""Seconds for stdout to take what waits at the end."""


class Publisher:
    """Numbers, stamps and publishes events."""

    def __init__(self, socket: bus.Socket, *, payload: EventsFormat, stdout: "StdoutWriter | None") -> None:
        """`stdout`: where each event also goes as a line of JSON."""
        self._socket = socket
        self._encode = msgspec.msgpack.encode if payload == "msgpack" else msgspec.json.encode
        self._stdout = stdout
        self._sequence: Counter[str] = Counter()

    def publish(self, event: Event) -> None:
        """Tell the world. Never blocks: a PUB socket drops for subscribers that do not read."""
        topic = topic_of(event)
        self._sequence[topic] += 1
        stamped = msgspec.structs.replace(event, seq=self._sequence[topic], time=time.time())
        bus.try_send(self._socket, topic.encode(), self._encode(stamped))
        if self._stdout is not None:
            self._stdout.line(msgspec.json.encode(stamped).decode())


class StdoutWriter:
    """Lines to stdout from a thread of its own: a reader that stops must not stop the supervisor."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write a line, some time soon."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(text)

    def close(self) -> None:
        """Write what waits, if somebody reads it."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(FLUSH_TIMEOUT)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except (AttributeError, OSError, ValueError):
                return  # closed: there is nobody to tell
