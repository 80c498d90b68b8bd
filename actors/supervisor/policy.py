"""The supervisor's judgement. Pure: events and the time come in, commands go out.

A slot is one connection's place; its workers are its generations, one at a time. In OTP's words a worker
is `transient`: one that ends as asked is not started again, any other end is a failure, and the slot waits
longer after each (`restart.backoff`).

What one slot is and remembers is in `slots.py`, what its failures mean in `failures.py`, what is known of the network
and of the public URL in `outside.py`, what all children have in common in `restart.py`.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from actors import DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS
from actors.bus import events
from actors.bus.messages import HEARTBEAT_INTERVAL, QuicEngine
from actors.errors import RefusedByEdge
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import failures
from actors.supervisor.dice import Dice
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.engines import EngineChoice
from actors.supervisor.outside import Outside
from actors.supervisor.readiness import State, Visibility, serves
from actors.supervisor.renewal import Renewal
from actors.supervisor.restart import PATIENCE, READY_TIMEOUT, SPARE, Helpers
from actors.supervisor.slots import HEALTHY_AFTER, LIVE, Slot, SlotState
from actors.supervisor.vocabulary import (
    Announce,
    Begin,
    Command,
    DrainWorker,
    Finish,
    HelperBeat,
    HelperExited,
    HelperReady,
    KillWorker,
    NameSeen,
    NetworkSeen,
    Over,
    PolicyEvent,
    ProbeSeen,
    Renew,
    RenewFailed,
    SpawnWorker,
    StopAsked,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)

TICK: Final = 0.5
"""Seconds between two ticks. One that comes much later means that this process was stopped, not its workers."""

KILL_MARGIN: Final = 2.0
"""Seconds beyond the grace period after which a worker that should have ended is killed."""


class Limits(msgspec.Struct, frozen=True):
    """What the user may set."""

    connections: int
    start_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT
    max_attempts: int = MAX_RECONNECT_ATTEMPTS
    renew: bool = False
    spare: bool = False
    engine: QuicEngine = "aioquic"


class Policy(msgspec.Struct):
    """All state of the judgement, as plain data. `handle` is its one mutator."""

    limits: Limits
    dice: Dice
    url: str = ""
    tunnel_id: str = ""
    slots: list[Slot] = []
    reconnects: int = 0
    """Of this tunnel."""
    started: bool = False
    """A connection was registered once."""
    stop_deadline: float | None = None
    finished: bool = False
    _edges: EdgeAddresses = msgspec.field(default_factory=lambda: EdgeAddresses([]))
    _engines: EngineChoice = msgspec.field(default_factory=EngineChoice)
    _outside: Outside = msgspec.field(default_factory=Outside)
    _helpers: Helpers = msgspec.field(default_factory=Helpers)
    _has_spare: bool = True
    """One is up, or on its way. The first is started together with the metrics actor, before there is a tunnel: it
    becomes the first worker, also of those who want none later."""
    _renewal: Renewal = msgspec.field(default_factory=Renewal)
    _start_deadline: float | None = None
    _last_tick: float | None = None
    _last_failure: WorkerStopped | None = None
    _said: tuple[State, bool, int] = (State.STARTING, False, 0)

    def __post_init__(self) -> None:
        if not self.slots:  # else it was read from a log
            self.slots = [Slot(index) for index in range(self.limits.connections)]
            self._engines.engine = self.limits.engine

    # --- what is true now ---

    @property
    def connections(self) -> int:
        """How many are registered."""
        return sum(slot.state is SlotState.REGISTERED for slot in self.slots)

    @property
    def state(self) -> State:
        """The tunnel's state, in one word."""
        if self.finished or self.stop_deadline is not None:
            return State.STOPPING
        if not self.tunnel_id:
            return State.STARTING
        if not self.connections:
            return State.DOWN if self.started else State.ASSIGNED
        if self._outside.is_unreachable:
            return State.UNREACHABLE
        if any(slot.is_missed for slot in self.slots):
            return State.DEGRADED
        return State.VISIBLE if self.visibility is Visibility.SEEN else State.REGISTERED

    @property
    def serves(self) -> bool:
        """Whether a visitor gets an answer."""
        return serves(self.state, self.visibility)

    @property
    def visibility(self) -> Visibility:
        """What is known about the public name."""
        return self._outside.visibility

    @property
    def has_route(self) -> bool:
        """Whether there is a way from this machine to the edge, as far as is known."""
        return self._outside.has_route

    def all_answer(self, now: float) -> bool:
        """Whether every actor that should live has been heard of."""
        silent = any(slot.state in LIVE and self._is_silent(slot, now) for slot in self.slots)
        return not silent and not self._helpers.is_silent(now)

    # --- the one mutator ---

    def handle(self, event: PolicyEvent, now: float) -> Sequence[Command]:
        """Take an event; return what is to be done about it."""
        if self.finished:
            return []
        if self._last_tick is None:
            self._last_tick = now  # from here on a tick is due
            self._helpers.order(SPARE, now)  # it was started together with the metrics actor
        commands = [*self._engines.handle(event, now), *self._judge_event(event, now)]
        self.finished = self.finished or any(isinstance(command, Finish) for command in commands)
        if (now_true := (self.state, self.serves, self.connections)) == self._said:
            return commands
        self._said = now_true
        told = events.StateChanged(
            state=self.state, serves=self.serves, url=self.url, connections=self.connections, slots=len(self.slots)
        )
        return [Announce(told), *commands]  # the state comes first: whoever hears the rest finds it said

    def _judge_event(self, event: PolicyEvent, now: float) -> Sequence[Command]:
        match event:
            case Begin():
                return self._begin(event, now)
            case Tick():
                return self._tick(now)
            case StopAsked():
                return self._stop(event.grace, now)
            case Over():
                self.finished = True
                return []
            case HelperReady() | HelperBeat() | HelperExited():
                return [] if self.stop_deadline is not None else self._helpers.handle(event, now, self.dice)
            case NetworkSeen():
                return self._network_seen(event, now)
            case NameSeen() | ProbeSeen():
                return self._url_seen(event) if event.url == self.url else []
            case RenewFailed():
                may_pass = self._renewal.failed(event.error, self.limits.max_attempts, now, self.dice)
                return [] if may_pass else [Finish(event.error)]
            case WorkerExited():
                slot = self.slots[event.slot]
                return self._exited(slot, event, now) if slot.is_of(event) else []
            case WorkerReady() | WorkerRegistered() | WorkerBeat() | WorkerStopped():
                slot = self.slots[event.slot]
                return self._heard(slot, event, now) if slot.is_of(event) else []

    def _begin(self, event: Begin, now: float) -> Sequence[Command]:
        commands: list[Command] = []
        if self._renewal.active:
            cause = self._last_failure.message if self._last_failure is not None else ""
            told = events.UrlChanged(url=event.url, tunnel_id=event.tunnel_id, previous_url=self.url, cause=cause)
            commands.append(Announce(told))
        elif self.stop_deadline is None:
            self._start_deadline = now + self.limits.start_timeout
        self._renewal.begun(now)
        self.url, self.tunnel_id, self.reconnects = event.url, event.tunnel_id, 0
        self._edges = EdgeAddresses.of(event.edges, self.dice)
        self._outside.begun(event.visibility)
        return [*commands, *self._start(self.slots[0], now)]

    # --- what workers say ---

    def _heard(
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
        told = events.Registered(
            slot=slot.index,
            generation=slot.generation,
            url=self.url,
            tunnel_id=self.tunnel_id,
            location=event.location,
            connection_id=event.connection_id,
            key_exchange=event.key_exchange,
            connections=self.connections,
        )
        return [Announce(told), *self._start_idle(now), *self._order_spare(now)]

    def _start_idle(self, now: float) -> list[Command]:
        return [command for slot in self.slots if slot.state is SlotState.IDLE for command in self._start(slot, now)]

    def _start(self, slot: Slot, now: float) -> list[Command]:
        """A slot's first try: now, or as soon as there is a route."""
        slot.state, slot.wake_at = SlotState.WAITING, now
        return self._wake(slot, now)

    def _order_spare(self, now: float) -> list[Command]:
        if not self.limits.spare or self._has_spare:
            return []
        self._has_spare = True
        return [self._helpers.order(SPARE, now)]

    def _spawn(self, slot: Slot, now: float) -> list[Command]:
        slot.next_generation(now, warm=self._helpers.is_up(SPARE))
        from_spare = self._helpers.is_up(SPARE) or self._helpers.is_coming(SPARE)
        if from_spare:
            self._helpers.taken(SPARE)
            self._has_spare = False
        edge = self._edges.for_slot(slot.index, now)
        return [
            Announce(
                events.Connecting(slot=slot.index, generation=slot.generation, edge=str(edge), attempt=slot.failures)
            ),
            SpawnWorker(slot.index, slot.generation, edge, slot.failures, slot.held_before, from_spare),
        ]

    # --- a worker has ended ---

    def _exited(self, slot: Slot, event: WorkerExited, now: float) -> Sequence[Command]:
        word = slot.last_word or WorkerStopped(slot.index, slot.generation, *slot.unsaid(event.status), 0.0)
        word = msgspec.structs.replace(word, retry_after=min(word.retry_after, failures.MAX_RETRY_AFTER))
        before = slot.state
        if self.stop_deadline is not None:
            slot.state = SlotState.ENDED
            return self._end_if_all_ended()
        self._last_failure = word
        if word.end is WorkerEnd.REFUSED_FOR_GOOD:
            return self._refused(slot, word, now)
        delay = failures.judge(slot, before, word, self._edges, now, is_online=self._outside.is_online, dice=self.dice)
        delay = max(delay, word.retry_after)
        slot.asked_to_wait_until = now + word.retry_after
        slot.state = SlotState.WAITING
        slot.wake_at = now + delay
        # Until the first registration, only the timeout of the start ends it.
        gone = self.started and failures.is_beyond_mending(slot, self.slots, self.limits.max_attempts)
        told = events.ConnectionEnded(
            slot=slot.index,
            generation=slot.generation,
            reason=word.end,
            message=word.message,
            was_registered=before is SlotState.REGISTERED,
            failures=slot.failures,
            retry_in=None if gone or not self.has_route else delay,
            connections=self.connections,
        )
        if gone:
            return [Announce(told), Finish(failures.giving_up(slot, word))]
        return [Announce(told), *self._wake(slot, now)]

    def _wake(self, slot: Slot, now: float) -> list[Command]:
        due = slot.state is SlotState.WAITING and now >= slot.wake_at and self.has_route
        return self._spawn(slot, now) if due else []

    def _refused(self, slot: Slot, word: WorkerStopped, now: float) -> list[Command]:
        slot.state = SlotState.REFUSED
        announcement = Announce(
            events.ConnectionRefused(
                slot=slot.index, generation=slot.generation, cause=word.message, connections=self.connections
            )
        )
        # An edge that refuses what it had taken has dropped the tunnel: it would refuse the others too.
        dropped = any(other.held_before for other in self.slots)
        if not self.connections and (slot.held_before or all(s.state is SlotState.REFUSED for s in self.slots)):
            if dropped and self.limits.renew:
                return [announcement, *self._drop(now)]
            hint = " With --renew, another one is asked for." if dropped else ""
            return [
                announcement,
                Finish(RefusedByEdge(f"the tunnel was refused by the edge for good: {word.message}.{hint}")),
            ]
        # The others wait for a first registration: it is the next one's turn to try for it.
        waiting = [other for other in self.slots if other.state is SlotState.IDLE]
        return [announcement, *(self._start(waiting[0], now) if waiting and not self.connections else [])]

    def _drop(self, now: float) -> list[Command]:
        """Have done with this tunnel; another one is asked for."""
        live = [KillWorker(slot.index, slot.generation) for slot in self.slots if slot.state in LIVE]
        self.slots = [Slot(slot.index, slot.generation) for slot in self.slots]
        self._renewal.dropped(now)
        return [*live, *self._renew_if_due(now)]

    def _renew_if_due(self, now: float) -> list[Command]:
        return [Renew()] if self.has_route and self._renewal.take_if_due(now) else []

    # --- what is seen of the world ---

    def _network_seen(self, event: NetworkSeen, now: float) -> list[Command]:
        told = self._outside.network_seen(event)
        if not isinstance(told, events.Online):
            return [Announce(told)] if told is not None else []
        commands: list[Command] = [Announce(told)]
        for slot in self.slots:
            if slot.state is SlotState.WAITING:
                slot.forget_failures()
                slot.wake_at = max(now, slot.asked_to_wait_until)
                commands += self._wake(slot, now)
        return commands

    def _url_seen(self, event: NameSeen | ProbeSeen) -> list[Command]:
        told = self._outside.url_seen(event, is_connected=self.connections > 0)
        return [Announce(told)] if told is not None else []

    # --- time ---

    def _tick(self, now: float) -> Sequence[Command]:
        late = now - (self._last_tick or now) - TICK
        self._last_tick = now
        if late > HEARTBEAT_INTERVAL:  # it was us who slept
            self._helpers.slept(late)
            for slot in self.slots:
                slot.last_seen += late
        commands: list[Command] = []
        for slot in self.slots:
            if slot.state in LIVE and not slot.killed and self._is_silent(slot, now):
                slot.killed = True
                commands.append(KillWorker(slot.index, slot.generation))
            elif slot.state is SlotState.REGISTERED and now - slot.registered_at >= HEALTHY_AFTER:
                slot.forget_failures()
            commands += self._wake(slot, now)
        if self.stop_deadline is None:
            commands += [*self._helpers.tick(now), *self._renew_if_due(now)]
            if not self.started and self._start_deadline is not None and now >= self._start_deadline:
                commands.append(Finish(failures.failed_start(self.limits.start_timeout, self._last_failure)))
        return commands

    def _is_silent(self, slot: Slot, now: float) -> bool:
        if self.stop_deadline is not None and now >= self.stop_deadline:
            return True
        comes_up = slot.state is SlotState.STARTING
        return now - slot.last_seen > (READY_TIMEOUT if comes_up else PATIENCE)

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
        return [Finish(None)] if all(slot.state is SlotState.ENDED for slot in self.slots) else []
