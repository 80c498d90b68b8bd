"""When the next try at the tunnel API may be, remembered across restarts.

After a 429 the next request is never sooner than a minute, whoever restarts this program how often: a service manager
that starts it again at once would else turn one refusal into a storm of them.
"""

import math
from pathlib import Path
from typing import Final

import msgspec

from actors.url_file import write_atomically

MIN_WAIT: Final = 60.0
"""Seconds between a 429 and the next try, whatever Retry-After says."""

MAX_WAIT: Final = 24 * 3600.0
"""Seconds beyond which a remembered time is taken for a clock that was wrong."""

FILE_NAME: Final = "rate-limited.json"


class _Record(msgspec.Struct):
    service: str
    until: float
    """Unix seconds."""


class RateLimitMemory:
    """The file that remembers. A folder that cannot be written only shortens the memory to this process."""

    def __init__(self, folder: Path, service: str) -> None:
        """`service`: the API's URL; what another one said is of no concern."""
        self._path = folder / FILE_NAME
        self._service = service

    def seconds_left(self, now: float) -> float:
        """Seconds from `now` (Unix time) until the next try may be; 0 when it may be at once."""
        try:
            record = msgspec.json.decode(self._path.read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return 0.0
        if record.service != self._service:
            return 0.0
        left = record.until - now
        return left if math.isfinite(left) and 0.0 < left <= MAX_WAIT else 0.0

    def refused(self, now: float, retry_after: float) -> float:
        """The API answered 429; return how many seconds to wait.

        Raises:
            OSError: it cannot be remembered; the wait holds all the same. See `wait_for`.
        """
        wait = wait_for(retry_after)
        write_atomically(self._path, msgspec.json.encode(_Record(self._service, now + wait)), mode=0o600)
        return wait

    def forget(self) -> None:
        """The API gave a tunnel."""
        self._path.unlink(missing_ok=True)


def wait_for(retry_after: float) -> float:
    """Seconds to wait after a 429 that asks for `retry_after`."""
    return min(max(retry_after, MIN_WAIT), MAX_WAIT)
