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

from actors.bus import events
from actors.bus.messages import HEARTBEAT_INTERVAL, Protocol
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import failures, succession, telling
from actors.supervisor.dice import Dice
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.engines import EngineChoice
from actors.supervisor.outside import Outside
from actors.supervisor.protocols import Protocols
from actors.supervisor.readiness import State, Visibility, serves
from actors.supervisor.renewal import Renewal
from actors.supervisor.restart import SPARE, Helpers
from actors.supervisor.slots import HEALTHY_AFTER, LIVE, Slot, SlotState, Worker
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
    Limits,
    NameSeen,
    NetworkSeen,
    Over,
    PolicyEvent,
    ProbeSeen,
    Renew,
    RenewFailed,
    RulesInForce,
    SpawnWorker,
    StopAsked,
    Tick,
    WorkerBeat,
    WorkerEvent,
    WorkerExited,
    WorkerLeaving,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)

TICK: Final = 0.5
"""Seconds between two ticks. One that comes much later means that this process was stopped, not its workers."""

KILL_MARGIN: Final = 2.0
"""Seconds beyond the grace period after which a worker that should have ended is killed."""


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
    rules: int = 1
    """In force; none: every request gets 503."""
    stop_deadline: float | None = None
    finished: bool = False
    _edges: EdgeAddresses = msgspec.field(default_factory=lambda: EdgeAddresses([]))
    _protocols: Protocols = msgspec.field(default_factory=Protocols)
    _engines: EngineChoice = msgspec.field(default_factory=EngineChoice)
    _outside: Outside = msgspec.field(default_factory=Outside)
    _helpers: Helpers = msgspec.field(default_factory=Helpers)
    _renewal: Renewal = msgspec.field(default_factory=Renewal)
    _start_deadline: float | None = None
    _last_tick: float | None = None
    _last_failure: WorkerStopped | None = None
    _said: tuple[State, bool, int, int] = (State.STARTING, False, 0, 1)
    """What the last `state` told: that, whether it serves, connections and rules."""

    def __post_init__(self) -> None:
        if not self.slots:  # else it was read from a log
            self.slots = [Slot(index=index) for index in range(self.limits.connections)]
            self._engines.engine = self.limits.engine
            self._protocols.wish, self._protocols.has_proxy = self.limits.protocol, self.limits.has_proxy

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
        return self.rules > 0 and serves(self.state, self.visibility)

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
        silent = any(self._is_silent(worker, now) for slot in self.slots for worker in slot.workers)
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
        if (now_true := (self.state, self.serves, self.connections, self.rules)) == self._said:
            return commands
        self._said = now_true
        told = events.StateChanged(
            state=self.state,
            serves=self.serves,
            url=self.url,
            connections=self.connections,
            slots=len(self.slots),
            rules=self.rules,
        )
        return [Announce(told), *commands]  # the state comes first: whoever hears the rest finds it said

    def _judge_event(self, event: PolicyEvent, now: float) -> Sequence[Command]:
        match event:
            case Begin():
                return self._begin(event, now)
            case RulesInForce(rules):
                self.rules = rules
                return []
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
                return [] if may_pass and self.started else [Finish(event.error)]
            case WorkerReady() | WorkerRegistered() | WorkerLeaving() | WorkerBeat() | WorkerStopped() | WorkerExited():
                slot = self.slots[event.slot]
                worker = slot.worker(event.generation)
                return self._heard(slot, worker, event, now) if worker is not None else []

    def _begin(self, event: Begin, now: float) -> Sequence[Command]:
        commands: list[Command] = []
        if self._renewal.active:
            commands.append(telling.url_changed(event, self.url, self._last_failure))
        if not self.started and self.stop_deadline is None:
            self._start_deadline = now + self.limits.start_timeout
        self._renewal.begun(now, kept=event.kept)
        self.url, self.tunnel_id, self.reconnects = event.url, event.tunnel_id, 0
        self._edges = EdgeAddresses.of(event.edges, self.dice)
        self._protocols.by_name = event.edges[0].is_name
        if self.limits.one_per_address and not self._protocols.by_name:  # a name has addresses that only a proxy knows
            del self.slots[len(event.edges) :]
        self._outside.begun(event.visibility)
        return [*commands, *self._start(self.slots[0], now)]

    # --- what workers say ---

    def _heard(self, slot: Slot, worker: Worker, event: WorkerEvent, now: float) -> Sequence[Command]:
        worker.last_seen = now
        match event:
            case WorkerReady() if worker.state is SlotState.STARTING:
                worker.state = SlotState.DIALING
            case WorkerRegistered() if worker.state is SlotState.DIALING:
                return self._registered(slot, worker, event, now)
            case WorkerLeaving() if worker is slot and slot.state is SlotState.REGISTERED:
                slot.leaving = True
                return self._succeed(slot, self._protocols.choose(slot, now), now)
            case WorkerStopped():
                worker.last_word = event
            case WorkerExited(status=status):
                word = worker.last_word or WorkerStopped(slot.index, worker.generation, *worker.unsaid(status), 0.0)
                word = msgspec.structs.replace(word, retry_after=min(word.retry_after, failures.MAX_RETRY_AFTER))
                return self._exited(slot, word, now) if worker is slot else self._exited_beside(slot, worker, word, now)
        return []

    def _registered(self, slot: Slot, worker: Worker, event: WorkerRegistered, now: float) -> Sequence[Command]:
        commands: list[Command] = []
        if worker is not slot:
            commands.append(succession.take_over(slot, worker, now))
        elif slot.held_before:
            self.reconnects += 1
        slot.state, slot.protocol, slot.registered_at = SlotState.REGISTERED, event.protocol, now
        slot.duplicates = 0
        slot.held_before = self.started = True
        self._protocols.registered(slot, self.slots, now)
        if (changed := self._protocols.news(slot)) is not None:
            commands.append(Announce(changed))
        commands.append(telling.registered(slot, event, self.url, self.tunnel_id, self.connections))
        commands += [each for other in self.slots if other.state is SlotState.IDLE for each in self._start(other, now)]
        return [*commands, *(self._helpers.order_spare(now) if self.limits.spare else [])]

    def _start(self, slot: Slot, now: float) -> list[Command]:
        """A slot's first try: now, or as soon as there is a route."""
        slot.state, slot.wake_at = SlotState.WAITING, now
        return self._wake(slot, now)

    def _spawn(self, slot: Slot, worker: Worker, protocol: Protocol, now: float) -> list[Command]:
        """Start `worker`, which is the slot's own or one beside it."""
        from_spare, warm = self._helpers.take_spare()
        slot.next_generation(worker, protocol, now, warm=warm)
        edge = self._edges.for_slot(slot.index, now)
        spawn = SpawnWorker(
            *(slot.index, worker.generation, edge, slot.failures),
            *(slot.held_before or self._renewal.is_kept, from_spare, protocol),
        )
        return [telling.connecting(slot, worker, edge), spawn]

    def _succeed(self, slot: Slot, protocol: Protocol, now: float) -> list[Command]:
        """Make another connection in place of one that still serves; that one ends when the other is registered."""
        possible = self.stop_deadline is None and self.has_route and succession.may_begin(slot)
        return self._spawn(slot, Worker(), protocol, now) if possible else []

    # --- a worker has ended ---

    def _exited(self, slot: Slot, word: WorkerStopped, now: float) -> Sequence[Command]:
        before = slot.state
        if self.stop_deadline is not None:
            slot.state = SlotState.ENDED
            return self._end_if_all_ended()
        if (successor := slot.successor) is not None:
            succession.fill_in(slot, successor)
            return [telling.ended(slot, before, word, 0.0, self.connections)]
        self._last_failure = word
        if word.end is WorkerEnd.REFUSED_FOR_GOOD:
            return self._refused(slot, word, now)
        is_online = self._outside.is_online
        delay = failures.judge(
            slot, before, word, self._edges, self._protocols, now, is_online=is_online, dice=self.dice
        )
        delay = max(delay, word.retry_after)
        slot.asked_to_wait_until = now + word.retry_after
        slot.state = SlotState.WAITING
        slot.wake_at = now + delay
        # Until the first registration, only the timeout of the start ends it.
        gone = self.started and failures.is_beyond_mending(slot, self.slots, self.limits.max_attempts)
        ended = telling.ended(slot, before, word, None if gone or not self.has_route else delay, self.connections)
        return [ended, Finish(failures.giving_up(slot, word))] if gone else [ended, *self._wake(slot, now)]

    def _exited_beside(self, slot: Slot, worker: Worker, word: WorkerStopped, now: float) -> list[Command]:
        """A predecessor has ended, as it was told to; or a successor, in vain, and nothing is lost by it."""
        slot.beside.remove(worker)
        if self.stop_deadline is not None:
            return self._end_if_all_ended()
        if worker.state is SlotState.DRAINING:
            return []
        if word.end is WorkerEnd.DUPLICATE_CONNECTION and not slot.leaving:
            return [succession.make_room(slot, worker.protocol, now)]
        self._edges.move_on(slot.index, now, unreachable=False)
        pause = succession.failed(slot, worker, word, self._protocols, self.dice, now)
        return [telling.ended(slot, worker.state, word, pause, self.connections)]

    def _wake(self, slot: Slot, now: float) -> list[Command]:
        due = slot.state is SlotState.WAITING and now >= slot.wake_at and self.has_route
        return self._spawn(slot, slot, self._protocols.choose(slot, now), now) if due else []

    def _refused(self, slot: Slot, word: WorkerStopped, now: float) -> list[Command]:
        slot.state = SlotState.REFUSED
        refused = telling.refused(slot, word, self.connections)
        if self._renewal.is_kept and not self.started:
            return [refused, *self._drop(now)]
        # An edge that refuses what it had taken has dropped the tunnel: it would refuse the others too.
        dropped = any(other.held_before for other in self.slots)
        if not self.connections and (slot.held_before or all(s.state is SlotState.REFUSED for s in self.slots)):
            if dropped and self.limits.renew:
                return [refused, *self._drop(now)]
            return [refused, Finish(failures.refused(word, dropped=dropped, is_own=self.limits.is_own))]
        # The others wait for a first registration: it is the next one's turn to try for it.
        waiting = [other for other in self.slots if other.state is SlotState.IDLE]
        return [refused, *(self._start(waiting[0], now) if waiting and not self.connections else [])]

    def _drop(self, now: float) -> list[Command]:
        """Have done with this tunnel; another one is asked for."""
        live = [KillWorker(slot.index, worker.generation) for slot in self.slots for worker in slot.workers]
        self.slots = [slot.for_another_tunnel() for slot in self.slots]
        self._renewal.dropped(now)
        self._start_deadline = None
        return [*live, *self._renew_if_due(now)]

    def _renew_if_due(self, now: float) -> list[Command]:
        return [Renew()] if self.has_route and self._renewal.take_if_due(now) else []

    # --- what is seen of the world ---

    def _network_seen(self, event: NetworkSeen, now: float) -> list[Command]:
        told = self._outside.network_seen(event)
        if not isinstance(told, events.Online):
            return [Announce(told)] if told is not None else []
        commands: list[Command] = [Announce(told)]
        self._protocols.network_changed(self.slots, now)
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
                for worker in slot.workers:
                    worker.last_seen += late
        commands: list[Command] = []
        for slot in self.slots:
            for worker in slot.workers:
                if not worker.killed and self._is_silent(worker, now):
                    worker.killed = True
                    commands.append(KillWorker(slot.index, worker.generation))
            if slot.state is SlotState.REGISTERED and now - slot.registered_at >= HEALTHY_AFTER and not slot.leaving:
                slot.forget_failures()
            if slot.leaving and now >= slot.wake_at:
                commands += self._succeed(slot, self._protocols.choose(slot, now), now)
            commands += self._wake(slot, now)
        if self.stop_deadline is None and (slot_to_return := self._protocols.returning(self.slots, now)) is not None:
            commands += self._succeed(slot_to_return, "quic", now)
        if self.stop_deadline is None:
            commands += [*self._helpers.tick(now), *self._renew_if_due(now)]
            if not self.started and self._start_deadline is not None and now >= self._start_deadline:
                commands += self._failed_start(now)
        return commands

    def _failed_start(self, now: float) -> list[Command]:
        word = self._last_failure
        if self._renewal.is_kept and word is not None and word.end in failures.REFUSED:
            return self._drop(now)  # else every start would end like this one, for as long as the tunnel is kept
        return [Finish(failures.failed_start(self.limits.start_timeout, word))]

    def _is_silent(self, worker: Worker, now: float) -> bool:
        return worker.is_silent(now) or (self.stop_deadline is not None and now >= self.stop_deadline)

    # --- the end ---

    def _stop(self, grace: float, now: float) -> Sequence[Command]:
        if self.stop_deadline is not None:
            return []
        self.stop_deadline = now + grace + KILL_MARGIN
        commands: list[Command] = []
        for slot in self.slots:
            for worker in slot.workers:
                if worker.state in (SlotState.REGISTERED, SlotState.DIALING):
                    worker.state = SlotState.DRAINING
                    commands.append(DrainWorker(slot.index, worker.generation, grace))
                elif worker.state is SlotState.STARTING:
                    worker.killed = True
                    commands.append(KillWorker(slot.index, worker.generation))
            if slot.state not in LIVE:
                slot.state = SlotState.ENDED
        return [*commands, *self._end_if_all_ended()]

    def _end_if_all_ended(self) -> list[Command]:
        over = all(slot.state is SlotState.ENDED and not slot.beside for slot in self.slots)
        return [Finish(None)] if over else []
