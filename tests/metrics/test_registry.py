"""Counters: nothing lost, nothing twice."""

import random

from actors.bus.messages import GenerationTally, KnownCounts, LifecycleReport, StreamDelta, TunnelTally
from actors.bus.tally import Connected, Gauges, LifecycleCounts, Tally, Totals
from actors.exchange.ledger import Ledger
from actors.metrics.registry import KEPT_GENERATIONS, KEPT_TUNNELS, CounterRegistry


def report(slot: int, generation: int, sequence: int, totals: Totals) -> StreamDelta:
    return StreamDelta("t", slot, generation, sequence, Totals(), totals)


def known(generation: int, totals: Totals) -> GenerationTally:
    return GenerationTally(0, generation, Tally(totals))


def know(ended: Totals = Totals(), *current: GenerationTally, sequence: int = 0) -> KnownCounts:
    return KnownCounts([TunnelTally("t", Tally(ended), list(current))], LifecycleCounts(starts=1), sequence)


def test_generations_add_up() -> None:
    registry = CounterRegistry()
    registry.apply(report(0, 1, 1, Totals(1, 2, 3)))
    registry.apply(report(0, 2, 1, Totals(1, 1, 1)))
    registry.apply(report(1, 1, 1, Totals(2, 2, 2)))
    assert registry.totals == Totals(4, 5, 6)
    assert registry.tunnel_id == "t"


def test_repeated_late_and_missing_reports_change_nothing() -> None:
    registry = CounterRegistry()
    for sequence, size in ((1, 10), (3, 30), (2, 20), (3, 30)):
        registry.apply(report(0, 1, sequence, Totals(0, size, 0)))
    assert registry.totals == Totals(0, 30, 0)


def test_late_report_of_an_earlier_generation_counts() -> None:
    registry = CounterRegistry()
    registry.apply(report(0, 2, 1, Totals(1, 0, 0)))
    registry.apply(report(0, 1, 9, Totals(5, 0, 0)))
    assert registry.totals == Totals(6, 0, 0)


def test_old_generations_are_folded() -> None:
    registry = CounterRegistry()
    for generation in range(1, 100):
        registry.apply(report(0, generation, 1, Totals(1, 1, 1)))
    assert registry.totals == Totals(99, 99, 99)
    assert len(list(registry.tunnels["t"].generations())) == KEPT_GENERATIONS
    registry.apply(report(0, 1, 2, Totals(1, 1, 1)))
    assert registry.totals == Totals(99, 99, 99)


def test_generation_that_lives_long_counts_on_beside_many_that_came_to_nothing() -> None:
    registry = CounterRegistry()
    for number in range(1, 100):
        registry.apply(report(0, 1, number, Totals(number, 0, 0)))
        registry.apply(report(0, 1 + number, 1, Totals(0, 1, 0)))
    assert registry.totals == Totals(99, 99, 0)
    registry.apply(report(0, 20, 2, Totals(0, 1, 0)))
    assert registry.totals == Totals(99, 99, 0), "one that is folded is not counted twice"
    registry.know(know(Totals(0, 98, 0), known(1, Totals(99, 0, 0)), known(100, Totals(0, 1, 0))))
    assert registry.totals == Totals(99, 99, 0)
    registry.apply(report(0, 1, 100, Totals(100, 0, 0)))
    registry.apply(report(0, 50, 9, Totals(0, 9, 0)))
    assert registry.totals == Totals(100, 99, 0)


def test_successor_knows_what_the_supervisor_knows() -> None:
    registry = CounterRegistry()
    registry.know(know(Totals(5, 5, 5), known(3, Totals(1, 1, 1))))
    registry.apply(report(0, 2, 7, Totals(4, 4, 4)))  # late, of a generation in the sum
    registry.apply(report(0, 3, 9, Totals(2, 2, 2)))
    assert registry.totals == Totals(7, 7, 7)
    assert registry.lifecycle.starts == 1


def test_nothing_goes_down_when_the_supervisor_knows_less() -> None:
    registry = CounterRegistry()
    registry.apply(report(0, 1, 1, Totals(3, 3, 3)))
    registry.know(know(Totals(), known(1, Totals(2, 2, 2))))
    assert registry.totals == Totals(3, 3, 3)


