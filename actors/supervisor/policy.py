"""The supervisor's judgement. Pure: events and the time come in, commands go out.

A slot is one connection's place; its workers are its generations, one at a time. In OTP's words (`ChildSpec`) a worker
is `transient`: one that ends as asked is not started again, any other end is a failure, and the slot waits longer
after each (`backoff`). Where a failure count would end the tunnel, and where it would not, is all in this file.

The life of a slot:

    IDLE ──► STARTING ──► DIALING ──► REGISTERED ──► (ended) ──► WAITING ──► STARTING …
                                                      │ refused for good: REFUSED
                                                      │ stop was asked for: DRAINING ──► ENDED
"""

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from actors import DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS, events
from actors.errors import (
    EdgeUnreachable,
    LocalSetupError,
    NoConnection,
    PermanentFailure,
    RefusedByEdge,
    RegistrationFailed,
    TunnelError,
)
from actors.messages import HEARTBEAT_INTERVAL
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.vocabulary import (
    Announce,
    Begin,
    Command,
    DrainWorker,
    Finish,
    HelperBeat,
    HelperExited,
    KillHelper,
    KillWorker,
    PolicyEvent,
    SpawnHelper,
    SpawnWorker,
    StopAsked,
    Tick,
    WorkerBeat,
    WorkerEvent,
    WorkerExited,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)

BACKOFF: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before the next try after the first, second, … consecutive failure; the last one for all further."""

MAX_RETRY_AFTER: Final = 300.0
"""Seconds; an edge that asks for a longer wait gets a try after these."""

MIN_JITTER: Final = 0.5
"""A wait is between this share of its value and all of it, so that many clients do not come back as one."""

HEALTHY_AFTER: Final = 5.0
"""Seconds that a registration must last to count as a success: one that flaps must not reset the count."""

MISSED_HEARTBEATS: Final = 3
"""A worker that missed so many is killed: it is stopped or stuck, and the edge still sends it requests."""

HEARTBEAT_SLACK: Final = 0.5
"""Seconds for a beat to arrive on a busy machine."""

PATIENCE: Final = MISSED_HEARTBEATS * HEARTBEAT_INTERVAL + HEARTBEAT_SLACK
"""Seconds without a word after which a child counts as hung."""

READY_TIMEOUT: Final = 15.0
"""Seconds for a worker process to come up; imports take 0.3 s, on a machine that swaps much longer."""

TICK: Final = 0.5
"""Seconds between two ticks. One that comes much later means that this process was stopped, not its workers."""

HELPER_HEALTHY_AFTER: Final = 60.0
"""Seconds between two ends of another actor after which they have nothing to do with each other."""

KILL_MARGIN: Final = 2.0
"""Seconds beyond the grace period after which a worker that should have ended is killed."""


@dataclass(frozen=True)
class ChildSpec:
    """How a kind of child is treated, in OTP's words."""

    restart: Literal["permanent", "transient", "temporary"]
    significant: bool = False
    """Its end is the end of the supervisor."""


CHILDREN: Final = {
    "metrics": ChildSpec("permanent"),
    "worker": ChildSpec("transient"),
    "local_edge": ChildSpec("temporary", significant=True),
    "hello_world": ChildSpec("temporary", significant=True),
}

# --- state ---------------------------------------------------------------------------------------------------------


_NOT_REGISTERED: Final = frozenset(
    (
        WorkerEnd.REFUSED_FOR_GOOD,
        WorkerEnd.REGISTRATION_REFUSED,
        WorkerEnd.REGISTRATION_FAILED,
        WorkerEnd.DUPLICATE_CONNECTION,
    )
)
"""Ends for which the edge, and not the way to it, is the cause."""


class SlotState(enum.Enum):
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


@dataclass
class Slot:
    """One connection's place."""

    index: int
    state: SlotState = SlotState.IDLE
    generation: int = 0
    failures: int = 0
    duplicates: int = 0
    """Consecutive refusals because an earlier connection holds the index; not failures."""
    wake_at: float = 0.0
    last_seen: float = 0.0
    registered_at: float = 0.0
    held_before: bool = False
    """An earlier generation was registered: the edge may still know it."""
    last_word: WorkerStopped | None = None
    killed: bool = False


