"""What the supervisor remembers."""

from typing import Any

from actors.bus import events
from actors.bus.tally import Connected, Tally, Totals
from actors.metrics.registry import CounterRegistry
from actors.supervisor.counts import KEPT_TUNNELS, Counts


def test_generations_add_up_and_late_words_change_nothing() -> None:
    counts = Counts()
    counts.assigned("t")
    counts.spawned(0, 1)
    counts.note(0, 1, Tally(Totals(1, 1, 1)))
    counts.note(0, 1, Tally(Totals(2, 2, 2)))
    counts.gone(0, 1)
    counts.spawned(0, 2)
    counts.note(0, 2, Tally(Totals(1, 0, 0)))
    counts.note(0, 1, Tally(Totals(9, 9, 9)))
    counts.spawned(1, 1)
    counts.note(1, 1, Tally(Totals(5, 5, 5)))
    assert counts.totals == Totals(8, 7, 7)


def test_predecessor_that_still_lives_counts_beside_its_successor() -> None:
    counts = Counts()
    counts.assigned("t")
    counts.spawned(0, 1)
    counts.note(0, 1, Tally(Totals(1, 10, 0)))
    counts.spawned(0, 2)
    counts.note(0, 2, Tally(Totals(1, 1, 1)))
    counts.note(0, 1, Tally(Totals(1, 50, 0)))
    assert counts.totals == Totals(2, 51, 1)
    assert [entry.generation for entry in counts.knowledge().tunnels[0].current] == [1, 2]
    registry = CounterRegistry()
    registry.know(counts.knowledge())
    counts.note(0, 1, Tally(Totals(1, 70, 0)))
    counts.gone(0, 1)
    counts.note(0, 1, Tally(Totals(9, 99, 9)))
    counts.spawned(0, 3)
    counts.gone(0, 3)  # another successor, in vain: the second one serves
    counts.note(0, 2, Tally(Totals(2, 2, 2)))
    assert counts.totals == Totals(3, 72, 2)
    registry.know(counts.knowledge())
    assert registry.totals == counts.totals


def test_another_tunnel_begins_at_nothing_and_the_first_is_remembered() -> None:
    counts = Counts()
    counts.assigned("a")
    counts.spawned(0, 1)
    counts.note(0, 1, Tally(Totals(1, 1, 1)))
    counts.reconnected(3)
    counts.assigned("b")
    counts.note(0, 1, Tally(Totals(9, 9, 9)))  # a late word of the old tunnel's worker
    assert (counts.tunnel_id, counts.totals, counts.reconnects) == ("b", Totals(), 0)
    registry = CounterRegistry()
    registry.know(counts.knowledge())
    assert registry.tunnels["a"].tally.totals == Totals(1, 1, 1)
    assert registry.lifecycle.reconnects == {"a": 3, "b": 0}


def test_number_of_tunnels_is_bounded() -> None:
    counts = Counts()
    for number in range(3 * KEPT_TUNNELS):
        counts.assigned(str(number))
    assert len(counts.knowledge().tunnels) == KEPT_TUNNELS
    assert len(counts.lifecycle.reconnects) == KEPT_TUNNELS


def test_metrics_actor_that_is_told_knows_the_same() -> None:
    counts = Counts()
    counts.assigned("t")
    counts.started()
    counts.start_failed("api")
    counts.start_failed("api")
    counts.reconnected(4)
    counts.stop_asked()
    for generation in (1, 2):
        counts.spawned(0, generation)
        counts.note(0, generation, Tally(Totals(1, 1, 1)))
    registry = CounterRegistry()
    registry.know(counts.knowledge())
    assert registry.totals == counts.totals
    assert registry.lifecycle == counts.lifecycle
    assert registry.lifecycle.starts_failed == {"api": 2}
    assert registry.tunnel_id == "t"


def test_report_is_due_until_it_was_taken() -> None:
    counts = Counts()
    due = [counts.is_reported]
    counts.started()
    due.append(counts.is_reported)
    counts.taken(counts.report())
    due.append(counts.is_reported)
    assert due == [True, False, True]


def test_what_is_told_is_counted() -> None:
    counts = Counts(started_at=5.0)
    counts.assigned("t")
    up: dict[str, Any] = {"url": "", "tunnel_id": "t", "location": "", "connection_id": "", "connections": 1}
    up["key_exchange"] = "X25519"
    lost: dict[str, Any] = {"message": "", "was_registered": True, "failures": 1, "retry_in": 0.0, "connections": 0}
    counts.happened(events.Registered(slot=0, generation=1, **up))
    counts.happened(events.Registered(slot=1, generation=1, **up))
    counts.happened(events.ConnectionEnded(slot=0, generation=1, reason="crashed", **lost))
    counts.happened(events.Connecting(slot=0, generation=2, edge="", attempt=1))
    counts.happened(events.Registered(slot=0, generation=2, **up))
    counts.happened(events.ConnectionRefused(slot=1, generation=1, cause="no", connections=1))
    counts.happened(events.ActorRestarted(actor="metrics", exit_status=1))
    told = counts.lifecycle
    assert told.registrations == 3
    assert told.connected == [Connected(0, 2, "X25519")]
    assert told.connection_failures == {"crashed": 1, "refused_for_good": 1}
    assert told.actor_restarts == {"worker": 1, "metrics": 1}
    assert told.started_at == 5.0
    counts.happened(events.StateChanged(state="registered", serves=True, url="", connections=1, slots=2))
    counts.happened(events.OriginUnreachable(origin="", message=""))
    told = counts.lifecycle
    assert (told.serves, told.slots, told.origin_reachable) == (True, 2, False)
    counts.happened(events.OriginReachable(origin=""))
    assert counts.lifecycle.origin_reachable
    counts.happened(events.Registered(slot=0, generation=3, **up, protocol="http2"))
    counts.happened(events.Unregistered(slot=0, generation=2, acknowledged=True))
    assert counts.lifecycle.connected == [Connected(0, 3, "X25519", "http2")], "its successor is there already"
    assert counts.protocols == ["http2"]
    counts.happened(events.EngineChanged(previous="picoquic", engine="aioquic", cause=""))
    assert counts.lifecycle.quic_engine == "aioquic"
    counts.happened(events.Unregistered(slot=0, generation=3, acknowledged=True))
    assert counts.lifecycle.connected == []
