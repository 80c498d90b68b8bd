"""What the supervisor remembers."""

from actors.messages import Totals
from actors.metrics.registry import CounterRegistry
from actors.supervisor.counts import Counts


def test_generations_add_up_and_late_words_change_nothing() -> None:
    counts = Counts()
    counts.note(0, 1, Totals(1, 1, 1))
    counts.note(0, 1, Totals(2, 2, 2))
    counts.note(0, 2, Totals(1, 0, 0))
    counts.note(0, 1, Totals(9, 9, 9))
    counts.note(1, 1, Totals(5, 5, 5))
    assert counts.totals == Totals(8, 7, 7)


def test_metrics_actor_that_is_told_knows_the_same() -> None:
    counts = Counts()
    counts.assigned("t")
    counts.started()
    counts.start_failed("api")
    counts.start_failed("api")
    counts.reconnected(4)
    counts.stop_asked()
    counts.note(0, 1, Totals(1, 1, 1))
    counts.note(0, 2, Totals(2, 2, 2))
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
