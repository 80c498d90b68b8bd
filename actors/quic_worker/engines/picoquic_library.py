"""What we ask of `aiopquic` beyond what it offers: silence, memory given back, and what it keeps to itself."""

import contextlib
import ctypes
import functools
import logging
import os
from typing import Any, Final, NamedTuple

from aiopquic.quic.connection import _EVT_APP_CLOSE, _EVT_STOP_SENDING, _EVT_STREAM_DESTROY, QuicConnection

MAPPED: Final = 32 * 1024 * 1024
"""Bytes from which on an allocation gets a mapping of its own, glibc's most. A stream's rings are 1.5 MB: with mappings
for them, made, touched and given back, a request cost 80 µs more, a sixth of the worker's time."""

FREE: Final = 256 * 1024 * 1024
"""Bytes that may lie free at the end of the heap: else it would shrink and grow with each stream. `give_memory_back`
empties it. More than the rings of a hundred uploads that fill them."""

OF_LIBRARY: Final = ("SSLKEYLOGFILE", "AIOPQUIC_")
"""What begins the names of variables by which the library would write TLS keys, traces of the traffic or logs to files
and to stderr: they are not for us."""

_ERROR_CODE: Final = 2
"""Its place among what comes with an event, behind the data and whether they are the last."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Of mallopt(3), which only glibc has."""


@functools.cache
def prepare_process() -> None:
    """What the library reads, says and allocates is set for the whole process, best before it has any thread: one heap
    for all of them, as `malloc_trim` leaves the end of every other one as it is."""
    for name in [name for name in os.environ if name.startswith(OF_LIBRARY)]:
        del os.environ[name]
    logging.getLogger("aiopquic").setLevel(logging.CRITICAL)  # it warns of each stream that a peer resets
    with contextlib.suppress(AttributeError):  # macOS has none
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_ARENA_MAX, 1)
        allocator.mallopt(_M_MMAP_THRESHOLD, MAPPED)
        allocator.mallopt(_M_TRIM_THRESHOLD, FREE)


def give_memory_back() -> None:
    """Give the system what is free: rings that were full once would stay for ever, 64 MB of them after 32 uploads."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class StreamGone(NamedTuple):
    """picoquic has forgotten a stream: both sides of it have ended."""

    stream_id: int


class EarlyStop(NamedTuple):
    """The peer has stopped a stream that has no rings yet, which it gets with its first byte. A reset or a stop of ours
    would cut it off from them, and then neither its end nor that it is forgotten would be told."""

    stream_id: int
    error_code: int


class LibraryConnection(QuicConnection):  # type: ignore[misc]
    """Tells what the library keeps to itself: the end of every stream (of one that we stopped it does not tell the
    peer's FIN), which stream is stopped before its time, and who closed the connection."""

    closed_by_application = False

    def _handle_raw_event(self, kind: int, stream_id: int, *rest: Any) -> None:
        if kind == _EVT_STOP_SENDING and stream_id not in self._stream_ctxs:
            self._events.append(EarlyStop(stream_id, rest[_ERROR_CODE]))
            return
        super()._handle_raw_event(kind, stream_id, *rest)
        if kind == _EVT_STREAM_DESTROY:
            self._events.append(StreamGone(stream_id))
        elif kind == _EVT_APP_CLOSE:
            self.closed_by_application = True
