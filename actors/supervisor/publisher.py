"""Events to the PUB socket, and to stdout as `--json` asks for it."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

from actors.bus import sockets
from actors.bus.events import Event, topic_of
from actors.processes.log import printable
from actors.supervisor.output import OutputWriter

EventsFormat = Literal["msgpack", "json"]


class Publisher:
    """Numbers, stamps and publishes events."""

    def __init__(self, socket: sockets.Socket, *, payload: EventsFormat, stdout: OutputWriter | None) -> None:
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
        sockets.try_send(self._socket, topic.encode(), _encoded(self._encode, stamped))
        if self._stdout is not None:
            self._stdout.write(_encoded(msgspec.json.encode, stamped).decode() + "\n")


def _encoded(encode: Callable[[object], bytes], event: Event) -> bytes:
    try:
        return encode(event)
    except UnicodeEncodeError:  # a path that is no text in this locale
        fields = msgspec.to_builtins(event)
        return encode({name: printable(value) if isinstance(value, str) else value for name, value in fields.items()})