def test_what_is_reported_after_the_supervisor_spoke_is_counted_once() -> None:
    registry = CounterRegistry()
    registry.apply(report(0, 1, 1, Totals(0, 100, 0)))
    registry.know(know(Totals(), known(1, Totals(0, 60, 0))))
    registry.apply(report(0, 1, 2, Totals(0, 150, 0)))
    assert registry.totals == Totals(0, 150, 0)


def test_older_lifecycle_counts_are_ignored() -> None:
    registry = CounterRegistry()
    registry.apply(LifecycleReport(2, LifecycleCounts(starts=1, reconnects={"t": 0})))
    registry.apply(LifecycleReport(1, LifecycleCounts()))
    assert registry.lifecycle.starts == 1
    assert registry.tunnel_id == "t"


def test_tunnels_are_counted_apart_and_the_latest_is_the_present_one() -> None:
    registry = CounterRegistry()
    registry.apply(StreamDelta("a", 0, 1, 1, Totals(), Totals(1, 1, 1)))
    registry.apply(LifecycleReport(1, LifecycleCounts(reconnects={"a": 2, "b": 0})))
    assert (registry.tunnel_id, registry.totals) == ("b", Totals())
    registry.apply(StreamDelta("b", 0, 2, 1, Totals(), Totals(2, 2, 2)))
    registry.apply(StreamDelta("a", 0, 1, 2, Totals(), Totals(3, 3, 3)))
    assert {name: tunnel.tally.totals.streams for name, tunnel in registry.tunnels.items()} == {"a": 3, "b": 2}


def test_number_of_tunnels_is_bounded() -> None:
    registry = CounterRegistry()
    for number in range(3 * KEPT_TUNNELS):
        registry.apply(StreamDelta(f"t{number}", 0, 1, 1, Totals(), Totals()))
    assert len(registry.tunnels) == KEPT_TUNNELS


def test_any_order_of_losses_and_repeats_ends_in_the_workers_totals() -> None:
    rng = random.Random(7)
    for _ in range(200):
        registry = CounterRegistry()
        truth = Totals()
        reports: list[StreamDelta] = []
        for generation in range(1, 5):
            ledger = Ledger(tunnel_id="t", slot=0, generation=generation)
            for _ in range(5):
                ledger.received(rng.randrange(100))
                draft = ledger.draft(Gauges())
                if rng.random() < 0.7:
                    ledger.taken(draft)
                    reports += [draft] * rng.choice((0, 1, 2))
            last = ledger.draft(Gauges())
            ledger.taken(last)
            reports.append(last)
            truth += ledger.totals
        previous = Totals()
        for one in reports:
            registry.apply(one)
            assert registry.totals.bytes_in >= previous.bytes_in
            previous = registry.totals
        assert registry.totals == truth


def test_lost_reports_show_as_gaps() -> None:
    registry = CounterRegistry()
    for sequence in (5, 6, 9, 9, 7, 10):  # the first is no gap: who was told of it is gone
        registry.apply(report(0, 1, sequence, Totals()))
    assert registry.tunnels["t"].gaps == 2


def test_gauges_are_those_of_the_generation_that_is_up() -> None:
    registry = CounterRegistry()
    for generation in (2, 1):
        gauges = Gauges(streams_in_flight=generation, rtt=0.1)
        registry.apply(StreamDelta("t", 0, generation, 1, Totals(), Totals(), gauges=gauges))
    tunnel = registry.tunnels["t"]
    assert tunnel.gauges(Connected(0, 2)).streams_in_flight == 2
    assert tunnel.gauges(Connected(0, 3)) == tunnel.gauges(Connected(1, 1)) == Gauges()


def test_details_add_up_over_generations_and_survive_a_new_actor() -> None:
    ledgers = [Ledger(tunnel_id="t", slot=0, generation=generation) for generation in (1, 2)]
    for ledger in ledgers:
        ledger.answered(0.02)
        ledger.request_ended(200, 0.3)
        ledger.request_ended(None, 700.0)
    registry = CounterRegistry()
    registry.know(
        KnownCounts(
            [TunnelTally("t", ledgers[0].tally, [GenerationTally(0, 2, ledgers[1].tally)])], LifecycleCounts(), 0
        )
    )
    registry.apply(ledgers[1].draft(Gauges()))
    details = registry.tally.details
    assert details.responses == {"2xx": 2, "none": 2}
    assert (details.duration.count, details.duration.buckets[-1], details.first_byte.count) == (4, 2, 2)
    assert details.duration.seconds == 2 * 700.3
