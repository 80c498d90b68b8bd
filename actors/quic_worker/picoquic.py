"""A connection whose engine has a thread of its own: we wake when it says so, and look for what it does not say."""

import asyncio
import time
from typing import Final

from actors.quic_worker.connection import Owner, Stream
from actors.quic_worker.engine import Address
from actors.quic_worker.engines.picoquic_engine import PicoquicEngine
from actors.quic_worker.engines.picoquic_library import give_memory_back
from actors.quic_worker.quic import QuicConnection

LOOK_INTERVAL: Final = 0.001
"""Seconds between looks at whether a paused stream has room again, and at what has come of a fast upload. picoquic
would tell of each packet, which costs more; a fast line takes some 200 KB in this time, less than lies between the two
water marks."""

BULK: Final = 2 * 1200
"""Bytes of bodies under way, found in one look, from which on we look by the clock: a fast upload would be written to
its origin in pieces of two packets, each with its own wake-up, and is in pieces of a hundred."""

FLUSH_INTERVAL: Final = 0.01
"""Seconds between looks at what is in flight, when the end waits for it: its thread tells that only when asked."""

QUIET_LOOKS: Final = 3
"""Looks in a row that must find nothing in flight: each sees what was true when the one before it asked."""

CLOSE_TIME: Final = 0.02
"""Seconds that its thread gets to send CONNECTION_CLOSE, before it is ended."""

MEMORY_INTERVAL: Final = 5.0
"""Seconds after a stream has ended until its memory is given back, unless others are open then."""

MEMORY_PATIENCE: Final = 60.0
"""Seconds until it is given back all the same: after a hundred uploads nothing moves for 20 ms meanwhile, as was
measured, which may be seen once a minute. What is used again after it costs page faults."""


class PicoquicConnection(QuicConnection):
    """A connection over picoquic."""

    engine: PicoquicEngine

    def __init__(self, engine: PicoquicEngine, owner: Owner) -> None:
        super().__init__(owner)
        self.engine = engine
        self._eventfd = -1
        self._listens = False
        self._scheduled = False
        self._looking: asyncio.TimerHandle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._to_be_tidy_at = 0.0

    def connect(self, address: Address) -> None:
        self._eventfd = self.engine.connect(address)
        self._listen(True)

    def _listen(self, wanted: bool) -> None:
        """Whether to wake when the thread says so. Not while the engine holds back: it would wake us without end; nor
        while so much comes that we look by the clock."""
        if wanted != self._listens and self._eventfd >= 0:
            self._listens = wanted
            if wanted:
                self._loop.add_reader(self._eventfd, self.enter, self._deliver)
            else:
                self._loop.remove_reader(self._eventfd)

    def _deliver(self) -> None:
        self._scheduled = False
        self.engine.deliver(self)
        is_bulk = self.engine.bulk >= BULK
        self._listen(not self.engine.holds_back and not is_bulk)
        self.progressed()
        if is_bulk and not self.is_closed:
            self._look_soon()

    def transmit_soon(self) -> None:
        """Its thread sends by itself. What waited for its consumer is handed on, and what its rings did not take is
        offered again, also when nothing comes that would wake us."""
        if self.engine.has_ready and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.enter, self._deliver)
        elif self.engine.is_waiting and not self.is_closed:
            self._look_soon()

    def progressed(self) -> None:
        super().progressed()
        if (self._watched or self.engine.is_waiting) and not self.is_closed:
            self._look_soon()

    def _look_soon(self) -> None:
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_INTERVAL, self.enter, self._look)

    def _look(self) -> None:
        self._looking = None
        self._deliver()

    def release(self, stream: Stream) -> None:
        super().release(stream)
        if self._tidying is None and self._eventfd >= 0:
            self._to_be_tidy_at = self._loop.time() + MEMORY_PATIENCE
            self._tidying = self._loop.call_later(MEMORY_INTERVAL, self._tidy)

    def _tidy(self) -> None:
        is_busy = len(self._streams) > 1  # the control stream is always there
        if is_busy and self._loop.time() < self._to_be_tidy_at:
            self._tidying = self._loop.call_later(MEMORY_INTERVAL, self._tidy)
            return
        self._tidying = None
        give_memory_back()

    def watch(self, stream: Stream) -> None:
        super().watch(stream)
        self._look_soon()

    async def flushed(self, besides: Stream | None = None) -> None:
        quiet = 0
        while quiet < QUIET_LOOKS and not self.is_closed:
            quiet = 0 if self.engine.is_undelivered() else quiet + 1
            await asyncio.sleep(FLUSH_INTERVAL)

    def close(self, error_code: int = 0, reason: str = "") -> None:
        if self._eventfd < 0:
            return
        self._listen(False)
        self._eventfd = -1
        for timer in (self._looking, self._tidying):
            if timer is not None:
                timer.cancel()
        self._attempt(self.engine.close, error_code, reason)
        time.sleep(CLOSE_TIME)  # the last that is done on this loop
        self._attempt(self.engine.end)
