"""Prometheus text."""

from prometheus_client.parser import text_string_to_metric_families

from actors.bus.messages import LifecycleReport, StreamDelta
from actors.bus.tally import Connected, Gauges, LifecycleCounts, Totals
from actors.errors import START_FAILURE_REASONS
from actors.exchange.ledger import Ledger
from actors.metrics.exposition import MAX_REASONS, cap_reasons, exposition, snapshot
from actors.metrics.registry import CounterRegistry

NAMES = {
    "tunnel_starts",
    "tunnel_starts_failed",
    "tunnel_shutdowns",
    "tunnel_streams",
    "tunnel_bytes_in",
    "tunnel_bytes_out",
    "tunnel_reconnects",
}
"""As prometheus_client names counters: without _total."""


def registry() -> CounterRegistry:
    made = CounterRegistry()
    made.apply(LifecycleReport(1, LifecycleCounts(starts=1, starts_failed={"api": 2}, reconnects={'a"b\\': 3})))
    made.apply(StreamDelta('a"b\\', 0, 1, 1, Totals(), Totals(4, 5, 6)))
    return made


def samples_of(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels → value, as another parser reads it."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_seven_are_there_from_the_start() -> None:
    parsed = list(text_string_to_metric_families(exposition(CounterRegistry())))
    assert all(family.documentation and family.type != "unknown" for family in parsed)
    assert {family.name for family in parsed if family.type == "counter"} >= NAMES


def test_those_beyond_the_seven() -> None:
    made = registry()
    ledger = Ledger(tunnel_id="t", slot=0, generation=1)
    ledger.answered(0.2)
    ledger.request_ended(404, 3.0)
    ledger.packets_lost = 7
    made.apply(ledger.draft(Gauges(streams_in_flight=2, rtt=0.03)))
    counts = LifecycleCounts(
        reconnects={"t": 0},
        registrations=2,
        connection_failures={"crashed": 1},
        actor_restarts={"metrics": 3},
        connected=[Connected(0, 1), Connected(1, 1)],
        started_at=1_000_000.5,
    )
    made.apply(LifecycleReport(2, counts))
    samples = samples_of(exposition(made))
    tunnel = (("tunnel_id", "t"),)
    slot = (*tunnel, ("slot", "0"))
    assert samples[("tunnel_connections", ())] == 2
    assert samples[("tunnel_registrations_total", ())] == 2
    assert samples[("tunnel_connection_failures_total", (("reason", "crashed"),))] == 1
    assert samples[("tunnel_actor_restarts_total", (("actor", "metrics"),))] == 3
    assert samples[("tunnel_streams_in_flight", slot)] == 2
    assert samples[("tunnel_rtt_seconds", slot)] == 0.03
    assert samples[("tunnel_packets_lost_total", tunnel)] == 7
    assert samples[("tunnel_requests_total", (*tunnel, ("status", "4xx")))] == 1
    assert samples[("tunnel_request_duration_seconds_bucket", (*tunnel, ("le", "2.5")))] == 0
    assert samples[("tunnel_request_duration_seconds_bucket", (*tunnel, ("le", "5")))] == 1
    assert samples[("tunnel_request_duration_seconds_bucket", (*tunnel, ("le", "+Inf")))] == 1
    assert samples[("tunnel_request_duration_seconds_sum", tunnel)] == 3.0
    assert samples[("tunnel_request_first_byte_seconds_count", tunnel)] == 1
    assert samples[("process_start_time_seconds", ())] == 1_000_000.5


def test_values_and_labels_survive_another_parser() -> None:
    samples = samples_of(exposition(registry()))
    tunnel = (("tunnel_id", 'a"b\\'),)
    assert samples[("tunnel_starts_total", ())] == 1
    assert samples[("tunnel_starts_failed_total", (("reason", "api"),))] == 2
    assert samples[("tunnel_streams_total", tunnel)] == 4
    assert samples[("tunnel_bytes_in_total", tunnel)] == 5
    assert samples[("tunnel_bytes_out_total", tunnel)] == 6
    assert samples[("tunnel_reconnects_total", tunnel)] == 3


def test_reasons_are_capped() -> None:
    capped = cap_reasons({f"reason{number}": 1 for number in range(40)} | {"api": 7}, START_FAILURE_REASONS)
    assert len(capped) == MAX_REASONS
    assert capped["api"] == 7
    assert sum(capped.values()) == 47
    assert capped["other"] == 40 - (MAX_REASONS - len(START_FAILURE_REASONS) - 1)


def test_snapshot() -> None:
    told = snapshot(registry())
    present = told["tunnels"][told["tunnel_id"]]
    assert present["totals"] == {"streams": 4, "bytes_in": 5, "bytes_out": 6}
    assert present["reconnects"] == 3
