"""One connection takes another's place while that one still serves."""

from actors.bus import events
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.policy import KILL_MARGIN, TICK
from actors.supervisor.readiness import State
from actors.supervisor.restart import PATIENCE, SPARE
from actors.supervisor.slots import HEALTHY_AFTER, SlotState
from actors.supervisor.succession import GRACE, MARGIN, MAX_BESIDE
from actors.supervisor.vocabulary import (
    Command,
    DrainWorker,
    Finish,
    HelperBeat,
    HelperReady,
    KillWorker,
    Renew,
    StopAsked,
    Tick,
    WorkerBeat,
    WorkerExited,
    WorkerLeaving,
    WorkerReady,
    WorkerStopped,
)
from tests.kit.playbook import Playbook, acts, facts, finish, states, up


def leaving(connections: int = 1) -> Playbook:
    """The edge wants the first connection to end, and its successor comes up."""
    play = up(connections)
    (spawn,) = play.spawned(play(WorkerLeaving(0, 1, "GOAWAY")))
    assert (spawn.slot, spawn.generation, spawn.replace_existing) == (0, 2, True)
    return play


def test_successor_is_registered_before_the_old_one_is_drained() -> None:
    play = leaving()
    assert play.policy.connections == 1
    commands = play.register(0, 2)
    assert acts(commands) == [DrainWorker(0, 1, GRACE)]
    assert states(commands) == [], "to a visitor nothing has changed"
    assert play.policy.slots[0].generation == 2
    play(WorkerStopped(0, 1, WorkerEnd.DRAINED, "", 0.0))
    assert play(WorkerExited(0, 1, 0)) == []
    assert play.policy.slots[0].beside == []
    assert play.policy.reconnects == 0


def test_edge_that_says_it_twice_gets_one_successor() -> None:
    play = leaving()
    assert play.spawned(play(WorkerLeaving(0, 1, "GOAWAY"))) == []


def test_spare_is_the_successor() -> None:
    play = up(1, spare=True)
    play(HelperReady(SPARE))
    (spawn,) = play.spawned(play(WorkerLeaving(0, 1, "GOAWAY")))
    assert spawn.from_spare


def test_old_connection_that_ends_first_makes_its_successor_the_slot_s_own() -> None:
    play = leaving()
    play(WorkerReady(0, 2))
    commands = play.end(WorkerEnd.CONNECTION_LOST, generation=1)
    (ended,) = facts(commands)
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.generation, ended.was_registered, ended.retry_in) == (1, True, 0.0)
    assert acts(commands) == []
    assert (play.policy.slots[0].generation, play.policy.slots[0].state) == (2, SlotState.DIALING)
    assert play.policy.state is State.DOWN
    assert states(play.register(0, 2)) == [("registered", True)]
    assert play.policy.reconnects == 1


def test_successor_in_vain_harms_nobody_and_is_followed_by_another() -> None:
    play = leaving()
    (ended,) = facts(play.end(WorkerEnd.DIAL_FAILED, generation=2))
    assert isinstance(ended, events.ConnectionEnded)
    assert (ended.was_registered, ended.connections) == (False, 1)
    assert ended.retry_in
    assert play.policy.serves
    assert [spawn.generation for spawn in play.spawned(play.wait(ended.retry_in + 2 * TICK))] == [3]


def test_edge_that_takes_no_second_connection_gets_the_old_one_s_end_first() -> None:
    play = up(1, protocol="auto")
    play.policy.slots[0].protocol = "http2"
    play.policy._protocols._return_at = play.now
    play.wait(TICK)
    commands = play.end(WorkerEnd.DUPLICATE_CONNECTION, generation=2)
    assert acts(commands) == [DrainWorker(0, 1, GRACE)]
    (spawn,) = play.spawned(play.wait(3.0))
    assert (spawn.generation, spawn.protocol) == (3, "quic")
    play.register(0, 3)
    assert play.policy.connections == 1
    assert [worker.generation for worker in play.policy.slots[0].beside] == [1], "what runs on it may finish"


def test_predecessor_is_killed_if_it_hangs_or_does_not_end() -> None:
    for silent in (True, False):
        play = leaving()
        play.register(0, 2)
        said: list[Command] = []
        while KillWorker(0, 1) not in said and play.now < 1000.0 + HEALTHY_AFTER + GRACE + MARGIN + 5:
            play.now += TICK
            said += play(WorkerBeat(0, 2))
            said += [] if silent and play.now > 1100 else play(WorkerBeat(0, 1))
            said += [*play(HelperBeat("metrics")), *play(Tick())]
        assert KillWorker(0, 1) in said
        assert KillWorker(0, 2) not in said
        if silent:
            assert play.now < 1100 + PATIENCE + 2


def test_stop_waits_for_all_of_them() -> None:
    play = leaving()
    play.register(0, 2)
    play(WorkerLeaving(0, 2, "GOAWAY"))
    assert acts(play(StopAsked(5.0))) == [DrainWorker(0, 2, 5.0), KillWorker(0, 3)]
    assert play(WorkerExited(0, 2, 0)) == []
    assert play(WorkerExited(0, 3, -9)) == []
    assert play(WorkerExited(0, 1, 0)) == [Finish(None)]


def test_stop_does_not_wait_for_a_predecessor_longer_than_it_was_asked_to() -> None:
    play = leaving()
    play.register(0, 2)
    play(StopAsked(5.0))
    play(WorkerExited(0, 2, 0))
    assert KillWorker(0, 1) in play.wait(5.0 + KILL_MARGIN + TICK)


def test_edge_that_changes_its_mind_all_the_time_piles_up_no_processes() -> None:
    play = up(1)
    for generation in range(1, 20):
        play(WorkerLeaving(0, generation, "GOAWAY"))
        if play.policy.slots[0].successor is not None:
            play.register(0, generation + 1)
        assert len(play.policy.slots[0].workers) <= MAX_BESIDE + 1


def test_tunnel_that_is_dropped_takes_all_of_them_along() -> None:
    play = up(1, renew=True)
    play(WorkerLeaving(0, 1, "GOAWAY"))
    play.register(0, 2)
    play.end(WorkerEnd.CONNECTION_LOST, generation=2)
    play.until_spawn()
    assert acts(play.end(WorkerEnd.REFUSED_FOR_GOOD)) == [KillWorker(0, 1), Renew()]
    play.begin("https://b.example")
    assert play.policy.slots[0].generation == 4
    assert play(WorkerExited(0, 1, -9)) == []


def test_refused_successor_ends_nothing_while_the_old_one_serves() -> None:
    play = leaving()
    assert not [c for c in play.end(WorkerEnd.REFUSED_FOR_GOOD, generation=2) if isinstance(c, Finish)]
    play.wait(1.0)
    said = [*play.end(WorkerEnd.CONNECTION_LOST, generation=1)]
    while not play.policy.finished:
        play.until_spawn()
        said += play.end(WorkerEnd.REFUSED_FOR_GOOD)
    assert "refused by the edge for good" in str(finish(said).error)
