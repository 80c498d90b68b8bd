"""Which QUIC engine workers run: another one if native code crashes. Pure.

picoquic is C. A fault in it ends one worker, which is replaced; one that comes back would cost the tunnel a connection
each time. aioquic, in Python, is slower and has no such faults.
"""

from typing import Final

import msgspec

from actors.bus import events
from actors.bus.messages import QuicEngine
from actors.supervisor.vocabulary import Announce, Command, HelperExited, PolicyEvent, UseEngine, WorkerExited

CRASHES: Final = 2
"""Workers that may crash within `WINDOW`: one can be a fluke of the machine's."""

WINDOW: Final = 3600.0
"""Seconds."""

FALLBACK: Final[QuicEngine] = "aioquic"


class EngineChoice(msgspec.Struct):
    """The engine of workers that are started from now on. It falls back once, and stays there."""

    engine: QuicEngine = FALLBACK
    _crashed_at: list[float] = []

    def handle(self, event: PolicyEvent, now: float) -> list[Command]:
        """Take an event; return what is to be done about the engine."""
        match event:
            case WorkerExited(status=status, is_crash=True) | HelperExited("spare", status=status, is_crash=True):
                return self._crashed(status, now)
        return []

    def _crashed(self, status: int, now: float) -> list[Command]:
        before = self.engine
        if before == FALLBACK:
            return []
        self._crashed_at = [*(at for at in self._crashed_at if now - at < WINDOW), now]
        if len(self._crashed_at) < CRASHES:
            return []
        self.engine = FALLBACK
        cause = f"{CRASHES} workers crashed within an hour, the last one by signal {-status}"
        return [UseEngine(FALLBACK), Announce(events.EngineChanged(previous=before, engine=FALLBACK, cause=cause))]
