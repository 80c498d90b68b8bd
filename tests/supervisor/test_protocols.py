"""QUIC, or HTTP/2 where UDP is blocked; with a clock of our own."""

from collections.abc import Sequence
from typing import get_args

import pytest

from actors.bus import events
from actors.bus.messages import EdgeAddress, Protocol
from actors.errors import PermanentFailure
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.policy import TICK
from actors.supervisor.protocols import MEMORY, RETURN_PAUSES
from actors.supervisor.readiness import Visibility
from actors.supervisor.slots import HEALTHY_AFTER
from actors.supervisor.vocabulary import Announce, Begin, Command, DrainWorker, Finish, NetworkSeen
from tests.kit.playbook import URL, Playbook, begun, finish, up

SILENT = "no answer over UDP"


def spoken(play: Playbook, commands: Sequence[Command]) -> list[tuple[int, str]]:
    """Which slots dial now, and what."""
    return [(spawn.slot, spawn.protocol) for spawn in play.spawned(commands)]


def changes(commands: Sequence[Command]) -> list[tuple[int, str, str, str]]:
    told = [command.event for command in commands if isinstance(command, Announce)]
    return [(e.slot, e.previous, e.to, e.cause) for e in told if isinstance(e, events.ProtocolChanged)]


def on_http2(connections: int = 1) -> Playbook:
    """A tunnel that is registered over HTTP/2, since UDP is silent."""
    play = begun(connections, protocol="auto")
    play.end(WorkerEnd.DIAL_FAILED, message=SILENT)
    for slot in range(connections):
        play.register(slot)
    assert all(slot.protocol == "http2" for slot in play.policy.slots)
    return play


def test_silence_over_quic_is_followed_by_http2_at_once_and_elsewhere() -> None:
    play = begun(1, protocol="auto")
    before = play.edge()
    commands = play.end(WorkerEnd.DIAL_FAILED, message=SILENT)
    assert spoken(play, commands) == [(0, "http2")]
    assert play.edge().region != before.region
    (ended,) = [c.event for c in commands if isinstance(c, Announce) and isinstance(c.event, events.ConnectionEnded)]
    assert (ended.failures, ended.retry_in) == (0, 0.0)
    assert changes(play.register()) == [(0, "quic", "http2", SILENT)]


def test_others_begin_with_what_works_and_so_do_reconnects() -> None:
    play = begun(3, protocol="auto")
    play.end(WorkerEnd.DIAL_FAILED, message=SILENT)
    assert spoken(play, play.register(0)) == [(1, "http2"), (2, "http2")]
    assert changes([*play.register(1), *play.register(2)]) == [
        (1, "quic", "http2", SILENT),
        (2, "quic", "http2", SILENT),
    ]
    play.wait(HEALTHY_AFTER + 1)
    assert spoken(play, play.end(WorkerEnd.CONNECTION_LOST, slot=2)) == [(2, "http2")]
    assert changes(play.register(2)) == [], "said once"


def test_slot_that_falls_back_alone_says_nothing_about_the_network() -> None:
    play = up(2, protocol="auto")
    play.end(WorkerEnd.CONNECTION_LOST, slot=1)
    for _ in range(2):
        play.until_spawn(1)
        play.end(WorkerEnd.DIAL_FAILED, slot=1, message=SILENT)
    assert play.policy.slots[1].protocol == "http2"
    play.register(1)
    assert spoken(play, play.end(WorkerEnd.CONNECTION_LOST, slot=0)) == [(0, "quic")], "that one was on QUIC until now"


def test_changed_network_forgets_it() -> None:
    play = on_http2()
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    play.wait(HEALTHY_AFTER + 1)
    play(NetworkSeen(frozenset({"198.51.100.1"}), True))
    assert spoken(play, play.end(WorkerEnd.CONNECTION_LOST)) == [(0, "quic")]
    assert changes(play.register()) == [(0, "http2", "quic", "QUIC works in this network")]


def test_both_in_vain_are_one_failure_and_take_turns_with_backoff() -> None:
    play = up(protocol="auto", max_attempts=3)
    play.end(WorkerEnd.CONNECTION_LOST)
    said: list[Command] = []
    dialed: list[str] = []
    while not play.policy.finished:
        play.until_spawn()
        dialed.append(play.policy.slots[0].protocol)
        said += play.end(WorkerEnd.DIAL_FAILED, message="nothing")
    error = finish(said).error
    assert isinstance(error, PermanentFailure)
    assert error.attempts == 3
    # Two over QUIC at first, since it has worked here; from then on in pairs.
    assert dialed == ["quic", "quic", "http2", "quic", "http2"]


def test_where_quic_never_worked_they_alternate() -> None:
    play = begun(1, protocol="auto", start_timeout=100.0)
    dialed = []
    for _ in range(6):
        play.until_spawn()
        dialed.append(play.policy.slots[0].protocol)
        play.end(WorkerEnd.DIAL_FAILED)
    assert dialed == ["quic", "http2"] * 3
    assert play.policy.slots[0].failures == 3


