"""What the service allows a quick tunnel: imitated by `--as-cloudflare`, so that it is met before the world meets it.

Pure: the front counts and keeps the time.
"""

import math
from typing import Final, NamedTuple


class Limits(NamedTuple):
    """What the edge allows. What has no limit is infinite."""

    in_flight: float
    """Requests of one tunnel at once; one more gets 429."""
    body_bytes: float
    """Bytes of one request's body; more get 413."""
    answer_timeout: float
    """Seconds until the head of the answer; then 524."""
    holds_event_streams: bool
    """Whether an event stream that answers a GET is held back until it ends."""

    def holds(self, method: str, fields: list[tuple[bytes, bytes]]) -> bool:
        """Whether the answer with these fields is held back: an event stream over GET; POST and WebSocket stream."""
        types = [value for name, value in fields if name.lower() == b"content-type"]
        is_stream = any(value.split(b";")[0].strip().lower() == b"text/event-stream" for value in types)
        return self.holds_event_streams and method == "GET" and is_stream


UNLIMITED: Final = Limits(math.inf, math.inf, math.inf, holds_event_streams=False)

CLOUDFLARE: Final = Limits(in_flight=200, body_bytes=100_000_000, answer_timeout=100.0, holds_event_streams=True)
"""As the service documents them for quick tunnels, and people report them."""

MAX_HELD_BYTES: Final = 16 * 1024 * 1024
"""Of an event stream; what is longer passes from here on: this machine's memory is no part of the imitation."""
