"""A slot: one connection's place, and what is remembered of it. Pure.

IDLE ──► STARTING ──► DIALING ──► REGISTERED ──► (ended) ──► WAITING ──► STARTING …
                                                  │ refused for good: REFUSED
                                                  │ stop was asked for: DRAINING ──► ENDED

Beside the slot's own worker there can be others for a while: a successor, which comes up while the own one serves, and
then its predecessor, which finishes what runs on it.
"""

import enum
from typing import Final

import msgspec

from actors.bus.messages import OTHER_VERSION_STATUS, Protocol
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.restart import PATIENCE, READY_TIMEOUT
from actors.supervisor.vocabulary import WorkerStopped

HEALTHY_AFTER: Final = 5.0
"""Seconds that a registration must last to count as a success: one that flaps must not reset the count."""


class SlotState(enum.StrEnum):
    """Where a slot is in its life, and a worker in its own."""

    IDLE = enum.auto()
    WAITING = enum.auto()
    STARTING = enum.auto()
    DIALING = enum.auto()
    REGISTERED = enum.auto()
    DRAINING = enum.auto()
    REFUSED = enum.auto()
    ENDED = enum.auto()


LIVE: Final = frozenset((SlotState.STARTING, SlotState.DIALING, SlotState.REGISTERED, SlotState.DRAINING))
"""States in which there is a process."""


class Worker(msgspec.Struct):
    """One generation of a slot."""

    generation: int = 0
    state: SlotState = SlotState.IDLE
    protocol: Protocol = "quic"
    last_seen: float = 0.0
    registered_at: float = 0.0
    ends_by: float | None = None
    """A predecessor that lives on after this is killed."""
    warm: bool = False
    """It was the spare: if it ends before it is up, it was the spare that died, and no try was made."""
    leaving: bool = False
    """The edge wants this connection to end."""
    last_word: WorkerStopped | None = None
    killed: bool = False

    def is_silent(self, now: float) -> bool:
        """Whether it has said nothing for too long, or should have ended by now."""
        if self.ends_by is not None and now >= self.ends_by:
            return True
        return now - self.last_seen > (READY_TIMEOUT if self.state is SlotState.STARTING else PATIENCE)

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


class Slot(Worker):
    """One connection's place. What it has of a `Worker` is its own, present one's."""

    index: int = 0
    newest: int = 0
    """The highest number that a generation has got."""
    beside: list[Worker] = []
    """Its successor, if one is coming up, and predecessors that have not ended."""
    failures: int = 0
    """Consecutive failures that count towards `PermanentFailure`."""
    tries: int = 0
    """Consecutive tries in vain, those included that were nobody's fault: the next wait is chosen by them."""
    duplicates: int = 0
    """Consecutive refusals because an earlier connection holds the index."""
    in_vain: int = 0
    """Consecutive dials in vain with the protocol of the last one."""
    turned_to: Protocol | None = None
    """What the next dial speaks, since the other one was not answered."""
    spoke: Protocol | None = None
    """The protocol of the latest registration."""
    wake_at: float = 0.0
    asked_to_wait_until: float = 0.0
    """The edge's own wish, which no change of network makes moot."""
    held_before: bool = False
    """Whether an earlier generation was registered: the edge may still know it."""

    def worker(self, generation: int) -> Worker | None:
        """The worker of that number: the slot's own or one beside it; None: it has ended."""
        return next((worker for worker in self.workers if worker.generation == generation), None)

    @property
    def workers(self) -> list[Worker]:
        """All that live."""
        return [*([self] if self.state in LIVE else []), *self.beside]

    @property
    def successor(self) -> Worker | None:
        """The one that comes up beside its own."""
        coming = (SlotState.STARTING, SlotState.DIALING)
        return next((other for other in self.beside if other.state in coming), None)

    @property
    def is_missed(self) -> bool:
        """Whether it should be up and is not: neither while it makes its first try, nor if the edge refused it."""
        if self.state in (SlotState.REGISTERED, SlotState.REFUSED):
            return False
        return self.held_before or self.tries > 0

    def next_generation(self, worker: Worker, protocol: Protocol, now: float, *, warm: bool) -> None:
        """`worker`, the slot itself or a new one beside it, begins as its next generation."""
        self.newest += 1
        fresh = Worker(self.newest, SlotState.STARTING, protocol, last_seen=now, warm=warm)
        for name in Worker.__struct_fields__:
            setattr(worker, name, getattr(fresh, name))
        if worker is not self:
            self.beside.append(worker)

    def for_another_tunnel(self) -> "Slot":
        """The place of the same number in the tunnel that comes after this one."""
        return Slot(index=self.index, generation=self.newest, newest=self.newest, spoke=self.spoke)

    def change_places(self, other: Worker) -> None:
        """A worker beside the slot becomes its own, and its own becomes the one beside it."""
        for name in Worker.__struct_fields__:
            mine, others = getattr(self, name), getattr(other, name)
            setattr(self, name, others)
            setattr(other, name, mine)

    def forget_failures(self) -> None:
        """Start counting failures from zero."""
        self.failures = self.tries = self.duplicates = 0
