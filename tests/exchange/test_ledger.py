"""What passed, and what of it was reported."""

from actors.bus.tally import BOUNDS, Gauges, Totals
from actors.exchange.ledger import Ledger


def ledger() -> Ledger:
    return Ledger(tunnel_id="t", slot=1, generation=2)


def test_report_that_was_not_taken_grows() -> None:
    counts = ledger()
    counts.stream_opened()
    counts.received(10)
    refused = counts.draft(Gauges())
    counts.sent(5)
    report = counts.draft(Gauges())
    assert refused.sequence == report.sequence == 1
    assert report.delta == report.totals == Totals(1, 10, 5)


def test_taken_reports_add_up_to_the_totals() -> None:
    counts = ledger()
    reports = []
    for number in range(5):
        counts.received(number)
        counts.sent(2 * number)
        report = counts.draft(Gauges())
        counts.taken(report)
        reports.append(report)
    assert [report.sequence for report in reports] == [1, 2, 3, 4, 5]
    assert sum((report.delta for report in reports), Totals()) == counts.totals == Totals(0, 10, 20)
    assert counts.is_reported


def test_idle_report_repeats_the_totals() -> None:
    counts = ledger()
    counts.received(3)
    counts.taken(counts.draft(Gauges()))
    again = counts.draft(Gauges())
    assert (again.delta, again.totals, again.sequence) == (Totals(), Totals(0, 3, 0), 2)


def test_end_of_a_request_is_news_and_is_counted_by_class_and_duration() -> None:
    counts = ledger()
    counts.answered(0.004)
    for status in (200, 204, 302, 404, 502, 101, None):
        counts.request_ended(status, 0.2)
    assert not counts.is_reported
    details = counts.draft(Gauges()).details
    assert details.responses == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "1xx": 1, "none": 1}
    assert (details.duration.buckets[BOUNDS.index(0.25)], details.duration.count) == (7, 7)
    assert details.first_byte.buckets[0] == 1


def test_refused_reports_are_counted() -> None:
    counts = ledger()
    counts.refused()
    assert counts.draft(Gauges()).details.reports_refused == 1
