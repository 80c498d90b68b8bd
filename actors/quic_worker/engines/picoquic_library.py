"""What we ask of `aiopquic` beyond what it offers: silence, memory given back, and what it keeps to itself."""

import contextlib
import ctypes
import functools
import logging
import os
from typing import Final, NamedTuple

from aiopquic.quic.connection import _EVT_APP_CLOSE, _EVT_STREAM_DESTROY, QuicConnection

LARGE: Final = 512 * 1024
"""Bytes from which on the allocator gives memory back at once: rings, that is, and little else. Else the rings of a
hundred uploads stay for ever: 64 MB (PSS) after 32 at once, and 30 with it."""

OF_LIBRARY: Final = ("SSLKEYLOGFILE", "AIOPQUIC_")
"""What begins the names of variables by which the library would write TLS keys, traces of the traffic or logs to files
and to stderr: they are not for us."""

_M_MMAP_THRESHOLD: Final = -3
"""Of mallopt(3)."""


@functools.cache
def prepare_process() -> None:
    """What the library reads, says and allocates is set for the whole process."""
    for name in [name for name in os.environ if name.startswith(OF_LIBRARY)]:
        del os.environ[name]
    logging.getLogger("aiopquic").setLevel(logging.CRITICAL)  # it warns of each stream that a peer resets
    with contextlib.suppress(AttributeError):  # macOS has none
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)


class StreamGone(NamedTuple):
    """picoquic has forgotten a stream: both sides of it have ended."""

    stream_id: int


class LibraryConnection(QuicConnection):  # type: ignore[misc]
    """Tells what the library keeps to itself: the end of every stream (of one that we stopped it does not tell the
    peer's FIN), and who closed the connection."""

    closed_by_application = False

    def _handle_raw_event(self, kind: int, stream_id: int, *rest: object) -> None:
        super()._handle_raw_event(kind, stream_id, *rest)
        if kind == _EVT_STREAM_DESTROY:
            self._events.append(StreamGone(stream_id))
        elif kind == _EVT_APP_CLOSE:
            self.closed_by_application = True
