"""A slot: one connection's place, and what is remembered of it. Pure.

IDLE ──► STARTING ──► DIALING ──► REGISTERED ──► (ended) ──► WAITING ──► STARTING …
                                                  │ refused for good: REFUSED
                                                  │ stop was asked for: DRAINING ──► ENDED
"""

import enum
from typing import Final

import msgspec

from actors.bus.messages import OTHER_VERSION_STATUS
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.vocabulary import WorkerEvent, WorkerStopped

HEALTHY_AFTER: Final = 5.0
"""Seconds that a registration must last to count as a success: one that flaps must not reset the count."""


class SlotState(enum.StrEnum):
    """Where a slot is in its life."""

    IDLE = enum.auto()
    WAITING = enum.auto()
    STARTING = enum.auto()
    DIALING = enum.auto()
    REGISTERED = enum.auto()
    DRAINING = enum.auto()
    REFUSED = enum.auto()
    ENDED = enum.auto()


LIVE: Final = frozenset((SlotState.STARTING, SlotState.DIALING, SlotState.REGISTERED, SlotState.DRAINING))
"""States in which a slot has a process."""


class Slot(msgspec.Struct):
    """One connection's place."""

    index: int
    generation: int = 0
    state: SlotState = SlotState.IDLE
    failures: int = 0
    """Consecutive failures that count towards `PermanentFailure`."""
    tries: int = 0
    """Consecutive tries in vain, those included that were nobody's fault: the next wait is chosen by them."""
    duplicates: int = 0
    """Consecutive refusals because an earlier connection holds the index."""
    wake_at: float = 0.0
    asked_to_wait_until: float = 0.0
    """The edge's own wish, which no change of network makes moot."""
    last_seen: float = 0.0
    registered_at: float = 0.0
    held_before: bool = False
    """Whether an earlier generation was registered: the edge may still know it."""
    warm: bool = False
    """Its worker was the spare: if it ends before it is up, it was the spare that died, and no try was made."""
    last_word: WorkerStopped | None = None
    killed: bool = False

    def is_of(self, event: WorkerEvent) -> bool:
        """Whether `event` is of its present worker."""
        return self.generation == event.generation and self.state in LIVE

    @property
    def is_missed(self) -> bool:
        """Whether it should be up and is not: neither while it makes its first try, nor if the edge refused it."""
        if self.state in (SlotState.REGISTERED, SlotState.REFUSED):
            return False
        return self.held_before or self.tries > 0

    def next_generation(self, now: float, *, warm: bool) -> None:
        """Start another worker in this slot."""
        self.state = SlotState.STARTING
        self.generation += 1
        self.last_seen = now
        self.last_word = None
        self.killed = False
        self.warm = warm

    def unsaid(self, status: int) -> tuple[WorkerEnd, str]:
        """What a process that ended without a last word died of."""
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        if self.killed:
            return WorkerEnd.HEARTBEAT_MISSED, "the worker did not answer and was killed"
        if status == OTHER_VERSION_STATUS:
            return WorkerEnd.OTHER_VERSION, "the package was changed under this tunnel, and its new code cannot join it"
        if self.state is SlotState.STARTING:
            return WorkerEnd.NEVER_READY, f"the worker ended before it was up ({how})"
        return WorkerEnd.CRASHED, f"the worker ended without a word ({how})"

    def forget_failures(self) -> None:
        """Start counting failures from zero."""
        self.failures = self.tries = self.duplicates = 0
