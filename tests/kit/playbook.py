"""The policy with a clock of our own, and children that exist on paper."""

from collections.abc import Sequence
from typing import Any

from actors.bus import events
from actors.bus.messages import EdgeAddress
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.dice import Dice
from actors.supervisor.history import History
from actors.supervisor.policy import TICK, Policy
from actors.supervisor.readiness import Visibility
from actors.supervisor.restart import SPARE
from actors.supervisor.slots import HEALTHY_AFTER, SlotState, Worker
from actors.supervisor.vocabulary import (
    Announce,
    Begin,
    Command,
    Finish,
    HelperBeat,
    HelperReady,
    Limits,
    PolicyEvent,
    SpawnWorker,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)

URL, OTHER_URL = "https://a.example", "https://b.example"

EDGES = [EdgeAddress(host=f"192.0.2.{number}", port=7844, region=f"r{number % 2}") for number in range(1, 5)]


class Playbook:
    """A policy, its clock, and what it said."""

    def __init__(
        self,
        connections: int = 2,
        *,
        seed: int = 1,
        visibility: Visibility = Visibility.NOT_ASKED,
        **limits: Any,
    ) -> None:
        self.policy = Policy(Limits(connections, **{"protocol": "quic", **limits}), Dice(seed))
        self.history = History(self.policy)
        self.visibility = visibility
        self.now = 1000.0
        self(HelperReady("metrics"))

    def __call__(self, event: PolicyEvent) -> Sequence[Command]:
        return self.history.handle(event, self.now)

    def begin(self, url: str = URL, *, kept: bool = False) -> Sequence[Command]:
        return self(Begin(url, f"id of {url}", tuple(EDGES), self.visibility, kept))

    def edge(self, slot: int = 0) -> EdgeAddress:
        """The address that a slot has."""
        return self.policy._edges.for_slot(slot, self.now)

    def spawned(self, commands: Sequence[Command]) -> list[SpawnWorker]:
        return [command for command in commands if isinstance(command, SpawnWorker)]

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass in ticks, with every live worker beating."""
        said: list[Command] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + TICK, end)
            for slot in self.policy.slots:
                for worker in slot.workers:
                    said += self(WorkerBeat(slot.index, worker.generation))
            said += [*self(HelperBeat("metrics")), *self(HelperBeat(SPARE))]
            said += self(Tick())
        return said

    def until_spawn(self, slot: int = 0, patience: float = 60.0) -> float:
        """Wait for the next worker of a slot, or find that it has one; return how long it took."""
        began = self.now
        while self.policy.slots[slot].state is not SlotState.STARTING:
            assert self.now < began + patience, "no worker was started"
            self.wait(0.1)
        return self.now - began

    def worker(self, slot: int, generation: int | None = None) -> Worker:
        """That generation of a slot, or its own, present one."""
        found = self.policy.slots[slot] if generation is None else self.policy.slots[slot].worker(generation)
        assert found is not None
        return found

    def register(self, slot: int = 0, generation: int | None = None) -> Sequence[Command]:
        """A worker is registered: the slot's own, or the one of that generation."""
        worker = self.worker(slot, generation)
        generation, protocol = worker.generation, worker.protocol
        self(WorkerReady(slot, generation))
        return self(WorkerRegistered(slot, generation, "lab", "id", "X25519", protocol))

    def end(
        self,
        end: WorkerEnd,
        slot: int = 0,
        *,
        generation: int | None = None,
        message: str = "",
        retry_after: float = 0.0,
    ) -> Sequence[Command]:
        generation = self.worker(slot, generation).generation
        self(WorkerReady(slot, generation))
        self(WorkerStopped(slot, generation, end, message, retry_after))
        return self(WorkerExited(slot, generation, 1))


def facts(commands: Sequence[Command]) -> list[events.Event]:
    """What is announced, but for the states and the next try."""
    every = [command.event for command in commands if isinstance(command, Announce)]
    return [event for event in every if not isinstance(event, events.StateChanged | events.Connecting)]


def states(commands: Sequence[Command]) -> list[tuple[str, bool]]:
    every = [command.event for command in commands if isinstance(command, Announce)]
    return [(event.state, event.serves) for event in every if isinstance(event, events.StateChanged)]


def acts(commands: Sequence[Command]) -> list[Command]:
    """What is done, not said."""
    return [command for command in commands if not isinstance(command, Announce)]


def finish(commands: Sequence[Command]) -> Finish:
    (found,) = [command for command in commands if isinstance(command, Finish)]
    return found


def begun(connections: int = 2, *, visibility: Visibility = Visibility.NOT_ASKED, **limits: Any) -> Playbook:
    play = Playbook(connections, visibility=visibility, **limits)
    play.begin()
    return play


def up(connections: int = 1, **limits: Any) -> Playbook:
    play = begun(connections, **limits)
    for slot in range(connections):
        play.register(slot)
    play.wait(HEALTHY_AFTER + 1)
    return play
