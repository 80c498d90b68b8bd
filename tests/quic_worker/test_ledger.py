"""What passed, and what of it was reported."""

from actors.messages import Totals
from actors.quic_worker.ledger import Ledger


def ledger() -> Ledger:
    return Ledger(tunnel_id="t", slot=1, generation=2)


def test_report_that_was_not_taken_grows() -> None:
    counts = ledger()
    counts.stream_opened()
    counts.received(10)
    refused = counts.draft()
    counts.sent(5)
    report = counts.draft()
    assert refused.sequence == report.sequence == 1
    assert report.delta == report.totals == Totals(1, 10, 5)


def test_taken_reports_add_up_to_the_totals() -> None:
    counts = ledger()
    reports = []
    for number in range(5):
        counts.received(number)
        counts.sent(2 * number)
        report = counts.draft()
        counts.taken(report)
        reports.append(report)
    assert [report.sequence for report in reports] == [1, 2, 3, 4, 5]
    assert sum((report.delta for report in reports), Totals()) == counts.totals == Totals(0, 10, 20)
    assert counts.is_reported


def test_idle_report_repeats_the_totals() -> None:
    counts = ledger()
    counts.received(3)
    counts.taken(counts.draft())
    again = counts.draft()
    assert (again.delta, again.totals, again.sequence) == (Totals(), Totals(0, 3, 0), 2)