@pytest.mark.parametrize(
    "end",
    [
        WorkerEnd.NO_ROUTE,
        WorkerEnd.REGISTRATION_REFUSED,
        WorkerEnd.REGISTRATION_FAILED,
        WorkerEnd.DUPLICATE_CONNECTION,
        WorkerEnd.CONNECTION_LOST,
        WorkerEnd.CRASHED,
        WorkerEnd.HEARTBEAT_MISSED,
    ],
)
def test_other_ends_say_nothing_about_udp(end: WorkerEnd) -> None:
    play = begun(1, protocol="auto")
    for _ in range(4):
        play.end(end)
        play.until_spawn()
        assert play.policy.slots[0].protocol == "quic"


@pytest.mark.parametrize("wish", get_args(Protocol))
def test_who_wants_one_protocol_gets_no_other(wish: Protocol) -> None:
    play = begun(1, protocol=wish, start_timeout=1000.0)
    for _ in range(8):
        play.until_spawn()
        assert play.policy.slots[0].protocol == wish
        play.end(WorkerEnd.DIAL_FAILED)
    play.until_spawn()
    assert changes(play.register()) == []
    assert play.spawned(play.wait(3600)) == []


def test_quic_that_was_lost_and_is_not_to_be_had_twice_falls_back() -> None:
    play = up(protocol="auto")
    assert spoken(play, play.end(WorkerEnd.CONNECTION_LOST)) == [(0, "quic")]
    play.end(WorkerEnd.DIAL_FAILED, message="the first may have met an address that is down")
    play.until_spawn()
    assert play.policy.slots[0].protocol == "quic"
    assert spoken(play, play.end(WorkerEnd.DIAL_FAILED, message=SILENT)) == [(0, "http2")]
    assert changes(play.register()) == [(0, "quic", "http2", SILENT)]


def test_no_route_says_something_where_a_proxy_is_another_way() -> None:
    play = begun(1, protocol="auto", has_proxy=True)
    assert spoken(play, play.end(WorkerEnd.NO_ROUTE, message="no route")) == [(0, "http2")]
    assert changes(play.register()) == [(0, "quic", "http2", "no route")]


def test_edge_that_is_known_by_name_is_reached_over_http2_only() -> None:
    play = Playbook(1, protocol="auto", has_proxy=True)
    names = tuple(EdgeAddress(host=name, port=7844, region=name) for name in ("region1.example", "region2.example"))
    assert spoken(play, play(Begin(URL, "id", names, Visibility.NOT_ASKED))) == [(0, "http2")]
    for _ in range(3):
        play.end(WorkerEnd.DIAL_FAILED)
        play.until_spawn()
        assert play.policy.slots[0].protocol == "http2"
    play.register()
    assert play.spawned(play.wait(2 * RETURN_PAUSES[-1])) == []


# --- the way back ---


def until_tried(play: Playbook, slot: int = 0, patience: float = 2 * RETURN_PAUSES[-1]) -> float:
    """Wait until QUIC is tried beside a connection; return how long it took."""
    began = play.now
    while (successor := play.policy.slots[slot].successor) is None:
        assert play.now < began + patience
        assert not [command for command in play.wait(TICK) if isinstance(command, DrainWorker | Finish)]
    assert successor.protocol == "quic"
    return play.now - began


def test_quic_is_tried_with_growing_pauses_and_nothing_is_harmed() -> None:
    play = on_http2()
    for pause in (*RETURN_PAUSES, RETURN_PAUSES[-1], RETURN_PAUSES[-1]):
        assert pause <= until_tried(play) <= pause + 2 * TICK
        generation = play.policy.slots[0].newest
        play.end(WorkerEnd.DIAL_FAILED, generation=generation, message=SILENT)
        assert play.policy.connections == 1
        assert play.policy.serves
        assert play.policy.slots[0].failures == 0
    assert spoken(play, play.end(WorkerEnd.CONNECTION_LOST)) == [(0, "http2")], "the memory is as fresh as the last try"


def test_memory_ends_where_nobody_refreshes_it() -> None:
    play = on_http2()
    play.now += MEMORY + 1
    assert play.policy._protocols.choose(play.policy.slots[0], play.now) == "quic"


def test_slots_return_one_at_a_time_new_before_old() -> None:
    play = on_http2(3)
    play.wait(HEALTHY_AFTER + 1)
    until_tried(play)
    for slot in range(3):
        if slot:
            assert spoken(play, play.wait(2 * TICK)) == [(slot, "quic")]
        assert [bool(other.successor) for other in play.policy.slots] == [index == slot for index in range(3)]
        old = play.policy.slots[slot].generation
        commands = play.register(slot, play.policy.slots[slot].newest)
        assert [c.generation for c in commands if isinstance(c, DrainWorker)] == [old]
        assert changes(commands) == [(slot, "http2", "quic", "QUIC works in this network")]
        assert play.policy.connections == 3, "never fewer"
    assert play.spawned(play.wait(2 * RETURN_PAUSES[-1])) == []
    assert play.policy.reconnects == 0, "nothing was lost"


def test_changed_network_tries_quic_at_once_beside_what_serves() -> None:
    play = on_http2()
    play(NetworkSeen(frozenset({"192.0.2.9"}), True))
    play.wait(HEALTHY_AFTER + 1)
    play(NetworkSeen(frozenset({"198.51.100.1"}), True))
    assert until_tried(play) <= 2 * TICK
    assert play.policy.connections == 1
