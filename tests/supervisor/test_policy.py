"""The supervisor's judgement, with a clock of our own."""

import random
from collections.abc import Sequence

import pytest

from actors import events
from actors.errors import EdgeUnreachable, LocalSetupError, NoConnection, PermanentFailure, RefusedByEdge
from actors.errors import RegistrationFailed as NotRegistered
from actors.messages import EdgeAddress
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.policy import (
    BACKOFF,
    HEALTHY_AFTER,
    MAX_RETRY_AFTER,
    MIN_JITTER,
    READY_TIMEOUT,
    TICK,
    Limits,
    Policy,
    SlotState,
)
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
    WorkerExited,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)

EDGES = [EdgeAddress(host=f"192.0.2.{number}", port=7844, region=f"r{number % 2}") for number in range(1, 5)]


class Playbook:
    """A policy, its clock, and what it said."""

    def __init__(self, connections: int = 2, *, timeout: float = 30.0, attempts: int = 10, seed: int = 1) -> None:
        rng = random.Random(seed)
        self.policy = Policy(Limits(connections, timeout, attempts), EdgeAddresses(EDGES, rng), rng, url="u")
        self.now = 1000.0

    def __call__(self, event: PolicyEvent) -> Sequence[Command]:
        return self.policy.handle(event, self.now)

    def spawned(self, commands: Sequence[Command]) -> list[SpawnWorker]:
        return [command for command in commands if isinstance(command, SpawnWorker)]

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass in ticks, with every live worker beating."""
        said: list[Command] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + TICK, end)
            for slot in self.policy.slots:
                said += self(WorkerBeat(slot.index, slot.generation))
            said += self(Tick())
        return said

    def until_spawn(self, slot: int = 0, patience: float = 60.0) -> tuple[SpawnWorker, float]:
        """Wait for the next worker of a slot; return it and how long it took."""
        began = self.now
        while self.now < began + patience:
            for command in self.spawned(self.wait(0.1)):
                if command.slot == slot:
                    return command, self.now - began
        raise AssertionError("no worker was started")

    def register(self, slot: int = 0) -> Sequence[Command]:
        generation = self.policy.slots[slot].generation
        self(WorkerReady(slot, generation))
        return self(WorkerRegistered(slot, generation, "lab", "id"))

    def end(self, end: WorkerEnd, slot: int = 0, *, message: str = "", retry_after: float = 0.0) -> Sequence[Command]:
        generation = self.policy.slots[slot].generation
        self(WorkerReady(slot, generation))
        self(WorkerStopped(slot, generation, end, message, retry_after))
        return self(WorkerExited(slot, generation, 1))


def facts(commands: Sequence[Command]) -> list[events.Event]:
    return [command.event for command in commands if isinstance(command, Announce)]


def finish(commands: Sequence[Command]) -> Finish:
    (found,) = [command for command in commands if isinstance(command, Finish)]
    return found


def begun(connections: int = 2, **limits: float) -> Playbook:
    play = Playbook(connections, **limits)  # type: ignore[arg-type]
    play(Begin())
    return play


def up(connections: int = 1, **limits: float) -> Playbook:
    play = begun(connections, **limits)
    for slot in range(connections):
        play.register(slot)
    play.wait(HEALTHY_AFTER + 1)
    return play


def test_others_start_once_the_first_is_registered() -> None:
    play = Playbook(3)
    assert [spawn.slot for spawn in play.spawned(play(Begin()))] == [0]
    assert [spawn.slot for spawn in play.spawned(play.register(0))] == [1, 2]
    assert play.policy.connections == 1
    assert play.spawned(play.register(1)) == []


def test_first_reconnect_is_immediate_and_asks_to_replace() -> None:
    play = up()
    (ended,) = facts(play.end(WorkerEnd.CONNECTION_LOST))
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.retry_in, ended.failures, ended.was_registered) == (0.0, 0, True)
    spawn, after = play.until_spawn()
    assert after <= TICK
    assert (spawn.generation, spawn.replace_existing, spawn.previous_attempts) == (2, True, 0)
    play.register()
    assert play.policy.reconnects == 1


def test_waits_follow_the_table_with_jitter() -> None:
    play = up(attempts=0)
    play.end(WorkerEnd.CONNECTION_LOST)
    play.until_spawn()
    for failures in range(1, 12):
        (ended,) = facts(play.end(WorkerEnd.DIAL_FAILED))
        assert isinstance(ended, events.ConnectionEnded)
        full = BACKOFF[min(failures, len(BACKOFF)) - 1]
        assert ended.failures == failures
        assert ended.retry_in is not None
        assert MIN_JITTER * full <= ended.retry_in <= full
        _, after = play.until_spawn()
        assert after <= ended.retry_in + TICK


def test_retry_after_is_a_floor() -> None:
    play = begun(1)
    (ended,) = facts(play.end(WorkerEnd.REGISTRATION_REFUSED, retry_after=17.0))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.retry_in == 17.0


def test_registration_must_last_to_reset_the_count() -> None:
    play = up()
    play.end(WorkerEnd.CONNECTION_LOST)
    for expected in (1, 2, 3):
        play.until_spawn()
        play.register()
        play.wait(HEALTHY_AFTER - 1)
        (ended,) = facts(play.end(WorkerEnd.CONNECTION_LOST))
        assert isinstance(ended, events.ConnectionEnded)
        assert ended.failures == expected
    play.until_spawn()
    play.register()
    play.wait(HEALTHY_AFTER + TICK)
    assert play.policy.slots[0].failures == 0


def test_ten_failures_in_a_row_are_the_end_once() -> None:
    play = up()
    play.end(WorkerEnd.CONNECTION_LOST)
    for _ in range(9):
        play.until_spawn()
        assert not any(isinstance(command, Finish) for command in play.end(WorkerEnd.CRASHED))
    play.until_spawn()
    commands = play.end(WorkerEnd.DIAL_FAILED, message="nobody there")
    error = finish(commands).error
    assert isinstance(error, PermanentFailure)
    assert error.attempts == 10
    assert "nobody there" in str(error)
    (ended,) = facts(commands)
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.retry_in is None
    assert play.wait(100) == []


def test_never_giving_up() -> None:
    play = up(attempts=0)
    for _ in range(50):
        play.end(WorkerEnd.DIAL_FAILED)
        play.until_spawn()


def test_slot_that_fails_while_another_serves_does_not_end_the_tunnel() -> None:
    play = up(2)
    for _ in range(30):
        assert not any(isinstance(command, Finish) for command in play.end(WorkerEnd.DIAL_FAILED, slot=1))
        play.until_spawn(1)
    assert play.policy.connections == 1


def test_slot_that_was_only_just_lost_has_hope_though_another_has_failed_often() -> None:
    play = up(2)
    for _ in range(15):
        play.end(WorkerEnd.DIAL_FAILED, slot=1)
        play.until_spawn(1)
    play.end(WorkerEnd.CONNECTION_LOST, slot=0)
    assert not any(isinstance(command, Finish) for command in play.end(WorkerEnd.DIAL_FAILED, slot=1))
    play.until_spawn(0)


def test_before_the_first_registration_the_timeout_rules() -> None:
    play = begun(1, timeout=1000.0, attempts=2)
    for _ in range(5):
        assert not any(isinstance(command, Finish) for command in play.end(WorkerEnd.DIAL_FAILED))
        play.until_spawn()


def test_edge_that_asks_for_a_very_long_wait_gets_a_shorter_one() -> None:
    play = begun(1)
    (ended,) = facts(play.end(WorkerEnd.REGISTRATION_REFUSED, retry_after=1e9))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.retry_in == MAX_RETRY_AFTER


def test_other_actor_that_hangs_is_killed_once() -> None:
    play = up()
    play(HelperBeat("metrics"))
    said = play.wait(10)
    assert said == [KillHelper("metrics")]
    assert SpawnHelper("metrics") in play(HelperExited("metrics", -9))


def test_duplicate_connection_takes_another_address_and_is_no_failure() -> None:
    play = begun(1)
    first = play.policy.edges.for_slot(0, play.now)
    (ended,) = facts(play.end(WorkerEnd.DUPLICATE_CONNECTION))
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.failures, ended.retry_in) == (0, 0.0)
    spawn, _ = play.until_spawn()
    assert spawn.edge != first
    (again,) = facts(play.end(WorkerEnd.DUPLICATE_CONNECTION))
    assert isinstance(again, events.ConnectionEnded)
    assert again.retry_in
    assert again.failures == 0


def test_dial_failure_moves_to_another_address_and_a_lost_connection_does_not() -> None:
    play = up()
    own = play.policy.edges.for_slot(0, play.now)
    play.end(WorkerEnd.CONNECTION_LOST)
    spawn, _ = play.until_spawn()
    assert spawn.edge == own
    play.end(WorkerEnd.DIAL_FAILED)
    spawn, _ = play.until_spawn()
    assert spawn.edge != own


def test_refused_slot_is_reported_and_the_tunnel_goes_on() -> None:
    play = begun(2)
    play.register(0)
    (refused,) = facts(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=1, message="too many"))
    assert isinstance(refused, events.ConnectionRefused)
    assert (refused.cause, refused.connections) == ("too many", 1)
    assert play.policy.slots[1].state is SlotState.REFUSED
    assert play.spawned(play.wait(60)) == []


def test_all_refused_is_the_end_with_the_edge_s_words() -> None:
    play = begun(3)
    assert [spawn.slot for spawn in play.spawned(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=0))] == [1]
    assert [spawn.slot for spawn in play.spawned(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=1))] == [2]
    error = finish(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=2, message="Unauthorized")).error
    assert isinstance(error, RefusedByEdge)
    assert "Unauthorized" in str(error)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (WorkerEnd.DIAL_FAILED, EdgeUnreachable),
        (WorkerEnd.REGISTRATION_REFUSED, NotRegistered),
        (WorkerEnd.CRASHED, NoConnection),
    ],
)
def test_start_without_a_registration_fails_with_its_cause(end: WorkerEnd, kind: type[NoConnection]) -> None:
    play = begun(1, timeout=12.0)
    play.end(end, message="the cause")
    said: list[Command] = []
    while play.now < 1011.5:
        said += play.wait(0.5)
        if play.spawned(said[-3:]):
            play.end(end, message="the cause")
    error = finish(said + play.wait(1)).error
    assert type(error) is kind
    assert "the cause" in str(error)
    assert "12 s" in str(error)


def test_start_in_which_nothing_was_heard() -> None:
    play = begun(1, timeout=5.0)
    assert type(finish(play.wait(6)).error) is NoConnection


def test_silent_worker_is_killed_once_and_counted() -> None:
    play = up()
    play.now += 0.5
    play(Tick())
    said: list[Command] = []
    for _ in range(12):
        play.now += TICK
        said += play(Tick())
    assert said == [KillWorker(0, 1)]
    (ended,) = facts(play(WorkerExited(0, 1, -9)))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.reason == WorkerEnd.HEARTBEAT_MISSED


def test_sleep_of_our_own_kills_nobody() -> None:
    play = up()
    play.now += 3600
    assert play(Tick()) == []
    play.now += TICK
    assert play(Tick()) == []


@pytest.mark.parametrize(("status", "word"), [(1, "exit status 1"), (-9, "killed by signal 9")])
def test_worker_that_never_was_ready(status: int, word: str) -> None:
    play = begun(1)
    (ended,) = facts(play(WorkerExited(0, 1, status)))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.reason == WorkerEnd.NEVER_READY
    assert word in ended.message


def test_worker_that_hangs_before_it_is_ready_is_killed() -> None:
    play = begun(1, timeout=100.0)
    said: list[Command] = []
    while play.now < 1000 + READY_TIMEOUT + 2 * TICK:
        play.now += TICK
        said += play(Tick())
    assert said == [KillWorker(0, 1)]


def test_word_of_an_earlier_generation_changes_nothing() -> None:
    play = up()
    play.end(WorkerEnd.CONNECTION_LOST)
    play.until_spawn()
    assert play(WorkerRegistered(0, 1, "x", "y")) == []
    assert play(WorkerExited(0, 1, 1)) == []
    assert play.policy.slots[0].state is SlotState.STARTING


def test_stop_drains_what_is_up_kills_what_starts_and_ends_when_all_have() -> None:
    play = begun(3)
    play.register(0)
    play(WorkerReady(1, 1))
    commands = play(StopAsked(7.0))
    assert commands == [DrainWorker(0, 1, 7.0), DrainWorker(1, 1, 7.0), KillWorker(2, 1)]
    assert play(WorkerExited(2, 1, -9)) == []
    play(WorkerStopped(0, 1, WorkerEnd.DRAINED, "", 0.0))
    assert play(WorkerExited(0, 1, 0)) == []
    assert play(WorkerExited(1, 1, 0)) == [Finish(None)]


def test_stop_while_all_wait_is_immediate() -> None:
    play = begun(1)
    play.end(WorkerEnd.DIAL_FAILED)
    assert play(StopAsked(30.0)) == [Finish(None)]


def test_worker_that_does_not_drain_is_killed_after_the_grace_period() -> None:
    play = up()
    play(StopAsked(3.0))
    said = play.wait(10)
    assert said == [KillWorker(0, 1)]
    assert play(StopAsked(3.0)) == []


def test_metrics_actor_comes_back_at_once_and_then_more_slowly() -> None:
    play = up()
    assert SpawnHelper("metrics") in play(HelperExited("metrics", 1))
    assert SpawnHelper("metrics") not in play(HelperExited("metrics", 1))
    assert SpawnHelper("metrics") in play.wait(2)


def test_end_of_the_local_edge_is_the_end() -> None:
    play = up()
    error = finish(play(HelperExited("local_edge", 3))).error
    assert isinstance(error, LocalSetupError)
    assert "local edge" in str(error)


def test_helpers_that_end_during_a_stop_are_expected() -> None:
    play = up()
    play(StopAsked(3.0))
    assert play(HelperExited("metrics", 0)) == []


EVENTS: list[PolicyEvent] = [
    Tick(),
    StopAsked(1.0),
    HelperExited("metrics", 1),
    *(WorkerReady(0, generation) for generation in (0, 1)),
    WorkerRegistered(0, 1, "lab", "id"),
    WorkerBeat(0, 1),
    *(WorkerStopped(0, 1, end, "", 0.0) for end in WorkerEnd),
    WorkerExited(0, 1, 0),
    WorkerExited(0, 1, -9),
]


@pytest.mark.parametrize("state", SlotState)
@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_every_event_in_every_state_is_dealt_with(state: SlotState, event: PolicyEvent) -> None:
    play = begun(1)
    play.policy.slots[0].state = state
    play(event)
    check(play.policy)


@pytest.mark.parametrize("seed", range(300))
def test_random_walk(seed: int) -> None:
    """Whatever happens in whatever order: one process a slot, one end, and nothing after it."""
    rng = random.Random(seed)
    play = Playbook(rng.randint(1, 4), attempts=rng.choice((0, 3, 10)), seed=seed)
    play(Begin())
    alive = {(spawn.slot, spawn.generation) for spawn in [SpawnWorker(0, 1, EDGES[0], 0, False)]}
    ended = False
    for _ in range(200):
        slot = rng.randrange(len(play.policy.slots))
        generation = max(0, play.policy.slots[slot].generation - rng.choice((0, 0, 0, 1)))
        choices: list[PolicyEvent] = [Tick(), HelperExited("metrics", 1)]
        if (slot, generation) in alive:
            choices += [
                WorkerReady(slot, generation),
                WorkerRegistered(slot, generation, "l", "i"),
                WorkerBeat(slot, generation),
                WorkerStopped(slot, generation, rng.choice(list(WorkerEnd)), "m", rng.choice((0.0, 9.0))),
                WorkerExited(slot, generation, rng.choice((0, 1, -9))),
            ]
        if rng.random() < 0.01:
            choices = [StopAsked(1.0)]
        event = rng.choice(choices)
        if isinstance(event, WorkerExited):
            alive.discard((event.slot, event.generation))
        commands = play(event)
        assert not (ended and commands)
        for command in commands:
            if isinstance(command, SpawnWorker):
                assert not any(slot == command.slot for slot, _ in alive), "two processes in one slot"
                alive.add((command.slot, command.generation))
            ended = ended or isinstance(command, Finish)
        check(play.policy)
        play.now += rng.choice((0.1, 0.5, 3.0))


def check(policy: Policy) -> None:
    for slot in policy.slots:
        assert slot.failures >= 0
        assert slot.generation >= 0
    assert 0 <= policy.connections <= len(policy.slots)
