"""The stream of events (Server-Sent Events) by which the page stays up to date.

Nothing is queued for a client: each remembers up to which change it has been told, and is told at intervals what came
since, each exchange once. So one that reads slowly, or a thousand changes at once, cost no more than the ring holds.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.inspector.store import Store
from actors.inspector.views import View, summary
from actors.web.http_server import HttpConnection

INTERVAL: Final = 0.1
"""Seconds between two tellings while there is news."""

COMMENT_INTERVAL: Final = 15.0
"""Seconds after which a client is told that there is none: whatever lies between keeps the connection then."""

MAX_FEEDS: Final = 20
"""Clients at once: a browser has six connections for a site, and a person three browsers at most."""


class Feeds:
    """All clients that listen."""

    def __init__(self, store: Store, status: Callable[[], View]) -> None:
        self._store = store
        self._status = status
        self._open: set[Feed] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, client: HttpConnection, fields: list[tuple[bytes, bytes]], after: int | None) -> "Feed":
        """Tell `client` of all changes after the one with this number; None: of those from now on."""
        begin = self._store.sequence if after is None else after
        feed = Feed(client, self._store, self._status, begin, self._open.discard)
        self._open.add(feed)
        client.send_head(200, [(b"Content-Type", b"text/event-stream; charset=utf-8"), *fields])
        feed.begin()
        return feed

    @property
    def is_full(self) -> bool:
        """Whether nobody else may listen."""
        return len(self._open) >= MAX_FEEDS

    def close(self) -> None:
        """End them all."""
        for feed in list(self._open):
            feed.end()


class Feed:
    """One client (a `Responder`)."""

    def __init__(
        self,
        client: HttpConnection,
        store: Store,
        status: Callable[[], View],
        told: int,
        ended: Callable[["Feed"], None],
    ) -> None:
        self._client = client
        self._store = store
        self._status = status
        self._told = told
        self._ended = ended
        self._said: View = {}
        """The status, as it was said last."""
        self._silent = 0.0
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Say what there is, and go on."""
        self._client.send_body(b"retry: 1000\n\n")
        self._tick()

    def _tick(self) -> None:
        if not self._is_paused:
            self._tell()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)

    def _tell(self) -> None:
        store = self._store
        self._silent += INTERVAL
        if self._told != store.sequence:
            since = self._told
            if not store.knows_since(since):  # it was cleared, or another inspector spoke, or it is too long ago
                self._send("cleared", {}, store.first)
                since = store.first
            self._told = store.sequence
            if gone := store.removed_since(since):
                self._send("removed", gone, None)
            for entry in store.changed_since(since):
                self._send("exchange", summary(entry), entry.sequence)
        status = self._status()
        if status != self._said:
            self._said = status
            self._send("status", status, None)
        if self._silent >= COMMENT_INTERVAL:
            self._silent = 0.0
            self._client.send_body(b": still here\n\n")

    def _send(self, event: str, data: Any, number: int | None) -> None:
        self._silent = 0.0
        identity = f"id: {number}\n" if number is not None else ""
        self._client.send_body(f"{identity}event: {event}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode())

    def end(self) -> None:
        """Say no more."""
        self._stop()
        self._client.end()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)

    # --- from the client (Responder) ---

    def body_received(self, data: bytes) -> None: ...
    def body_ended(self) -> None: ...

    def visitor_lost(self) -> None:
        self._stop()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