@dataclass
class Limits:
    """What the user may set."""

    connections: int
    start_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT
    max_attempts: int = MAX_RECONNECT_ATTEMPTS


@dataclass
class Policy:
    """All state of the judgement. `handle` is its one mutator."""

    limits: Limits
    edges: EdgeAddresses
    rng: random.Random
    url: str = ""
    tunnel_id: str = ""
    slots: list[Slot] = field(init=False)
    reconnects: int = 0
    started: bool = False
    """A connection was registered once."""
    stop_deadline: float | None = None
    finished: bool = False
    _start_deadline: float = 0.0
    _last_tick: float = 0.0
    _last_failure: WorkerStopped | None = None
    _helper_failures: dict[str, tuple[int, float]] = field(default_factory=dict)
    _helpers_due: dict[str, float] = field(default_factory=dict)
    _helpers_seen: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = [Slot(index) for index in range(self.limits.connections)]

    @property
    def connections(self) -> int:
        """How many are registered."""
        return sum(slot.state is SlotState.REGISTERED for slot in self.slots)

    def handle(self, event: PolicyEvent, now: float) -> Sequence[Command]:
        """Take an event; return what is to be done about it."""
        if self.finished:
            return []
        match event:
            case Begin():
                self._start_deadline = now + self.limits.start_timeout
                self._last_tick = now
                return self._spawn(self.slots[0], now)
            case Tick():
                return self._tick(now)
            case StopAsked():
                return self._stop(event.grace, now)
            case HelperBeat():
                self._helpers_seen[event.name] = now
                return []
            case HelperExited():
                return self._helper_exited(event, now)
            case WorkerExited():
                slot = self.slots[event.slot]
                return self._exited(slot, event, now) if _is_current(slot, event) else []
            case WorkerReady() | WorkerRegistered() | WorkerBeat() | WorkerStopped():
                slot = self.slots[event.slot]
                return self._said(slot, event, now) if _is_current(slot, event) else []

    # --- what workers say ---

    def _said(
        self, slot: Slot, event: WorkerReady | WorkerRegistered | WorkerBeat | WorkerStopped, now: float
    ) -> Sequence[Command]:
        slot.last_seen = now
        match event:
            case WorkerReady() if slot.state is SlotState.STARTING:
                slot.state = SlotState.DIALING
            case WorkerRegistered() if slot.state is SlotState.DIALING:
                return self._registered(slot, event, now)
            case WorkerStopped():
                slot.last_word = event
        return []

    def _registered(self, slot: Slot, event: WorkerRegistered, now: float) -> Sequence[Command]:
        slot.state = SlotState.REGISTERED
        slot.registered_at = now
        slot.duplicates = 0
        if slot.held_before:
            self.reconnects += 1
        slot.held_before = True
        self.started = True
        fact = events.Registered(
            slot=slot.index,
            generation=slot.generation,
            url=self.url,
            tunnel_id=self.tunnel_id,
            location=event.location,
            connection_id=event.connection_id,
            connections=self.connections,
        )
        return [Announce(fact), *self._start_idle(now)]

    def _start_idle(self, now: float) -> list[Command]:
        return [command for slot in self.slots if slot.state is SlotState.IDLE for command in self._spawn(slot, now)]

    def _spawn(self, slot: Slot, now: float) -> list[Command]:
        slot.state = SlotState.STARTING
        slot.generation += 1
        slot.last_seen = now
        slot.last_word = None
        slot.killed = False
        edge = self.edges.for_slot(slot.index, now)
        return [
            Announce(
                events.Connecting(slot=slot.index, generation=slot.generation, edge=str(edge), attempt=slot.failures)
            ),
            SpawnWorker(slot.index, slot.generation, edge, slot.failures, slot.held_before),
        ]

    # --- a worker has ended ---

    def _exited(self, slot: Slot, event: WorkerExited, now: float) -> Sequence[Command]:
        word = slot.last_word or WorkerStopped(slot.index, slot.generation, *_unsaid(slot, event.status), 0.0)
        word = replace(word, retry_after=min(word.retry_after, MAX_RETRY_AFTER))
        before = slot.state
        if self.stop_deadline is not None:
            slot.state = SlotState.ENDED
            return self._end_if_all_ended()
        if word.end is WorkerEnd.REFUSED_FOR_GOOD:
            return self._refused(slot, word, now)
        delay = self._judge(slot, before, word, now)
        slot.state = SlotState.WAITING
        slot.wake_at = now + delay
        self._last_failure = word
        gone = self._beyond_mending(slot)
        fact = events.ConnectionEnded(
            slot=slot.index,
            generation=slot.generation,
            reason=word.end,
            message=word.message,
            was_registered=before is SlotState.REGISTERED,
            failures=slot.failures,
            retry_in=None if gone else delay,
            connections=self.connections,
        )
        return [Announce(fact), *(self._give_up(slot, word) if gone else [])]

    def _judge(self, slot: Slot, before: SlotState, word: WorkerStopped, now: float) -> float:
        """Count the failure, choose the next address; return the seconds to wait."""
        if word.end is WorkerEnd.DUPLICATE_CONNECTION:
            slot.duplicates += 1
            elsewhere = self.edges.move_on(slot.index, now, unreachable=False)
            return max(0.0 if elsewhere and slot.duplicates == 1 else self._backoff(slot.duplicates), word.retry_after)
        if before is SlotState.REGISTERED and now - slot.registered_at >= HEALTHY_AFTER:
            slot.failures = 0
            return word.retry_after  # the first try after a healthy life is made at once, at its own address
        slot.failures += 1
        if before is SlotState.DIALING:
            self.edges.move_on(slot.index, now, unreachable=word.end is WorkerEnd.DIAL_FAILED)
        return max(self._backoff(slot.failures), word.retry_after)

    def _backoff(self, failures: int) -> float:
        return BACKOFF[min(failures, len(BACKOFF)) - 1] * self.rng.uniform(MIN_JITTER, 1.0)

    def _beyond_mending(self, slot: Slot) -> bool:
        """Before the first registration the start's own timeout rules; and a slot that was only just lost has hope."""
        others = [other for other in self.slots if other is not slot and other.state is not SlotState.REFUSED]
        return (
            self.started
            and 0 < self.limits.max_attempts <= slot.failures
            and self.connections == 0
            and all(other.failures for other in others)
        )

    def _give_up(self, slot: Slot, word: WorkerStopped) -> list[Command]:
        error = PermanentFailure(
            slot.failures,
            f"gave up after {slot.failures} consecutive failures to connect to the edge; the last one: "
            f"{word.end}: {word.message or 'no message'}. Start again when the network is back, or use "
            "--max-reconnect-attempts 0 to try for ever.",
        )
        return self._finish(error)

    def _refused(self, slot: Slot, word: WorkerStopped, now: float) -> list[Command]:
        slot.state = SlotState.REFUSED
        self._last_failure = word
        fact = Announce(
            events.ConnectionRefused(
                slot=slot.index, generation=slot.generation, cause=word.message, connections=self.connections
            )
        )
        if all(other.state is SlotState.REFUSED for other in self.slots):
            return [fact, *self._finish(RefusedByEdge(f"the edge refused the tunnel for good: {word.message}"))]
        # The others wait for a first registration: it is the next one's turn to try for it.
        waiting = [other for other in self.slots if other.state is SlotState.IDLE]
        return [fact, *(self._spawn(waiting[0], now) if waiting and not self.started else [])]

    # --- time ---

    def _tick(self, now: float) -> Sequence[Command]:
        late = now - self._last_tick - TICK
        self._last_tick = now
        commands: list[Command] = []
        for slot in self.slots:
            if late > HEARTBEAT_INTERVAL:
                slot.last_seen += late  # it was us who slept
            if slot.state is SlotState.WAITING and now >= slot.wake_at:
                commands += self._spawn(slot, now)
            elif slot.state in LIVE and not slot.killed and self._is_silent(slot, now):
                slot.killed = True
                commands.append(KillWorker(slot.index, slot.generation))
            elif slot.state is SlotState.REGISTERED and slot.failures and now - slot.registered_at >= HEALTHY_AFTER:
                slot.failures = 0
        for name, seen in list(self._helpers_seen.items()):
            if late > HEARTBEAT_INTERVAL:
                self._helpers_seen[name] = seen + late
            elif now - seen > PATIENCE:
                del self._helpers_seen[name]
                commands.append(KillHelper(name))
        for name, due in list(self._helpers_due.items()):
            if now >= due:
                del self._helpers_due[name]
                commands.append(SpawnHelper(name))
        if not self.started and self.stop_deadline is None and now >= self._start_deadline:
            return [*commands, *self._finish(self._start_error())]
        return commands

    def _is_silent(self, slot: Slot, now: float) -> bool:
        if self.stop_deadline is not None and now >= self.stop_deadline:
            return True
        return now - slot.last_seen > (READY_TIMEOUT if slot.state is SlotState.STARTING else PATIENCE)

    def _start_error(self) -> TunnelError:
        within = f"no connection to the edge was registered within {self.limits.start_timeout:g} s"
        word = self._last_failure
        if word is None:
            return NoConnection(f"{within}; try a longer --timeout")
        message = f"{within}; the last try: {word.message or word.end}"
        if word.end is WorkerEnd.DIAL_FAILED:
            return EdgeUnreachable(message)
        if word.end in (
            WorkerEnd.REFUSED_FOR_GOOD,
            WorkerEnd.REGISTRATION_REFUSED,
            WorkerEnd.REGISTRATION_FAILED,
            WorkerEnd.DUPLICATE_CONNECTION,
        ):
            return RegistrationFailed(message)
        return NoConnection(message)

    # --- other actors ---

    def _helper_exited(self, event: HelperExited, now: float) -> Sequence[Command]:
        self._helpers_seen.pop(event.name, None)
        if self.stop_deadline is not None:
            return []
        if CHILDREN[event.name].significant:
            return self._finish(
                LocalSetupError(
                    f"the {event.name.replace('_', ' ')} ended with status {event.status}, and the tunnel with it"
                )
            )
        failures, last = self._helper_failures.get(event.name, (0, 0.0))
        failures = failures + 1 if now - last < HELPER_HEALTHY_AFTER else 1
        self._helper_failures[event.name] = (failures, now)
        fact = Announce(events.ActorRestarted(actor=event.name, exit_status=event.status))
        if failures == 1:
            return [fact, SpawnHelper(event.name)]
        self._helpers_due[event.name] = now + self._backoff(failures - 1)
        return [fact]

    # --- the end ---

    def _stop(self, grace: float, now: float) -> Sequence[Command]:
        if self.stop_deadline is not None:
            return []
        self.stop_deadline = now + grace + KILL_MARGIN
        commands: list[Command] = []
        for slot in self.slots:
            if slot.state in (SlotState.REGISTERED, SlotState.DIALING):
                slot.state = SlotState.DRAINING
                commands.append(DrainWorker(slot.index, slot.generation, grace))
            elif slot.state is SlotState.STARTING:
                slot.killed = True
                commands.append(KillWorker(slot.index, slot.generation))
            else:
                slot.state = SlotState.ENDED
        return [*commands, *self._end_if_all_ended()]

    def _end_if_all_ended(self) -> list[Command]:
        return self._finish(None) if all(slot.state is SlotState.ENDED for slot in self.slots) else []

    def _finish(self, error: TunnelError | None) -> list[Command]:
        self.finished = True
        return [Finish(error)]


def _is_current(slot: Slot, event: WorkerEvent) -> bool:
    return slot.generation == event.generation and slot.state in LIVE


def _unsaid(slot: Slot, status: int) -> tuple[WorkerEnd, str]:
    """What a process without a last word died of."""
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    if slot.killed:
        return WorkerEnd.HEARTBEAT_MISSED, "the worker did not answer and was killed"
    if slot.state is SlotState.STARTING:
        return WorkerEnd.NEVER_READY, f"the worker ended before it was up ({how})"
    return WorkerEnd.CRASHED, f"the worker ended without a word ({how})"
