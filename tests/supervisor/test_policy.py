"""The supervisor's judgement, with a clock of our own."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from actors.bus import events
from actors.bus.messages import OTHER_VERSION_STATUS, EdgeAddress
from actors.errors import (
    ApiRefused,
    ApiServerError,
    ApiUnreachable,
    DiscoveryError,
    EdgeUnreachable,
    LocalSetupError,
    NoConnection,
    PermanentFailure,
    RefusedByEdge,
    TunnelError,
)
from actors.errors import RegistrationFailed as NotRegistered
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import renewal
from actors.supervisor.engines import WINDOW
from actors.supervisor.failures import FREE_DUPLICATES, MAX_RETRY_AFTER
from actors.supervisor.outside import PROBE_FAILURES
from actors.supervisor.policy import TICK, Policy
from actors.supervisor.readiness import State, Visibility
from actors.supervisor.restart import (
    BACKOFF,
    HELPER_HEALTHY_AFTER,
    HELPERS,
    MIN_JITTER,
    PATIENCE,
    READY_TIMEOUT,
    SPARE,
)
from actors.supervisor.slots import HEALTHY_AFTER, LIVE, SlotState
from actors.supervisor.succession import MAX_BESIDE
from actors.supervisor.vocabulary import (
    Announce,
    Begin,
    Command,
    DrainWorker,
    Finish,
    HelperBeat,
    HelperExited,
    HelperReady,
    KillHelper,
    KillWorker,
    NameSeen,
    NetworkSeen,
    Over,
    PolicyEvent,
    ProbeSeen,
    Renew,
    RenewFailed,
    RulesInForce,
    SpawnHelper,
    SpawnWorker,
    StopAsked,
    Tick,
    UseEngine,
    WorkerBeat,
    WorkerExited,
    WorkerLeaving,
    WorkerReady,
    WorkerRegistered,
    WorkerStopped,
)
from tests.kit.playbook import EDGES, OTHER_URL, URL, Playbook, acts, begun, facts, finish, states, up


def test_others_start_once_the_first_is_registered() -> None:
    play = Playbook(3)
    assert [spawn.slot for spawn in play.spawned(play.begin())] == [0]
    assert [spawn.slot for spawn in play.spawned(play.register(0))] == [1, 2]
    assert play.policy.connections == 1
    assert play.spawned(play.register(1)) == []


def test_first_reconnect_is_immediate_and_asks_to_replace() -> None:
    play = up()
    commands = play.end(WorkerEnd.CONNECTION_LOST)
    (ended,) = facts(commands)
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.retry_in, ended.failures, ended.was_registered) == (0.0, 0, True)
    (spawn,) = play.spawned(commands)
    assert (spawn.generation, spawn.replace_existing, spawn.previous_attempts) == (2, True, 0)
    play.register()
    assert play.policy.reconnects == 1


def test_waits_follow_the_table_with_jitter() -> None:
    play = up(max_attempts=0)
    play.end(WorkerEnd.CONNECTION_LOST)
    play.until_spawn()
    for failures in range(1, 12):
        (ended,) = facts(play.end(WorkerEnd.DIAL_FAILED))
        assert isinstance(ended, events.ConnectionEnded)
        full = BACKOFF[min(failures, len(BACKOFF)) - 1]
        assert ended.failures == failures
        assert ended.retry_in is not None
        assert MIN_JITTER * full <= ended.retry_in <= full
        assert play.until_spawn() <= ended.retry_in + TICK


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
    play = up(max_attempts=0)
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
    play = begun(1, start_timeout=1000.0, max_attempts=2)
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
    said: list[Command] = []
    for _ in range(20):
        play.now += TICK
        said += [*play(WorkerBeat(0, 1)), *play(Tick())]
    assert said == [KillHelper("metrics")]
    assert SpawnHelper("metrics") in play(HelperExited("metrics", -9))


def test_duplicate_connection_takes_another_address_and_is_no_failure() -> None:
    play = begun(1)
    first = play.edge()
    commands = play.end(WorkerEnd.DUPLICATE_CONNECTION)
    (ended,) = facts(commands)
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.failures, ended.retry_in) == (0, 0.0)
    (spawn,) = play.spawned(commands)
    assert spawn.edge != first
    (again,) = facts(play.end(WorkerEnd.DUPLICATE_CONNECTION))
    assert isinstance(again, events.ConnectionEnded)
    assert again.retry_in
    assert again.failures == 0


def test_duplicates_without_an_end_count_at_last() -> None:
    play = up(max_attempts=3)
    play.end(WorkerEnd.CONNECTION_LOST)
    said: list[Command] = []
    for _ in range(FREE_DUPLICATES + 3):
        assert not any(isinstance(command, Finish) for command in said)
        said += play.end(WorkerEnd.DUPLICATE_CONNECTION)
        if not play.policy.finished:
            play.until_spawn()
    assert isinstance(finish(said).error, PermanentFailure)


def test_dial_failure_moves_to_another_address_and_a_lost_connection_does_not() -> None:
    play = up()
    own = play.edge()
    play.end(WorkerEnd.CONNECTION_LOST)
    assert play.edge() == own
    play.end(WorkerEnd.DIAL_FAILED)
    assert play.edge() != own


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
    play = begun(1, start_timeout=12.0)
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
    play = begun(1, start_timeout=5.0)
    assert type(finish(play.wait(6)).error) is NoConnection


def test_silent_worker_is_killed_once_and_counted() -> None:
    play = up()
    play.now += 0.5
    play(Tick())
    said: list[Command] = []
    for _ in range(12):
        play.now += TICK
        said += [*play(HelperBeat("metrics")), *play(Tick())]
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


def test_sleep_before_the_first_tick_kills_nobody() -> None:
    play = begun(1)
    play.register()
    play.now += 3600
    assert acts(play(Tick())) == []


@pytest.mark.parametrize(("status", "word"), [(1, "exit status 1"), (-9, "killed by signal 9")])
def test_worker_that_never_was_ready(status: int, word: str) -> None:
    play = begun(1)
    (ended,) = facts(play(WorkerExited(0, 1, status)))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.reason == WorkerEnd.NEVER_READY
    assert word in ended.message


def test_worker_that_hangs_before_it_is_ready_is_killed() -> None:
    play = begun(1, start_timeout=100.0)
    said: list[Command] = []
    while play.now < 1000 + READY_TIMEOUT + 2 * TICK:
        play.now += TICK
        said += [*play(HelperBeat("metrics")), *play(Tick())]
    assert said == [KillWorker(0, 1)]


def test_word_of_an_earlier_generation_changes_nothing() -> None:
    play = up()
    play.end(WorkerEnd.CONNECTION_LOST)
    play.until_spawn()
    assert play(WorkerRegistered(0, 1, "x", "y", "X25519")) == []
    assert play(WorkerExited(0, 1, 1)) == []
    assert play.policy.slots[0].state is SlotState.STARTING


def test_stop_drains_what_is_up_kills_what_starts_and_ends_when_all_have() -> None:
    play = begun(3)
    play.register(0)
    play(WorkerReady(1, 1))
    commands = play(StopAsked(7.0))
    assert acts(commands) == [DrainWorker(0, 1, 7.0), DrainWorker(1, 1, 7.0), KillWorker(2, 1)]
    assert play(WorkerExited(2, 1, -9)) == []
    play(WorkerStopped(0, 1, WorkerEnd.DRAINED, "", 0.0))
    assert play(WorkerExited(0, 1, 0)) == []
    assert play(WorkerExited(1, 1, 0)) == [Finish(None)]


def test_stop_while_all_wait_is_immediate() -> None:
    play = begun(1)
    play.end(WorkerEnd.DIAL_FAILED)
    assert acts(play(StopAsked(30.0))) == [Finish(None)]


def test_worker_that_does_not_drain_is_killed_after_the_grace_period() -> None:
    play = up()
    play(StopAsked(3.0))
    assert acts(play.wait(10)) == [KillWorker(0, 1)]
    assert play(StopAsked(3.0)) == []


def test_metrics_actor_comes_back_at_once_and_then_more_slowly() -> None:
    play = up()
    assert SpawnHelper("metrics") in play(HelperExited("metrics", 1))
    assert SpawnHelper("metrics") not in play(HelperExited("metrics", 1))
    assert SpawnHelper("metrics") in play.wait(2)


def test_end_of_the_local_edge_is_the_end() -> None:
    play = up()
    play(HelperReady("local_edge"))
    error = finish(play(HelperExited("local_edge", 3))).error
    assert isinstance(error, LocalSetupError)
    assert "local edge" in str(error)


def test_helpers_that_end_during_a_stop_are_expected() -> None:
    play = up()
    play(StopAsked(3.0))
    assert play(HelperExited("metrics", 0)) == []


@pytest.mark.parametrize("name", [name for name, spec in HELPERS.items() if spec.needed])
def test_actor_that_never_was_up_ends_the_start(name: str) -> None:
    play = Playbook()
    play.policy._helpers._were_up.clear()
    error = finish(play(HelperExited(name, 10))).error
    assert isinstance(error, LocalSetupError)
    assert "during the start" in str(error)


# --- the spare ---


def test_spare_takes_over_and_another_one_is_ordered_once_that_serves() -> None:
    play = begun(1, spare=True)
    play.register()
    play(HelperReady(SPARE))
    play.wait(HEALTHY_AFTER + 1)
    (spawn,) = play.spawned(play.end(WorkerEnd.CONNECTION_LOST))
    assert spawn.from_spare
    assert acts(play.register()) == [SpawnHelper(SPARE)]
    assert acts(play(WorkerBeat(0, spawn.generation))) == []


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("is_up", [False, True])
def test_first_worker_is_the_one_that_came_up_during_the_start_or_is_about_to(spare: bool, is_up: bool) -> None:
    play = Playbook(2, spare=spare)
    if is_up:
        play(HelperReady(SPARE))
    (first,) = play.spawned(play.begin())
    assert first.from_spare
    assert play.policy.slots[0].warm is is_up, "one that is not up yet gets the time that imports take"
    (second,) = play.spawned(play.register())
    assert not second.from_spare


def test_without_spare_none_is_ever_ordered() -> None:
    play = up(2)
    play.end(WorkerEnd.CONNECTION_LOST)
    assert not any(isinstance(command, SpawnHelper) for command in play.register())


@pytest.mark.parametrize("warm", [True, False], ids=["spare", "cold"])
def test_worker_that_comes_up_gets_the_time_of_a_cold_start_before_its_heartbeat_counts(warm: bool) -> None:
    """Also one that was the spare: on a loaded machine its new sockets and its first word take seconds."""
    play = begun(1, spare=warm)
    if warm:
        play(HelperReady(SPARE))
    play.register()
    play.wait(HEALTHY_AFTER + 1)
    play.end(WorkerEnd.CONNECTION_LOST)
    began = play.now
    said: list[Command] = []

    def until(seconds: float) -> None:
        while play.now < began + seconds:
            play.now += TICK
            said.extend([*play(HelperBeat("metrics")), *play(Tick())])

    until(READY_TIMEOUT - TICK)
    assert KillWorker(0, 2) not in said
    until(READY_TIMEOUT + 2 * TICK)
    assert KillWorker(0, 2) in said


def test_worker_that_is_up_has_no_more_time_than_any_child() -> None:
    play = begun(1, spare=True)
    play(HelperReady(SPARE))
    play.register()
    play.wait(HEALTHY_AFTER + 1)
    play.end(WorkerEnd.CONNECTION_LOST)
    play(WorkerReady(0, 2))
    began = play.now
    while play.now < began + PATIENCE + TICK:
        play.now += TICK
        play(Tick())
    assert play.policy.slots[0].killed


def test_child_of_another_version_counts_and_the_end_says_what_to_do() -> None:
    """The connections that are up go on; only with none left, and after all tries, is it the end."""
    play = up(2, max_attempts=3)
    play.end(WorkerEnd.CONNECTION_LOST)
    for _ in range(5):
        play(WorkerExited(0, play.policy.slots[0].generation, OTHER_VERSION_STATUS))
        play.wait(BACKOFF[-1])
    assert (play.policy.finished, play.policy.connections) == (False, 1)
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    said: list[Command] = []
    for _ in range(5):
        play.wait(BACKOFF[-1])
        for slot in play.policy.slots:
            said += play(WorkerExited(slot.index, slot.generation, OTHER_VERSION_STATUS))
    (error,) = [command.error for command in said if isinstance(command, Finish)]
    assert isinstance(error, PermanentFailure)
    assert "the package was changed under this tunnel" in str(error)
    assert "Start again: the tunnel then runs the new code" in str(error)


def test_end_that_somebody_else_decided_is_told_and_nothing_is_mended_any_more() -> None:
    play = up(1)
    said = play(Over())
    assert [state for state, _ in states(said)] == [State.STOPPING]
    assert play(WorkerExited(0, 1, -9)) == []
    assert play(Over()) == []


def test_spare_that_died_when_it_was_needed_costs_no_wait() -> None:
    play = begun(1, spare=True)
    play.register()
    play(HelperReady(SPARE))
    play.wait(HEALTHY_AFTER + 1)
    play.end(WorkerEnd.CONNECTION_LOST)
    (spawn,) = play.spawned(play(WorkerExited(0, 2, -9)))
    assert (spawn.from_spare, spawn.previous_attempts) == (False, 0)


@pytest.mark.parametrize("name", [SPARE, "metrics"])
def test_actor_that_never_comes_up_again_is_killed(name: str) -> None:
    play = begun(1, spare=True)
    play.register()
    play(HelperReady(SPARE))
    assert SpawnHelper(name) in play(HelperExited(name, -9))
    others = {"metrics", SPARE} - {name}
    said: list[Command] = []
    began = play.now
    while play.now < began + READY_TIMEOUT + 2:
        play.now += TICK
        said += [*play(WorkerBeat(0, 1)), *(c for other in others for c in play(HelperBeat(other))), *play(Tick())]
    assert acts(said) == [KillHelper(name)]


def test_spare_that_dies_is_replaced_with_backoff_and_harms_nobody() -> None:
    play = up(1, spare=True)
    play(HelperReady(SPARE))
    assert SpawnHelper(SPARE) in play(HelperExited(SPARE, -9))
    assert SpawnHelper(SPARE) not in play(HelperExited(SPARE, 1))
    play.wait(HELPER_HEALTHY_AFTER + 1)
    assert play.policy.state is State.REGISTERED


# --- the engine ---


def crash(play: Playbook) -> list[Command]:
    """The worker of the first slot is ended by a fault in machine code; the next one is registered."""
    generation = play.policy.slots[0].generation
    said = [*play(WorkerExited(0, generation, -11, is_crash=True))]
    play.until_spawn()
    play.register()
    return said


def test_engine_that_crashes_twice_within_an_hour_is_replaced_for_good() -> None:
    play = up(engine="picoquic")
    assert not [command for command in crash(play) if isinstance(command, UseEngine)]
    play.wait(WINDOW - 60.0)
    said = crash(play)
    assert acts(said)[0] == UseEngine("aioquic"), "before the next worker is started"
    assert (fact := facts(said)[0]) == events.EngineChanged(
        previous="picoquic",
        engine="aioquic",
        cause="2 workers crashed within an hour, the last one by signal 11",
    ), fact
    for _ in range(5):
        assert not [command for command in crash(play) if isinstance(command, UseEngine)]


def test_crashes_that_are_far_apart_are_nobody_s_fault() -> None:
    play = up(engine="picoquic")
    for _ in range(4):
        assert not [command for command in crash(play) if isinstance(command, UseEngine)]
        play.wait(WINDOW)


def test_spare_that_crashes_has_the_same_engine() -> None:
    play = up(engine="picoquic", spare=True)
    play(HelperReady(SPARE))
    crash(play)
    assert UseEngine("aioquic") in play(HelperExited(SPARE, -6, is_crash=True))


@pytest.mark.parametrize("engine", ["picoquic", "aioquic"])
def test_other_ends_say_nothing_of_the_engine_and_aioquic_is_the_last_one(engine: str) -> None:
    play = up(engine=engine)
    for _ in range(4):
        play(WorkerExited(0, play.policy.slots[0].generation, -9))
        play.until_spawn()
        play.register()
    assert play.policy._engines.engine == engine
    crash(play)
    crash(play)
    assert play.policy._engines.engine == "aioquic"


# --- the network ---


def test_without_a_route_no_try_is_made_and_nothing_counted() -> None:
    play = up(max_attempts=3)
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    assert facts(play(NetworkSeen(frozenset(), True))) == [
        events.Offline(message="this machine has no way out: no route to the edge")
    ]
    (ended,) = facts(play.end(WorkerEnd.CONNECTION_LOST))
    assert isinstance(ended, events.ConnectionEnded)
    assert ended.retry_in is None
    assert play.spawned(play.wait(3600)) == []
    commands = play(NetworkSeen(frozenset({"192.0.2.77"}), True))
    assert facts(commands) == [events.Online(sources=["192.0.2.77"])]
    assert len(play.spawned(commands)) == 1


def test_with_a_dead_resolver_tries_are_made_and_not_counted() -> None:
    play = up(max_attempts=3)
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    play.end(WorkerEnd.CONNECTION_LOST)
    play(NetworkSeen(frozenset({"192.0.2.9"}), False))
    for tries in range(1, 9):
        play.until_spawn()
        (ended,) = facts(play.end(WorkerEnd.DIAL_FAILED))
        assert isinstance(ended, events.ConnectionEnded)
        assert ended.failures == 0
        assert ended.retry_in is not None
        assert ended.retry_in >= MIN_JITTER * BACKOFF[min(tries, len(BACKOFF)) - 1], "and they become rarer"


def test_no_route_to_the_first_address_is_not_counted_and_another_is_tried_at_once() -> None:
    play = up()
    play.end(WorkerEnd.CONNECTION_LOST)
    own = play.edge()
    (spawn,) = play.spawned(play.end(WorkerEnd.NO_ROUTE))
    assert spawn.edge != own
    assert play.policy.slots[0].failures == 0
    play.end(WorkerEnd.NO_ROUTE)
    assert play.policy.slots[0].failures == 1, "there is a route, and it leads nowhere"


def test_other_network_resets_the_backoff() -> None:
    play = up()
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    play.end(WorkerEnd.CONNECTION_LOST)
    for _ in range(6):
        play.until_spawn()
        play.end(WorkerEnd.DIAL_FAILED)
    assert play.policy.slots[0].failures == 6
    commands = play(NetworkSeen(frozenset({"198.51.100.1"}), True))
    assert len(play.spawned(commands)) == 1
    assert play.policy.slots[0].failures == 0


def test_other_network_is_no_reason_to_come_before_the_edge_wants_it() -> None:
    play = up()
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    play.end(WorkerEnd.REGISTRATION_REFUSED, retry_after=50.0)
    assert play.spawned(play(NetworkSeen(frozenset({"198.51.100.1"}), True))) == []
    assert 49 < play.until_spawn() <= 51


def test_same_network_seen_again_changes_nothing() -> None:
    play = up()
    assert play(NetworkSeen(frozenset({"192.0.2.9"}), True)) == []
    assert play(NetworkSeen(frozenset({"192.0.2.9"}), True)) == []


# --- a tunnel that the service drops ---


def test_refusal_of_a_tunnel_that_was_registered_is_its_end() -> None:
    play = up(2)
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    play.end(WorkerEnd.CONNECTION_LOST, slot=0)
    error = finish(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=1, message="Unauthorized: Tunnel not found")).error
    assert isinstance(error, RefusedByEdge)
    assert "refused by the edge" in str(error)
    assert "Tunnel not found" in str(error)


def test_refused_slot_of_a_tunnel_that_serves_ends_nothing_until_the_last_one_goes() -> None:
    play = up(2)
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    assert acts(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=1)) == []
    play.end(WorkerEnd.CONNECTION_LOST, slot=0)
    assert isinstance(finish(play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=0)).error, RefusedByEdge)


def test_renewed_tunnel_replaces_the_dropped_one() -> None:
    play = up(2, renew=True)
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    play.register(1)
    play.end(WorkerEnd.CONNECTION_LOST, slot=0)
    play.wait(HEALTHY_AFTER + 1)
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    commands = play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=0, message="gone")
    assert acts(commands) == [KillWorker(1, 3), Renew()]
    assert play.spawned(play.wait(60)) == []
    commands = play.begin(OTHER_URL)
    (changed,) = facts(commands)
    assert changed == events.UrlChanged(
        url=OTHER_URL, tunnel_id="id of https://b.example", previous_url=URL, cause="gone"
    )
    (spawn,) = play.spawned(commands)
    assert (spawn.slot, spawn.generation, spawn.replace_existing) == (0, 3, False)
    assert play.policy.reconnects == 0
    assert play(WorkerExited(1, 3, -9)) == [], "the killed worker is of the old tunnel"
    play.register(0)
    play.register(1)
    assert play.policy.connections == 2


def dropped(play: Playbook) -> list[Command]:
    """The service drops the tunnel."""
    play.end(WorkerEnd.CONNECTION_LOST)
    play.until_spawn()
    return acts(play.end(WorkerEnd.REFUSED_FOR_GOOD))


def test_renewed_tunnel_that_is_refused_at_once_is_the_end() -> None:
    play = up(1, renew=True)
    dropped(play)
    play.begin(OTHER_URL)
    assert isinstance(finish(play.end(WorkerEnd.REFUSED_FOR_GOOD)).error, RefusedByEdge)


def test_tunnels_that_are_dropped_soon_are_renewed_more_and_more_slowly() -> None:
    play = up(1, renew=True)
    play.wait(renewal.HEALTHY_AFTER)
    assert dropped(play) == [Renew()]
    for wait in BACKOFF:
        play.begin(OTHER_URL)
        play.register()
        assert dropped(play) == []
        assert play.wait(wait * renewal.WAIT - 1) == []
        assert acts(play.wait(2)) == [Renew()]
    play.begin(URL)
    play.register()
    play.wait(renewal.HEALTHY_AFTER)
    assert dropped(play) == [Renew()]


@pytest.mark.parametrize("error", [ApiUnreachable("down"), ApiServerError("500", status=500), DiscoveryError("no DNS")])
def test_renewal_is_tried_again_for_as_long_as_a_connection_would_be(error: TunnelError) -> None:
    play = up(1, renew=True, max_attempts=3)
    play.wait(renewal.HEALTHY_AFTER)
    dropped(play)
    for tries in (1, 2):
        assert play(RenewFailed(error)) == []
        assert acts(play.wait(BACKOFF[tries - 1] + TICK)) == [Renew()]
    assert finish(play(RenewFailed(error))).error is error


def test_renewal_that_fails_and_one_that_is_stopped() -> None:
    for event, error in ((RenewFailed(problem := ApiRefused("no", codes=())), problem), (StopAsked(5.0), None)):
        play = up(1, renew=True)
        dropped(play)
        assert finish(play(event)).error is error


# --- a tunnel that an earlier supervisor had (--keep) ---


def test_connections_of_a_kept_tunnel_take_the_places_of_dead_ones() -> None:
    play = Playbook(2)
    assert [spawn.replace_existing for spawn in play.spawned(play.begin(kept=True))] == [True]
    assert [spawn.replace_existing for spawn in play.spawned(play.register(0))] == [True]
    play.register(1)
    assert play.policy.reconnects == 0, "it is their first life here"
    assert play.policy.state is State.REGISTERED


@pytest.mark.parametrize("connections", [1, 2])
def test_kept_tunnel_that_is_refused_for_good_is_replaced_at_once_also_without_renew(connections: int) -> None:
    play = Playbook(connections)
    play.begin(kept=True)
    assert acts(play.end(WorkerEnd.REFUSED_FOR_GOOD, message="no such tunnel")) == [Renew()]
    assert acts(play.wait(1000)) == [], "the API takes its time, and a start that waits for it has not failed"
    commands = play.begin(OTHER_URL)
    (changed,) = facts(commands)
    assert changed == events.UrlChanged(
        url=OTHER_URL, tunnel_id=f"id of {OTHER_URL}", previous_url=URL, cause="no such tunnel"
    )
    (spawn,) = play.spawned(commands)
    assert (spawn.slot, spawn.generation, spawn.replace_existing) == (0, 2, False)
    play.register()
    assert play.policy.state is State.REGISTERED


def test_new_tunnel_in_place_of_a_kept_one_has_as_long_for_its_start_as_any() -> None:
    play = Playbook(1, start_timeout=30.0)
    play.begin(kept=True)
    play.wait(29)
    play.end(WorkerEnd.REFUSED_FOR_GOOD)
    play.begin(OTHER_URL)
    assert acts(play.wait(20)) == []
    assert isinstance(finish(play.end(WorkerEnd.REFUSED_FOR_GOOD)).error, RefusedByEdge)
    play = Playbook(1, start_timeout=30.0)
    play.begin(kept=True)
    play.end(WorkerEnd.REFUSED_FOR_GOOD)
    play.begin(OTHER_URL)
    assert isinstance(finish(play.wait(31)).error, NoConnection)


@pytest.mark.parametrize("end", [WorkerEnd.REGISTRATION_REFUSED, WorkerEnd.DUPLICATE_CONNECTION])
def test_kept_tunnel_that_is_refused_until_the_timeout_is_replaced(end: WorkerEnd) -> None:
    """Else every start would fail like this one: with the same tunnel."""
    play = Playbook(1, start_timeout=30.0)
    play.begin(kept=True)
    said: list[Command] = []
    while Renew() not in said:
        said = acts(play.end(end, message="not now")) if play.policy.slots[0].state in LIVE else acts(play.wait(TICK))
        assert not any(isinstance(command, Finish) for command in said)
    (changed,) = facts(play.begin(OTHER_URL))
    assert isinstance(changed, events.UrlChanged)


@pytest.mark.parametrize("end", [WorkerEnd.DIAL_FAILED, WorkerEnd.NO_ROUTE, WorkerEnd.REGISTRATION_FAILED])
def test_kept_tunnel_is_not_given_up_for_an_edge_that_says_nothing(end: WorkerEnd) -> None:
    play = Playbook(1, start_timeout=30.0)
    play.begin(kept=True)
    said: list[Command] = []
    while not any(isinstance(command, Finish) for command in said):
        said = acts(play.end(end)) if play.policy.slots[0].state in LIVE else acts(play.wait(TICK))
        assert Renew() not in said


@pytest.mark.parametrize("renew", [False, True])
def test_kept_tunnel_that_was_registered_here_is_like_any_other(renew: bool) -> None:
    play = Playbook(1, renew=renew)
    play.begin(kept=True)
    play.register()
    play.wait(HEALTHY_AFTER + 1)
    play.end(WorkerEnd.CONNECTION_LOST)
    commands = play.end(WorkerEnd.REFUSED_FOR_GOOD)
    if renew:
        assert acts(commands) == [Renew()]
    else:
        assert isinstance(finish(commands).error, RefusedByEdge)


def test_no_other_tunnel_in_place_of_a_kept_one_is_a_start_that_failed() -> None:
    play = Playbook(1, max_attempts=0)
    play.begin(kept=True)
    play.end(WorkerEnd.REFUSED_FOR_GOOD)
    error = ApiUnreachable("down")
    assert finish(play(RenewFailed(error))).error is error


# --- states ---


def test_states_from_the_start_to_the_end() -> None:
    play = Playbook(2, visibility=Visibility.UNSEEN)
    said = [*play.begin(), *play.register(0)]
    assert states(said) == [("assigned", False), ("registered", False)]
    assert states(play(NameSeen(URL, True))) == [("visible", True)]
    said = [*play.register(1), *play.wait(HEALTHY_AFTER + 1), *play.end(WorkerEnd.CONNECTION_LOST, slot=1)]
    assert states(said) == [("visible", True), ("degraded", True)]
    assert states(play.end(WorkerEnd.CONNECTION_LOST, slot=0)) == [("down", False)]
    assert states([*play.register(0), *play.register(1)]) == [("degraded", True), ("visible", True)]
    assert states(play(StopAsked(1.0))) == [("stopping", False)]


def test_name_that_does_not_appear_is_said_and_the_url_given_all_the_same() -> None:
    play = begun(1, visibility=Visibility.UNSEEN)
    assert states(play.register()) == [("registered", False)]
    commands = play(NameSeen(URL, False))
    (fact,) = facts(commands)
    assert isinstance(fact, events.NameNotVisible)
    assert states(commands) == [("registered", True)]


def test_refused_slot_is_not_missed() -> None:
    play = begun(2)
    play.register(0)
    play.end(WorkerEnd.REFUSED_FOR_GOOD, slot=1)
    assert play.policy.state is State.REGISTERED


def test_word_about_the_old_url_says_nothing_of_the_new_one() -> None:
    play = Playbook(1, visibility=Visibility.UNSEEN)
    play.begin(OTHER_URL)
    play.register()
    assert play(NameSeen(URL, True)) == []
    assert play.policy.state is State.REGISTERED
    assert not play.policy.serves


def test_public_url_that_leads_nowhere_is_said_once() -> None:
    play = up()
    for _ in range(PROBE_FAILURES - 1):
        assert play(ProbeSeen(URL, False, "530")) == []
    commands = play(ProbeSeen(URL, False, "530"))
    (fact,) = facts(commands)
    assert isinstance(fact, events.Unreachable)
    assert states(commands) == [("unreachable", False)]
    assert play(ProbeSeen(URL, False, "530")) == []
    assert states(play(ProbeSeen(URL, True, ""))) == [("registered", True)]


def test_watchdog_is_fed_only_while_all_answer() -> None:
    play = up(2)
    assert play.policy.all_answer(play.now)
    assert not play.policy.all_answer(play.now + PATIENCE + 1)
    play(HelperExited("metrics", 1))
    assert play.policy.all_answer(play.now), "one that is started again is not stuck"


# --- everything, in any order ---


def every_event(generation: int) -> list[PolicyEvent]:
    return [
        Tick(),
        StopAsked(1.0),
        *(HelperExited(name, 1) for name in ("metrics", SPARE)),
        *(HelperReady(name) for name in ("metrics", SPARE)),
        HelperBeat(SPARE),
        WorkerReady(0, 0),
        WorkerReady(0, generation),
        WorkerRegistered(0, generation, "lab", "id", "X25519"),
        WorkerLeaving(0, generation, "bye"),
        WorkerBeat(0, generation),
        *(WorkerStopped(0, generation, end, "", 0.0) for end in WorkerEnd),
        WorkerExited(0, generation, 0),
        WorkerExited(0, generation, -9),
        *(NetworkSeen(sources, answers) for sources in (frozenset(), frozenset("a")) for answers in (True, False)),
        *(NameSeen(URL, found) for found in (True, False)),
        *(ProbeSeen(URL, reachable, "") for reachable in (True, False)),
    ]


@pytest.mark.parametrize("state", SlotState)
@pytest.mark.parametrize("event", every_event(1), ids=repr)
def test_every_event_in_every_state_is_dealt_with(state: SlotState, event: PolicyEvent) -> None:
    play = begun(1, spare=True)
    play.policy.slots[0].state = state
    play(event)
    check(play.policy)


def walk(seed: int) -> None:
    rng = random.Random(seed)
    play = Playbook(
        rng.randint(1, 4),
        seed=seed,
        visibility=rng.choice((Visibility.NOT_ASKED, Visibility.UNSEEN)),
        max_attempts=rng.choice((0, 3, 10)),
        renew=rng.random() < 0.5,
        spare=rng.random() < 0.5,
        protocol=rng.choice(("auto", "auto", "quic", "http2")),
    )
    alive: set[tuple[int, int]] = set()
    helpers = {SPARE}
    renewing = False

    def carry_out(commands: Sequence[Command]) -> None:
        nonlocal renewing
        assert not (ended and commands)
        for command in commands:
            match command:
                case SpawnWorker(slot, generation, from_spare=warm):
                    beside = [other for other, _ in alive if other == slot]
                    assert len(beside) <= MAX_BESIDE + 1, "too many processes in one slot"
                    assert play.policy.has_route
                    assert not warm or SPARE in helpers
                    alive.add((slot, generation))
                    helpers.discard(SPARE if warm else "")
                case KillWorker(slot, generation) if play.policy._renewal.active:
                    alive.discard((slot, generation))
                case SpawnHelper(name):
                    assert name not in helpers, "two spares"
                    helpers.add(name)
                case Renew():
                    assert not renewing
                    renewing = True
        check(play.policy)

    ended = False
    carry_out(play.begin(kept=rng.random() < 0.3))
    for _ in range(60):
        slot = rng.randrange(len(play.policy.slots))
        generation = max(0, play.policy.slots[slot].newest - rng.choice((0, 0, 0, 1, 2)))
        choices: list[PolicyEvent] = [
            Tick(),
            NetworkSeen(frozenset(rng.choice(("", "a", "b"))), rng.random() < 0.8),
            NameSeen(URL, rng.random() < 0.5),
            ProbeSeen(URL, rng.random() < 0.5, ""),
        ]
        if SPARE in helpers:
            choices += [HelperReady(SPARE), HelperBeat(SPARE), HelperExited(SPARE, 1)]
        if (slot, generation) in alive:
            stopped = WorkerStopped(slot, generation, rng.choice(list(WorkerEnd)), "m", rng.choice((0.0, 9.0)))
            choices += [
                WorkerReady(slot, generation),
                WorkerRegistered(slot, generation, "l", "i", "X25519"),
                WorkerRegistered(slot, generation, "l", "i", "X25519"),
                WorkerRegistered(slot, generation, "l", "i", "X25519", "http2"),
                WorkerLeaving(slot, generation, "bye"),
                WorkerBeat(slot, generation),
                stopped,
                WorkerExited(slot, generation, rng.choice((0, 1, -9))),
            ]
        if renewing:
            choices.append(RenewFailed(RefusedByEdge("no")))
        event = rng.choice([StopAsked(1.0)] if rng.random() < 0.01 else choices)
        if renewing and rng.random() < 0.3:
            renewing = False
            commands = play.begin(OTHER_URL)
        else:
            if isinstance(event, WorkerExited):
                alive.discard((event.slot, event.generation))
            if isinstance(event, HelperExited):
                helpers.discard(event.name)
            commands = play(event)
        carry_out(commands)
        ended = ended or any(isinstance(command, Finish) for command in commands)
        play.now += rng.choice((0.1, 0.5, 3.0))


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(100))
def test_random_walk(hundred: int) -> None:
    """10 000 in all. Whatever happens in whatever order: one process a slot, one end, and nothing after it."""
    for seed in range(hundred * 100, hundred * 100 + 100):
        walk(seed)


def check(policy: Policy) -> None:
    for slot in policy.slots:
        assert slot.failures >= 0
        assert 0 <= slot.generation <= slot.newest
        assert len(slot.beside) <= MAX_BESIDE
        numbers = [worker.generation for worker in slot.workers]
        assert len(set(numbers)) == len(numbers)
    assert 0 <= policy.connections <= len(policy.slots)


# --- a tunnel of one's own ---


def own(connections: int = 4, **limits: Any) -> Playbook:
    play = Playbook(connections, is_own=True, **limits)
    play(RulesInForce(0))
    return play


def test_own_tunnel_serves_once_rules_are_in_force() -> None:
    play = own(1)
    play.begin(url="")
    play.register(0)
    assert (play.policy.state, play.policy.serves) == (State.REGISTERED, False)
    for rules, serves in ((2, True), (3, True), (0, False)):
        (told,) = play(RulesInForce(rules))
        expected = events.StateChanged(
            state=State.REGISTERED, serves=serves, url="", connections=1, slots=1, rules=rules
        )
        assert told == Announce(expected)
        assert play(RulesInForce(rules)) == []


def test_own_tunnel_has_no_more_connections_than_the_edge_has_addresses() -> None:
    play = own(4, one_per_address=True)
    play(Begin("", "id", tuple(EDGES[:2]), Visibility.NOT_ASKED))
    assert len(play.policy.slots) == 2
    assert [spawn.slot for spawn in play.spawned(play.register(0))] == [1]
    assert len(own(4).policy.slots) == 4
    names = (EdgeAddress(host="edge.example", port=7844),)
    through_proxy = own(4, one_per_address=True, has_proxy=True, protocol="auto")
    through_proxy(Begin("", "id", names, Visibility.NOT_ASKED))
    assert len(through_proxy.policy.slots) == 4


def test_own_tunnel_s_connections_are_spread_over_both_regions() -> None:
    play = own(4)
    play.begin(url="")
    play.register(0)
    edges = [play.edge(slot) for slot in range(4)]
    assert len(set(edges)) == 4
    assert [edge.region for edge in edges[:2]] != [edges[0].region] * 2


@pytest.mark.parametrize("registered", [False, True])
def test_own_tunnel_that_is_refused_for_good_ends_and_is_not_replaced(registered: bool) -> None:
    play = own(1)
    play.begin(url="")
    if registered:
        play.register(0)
    error = finish(play.end(WorkerEnd.REFUSED_FOR_GOOD, message="Unauthorized")).error
    assert isinstance(error, RefusedByEdge)
    assert "Unauthorized" in str(error)
    assert "Was the tunnel deleted, or its token replaced?" in str(error)
    assert "--renew" not in str(error)
