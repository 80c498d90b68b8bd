"""docs/metrics.md: all metrics, made from what the metrics actor renders.

.venv/bin/python -m actors.tools.metrics_reference > docs/metrics.md
"""

from typing import Final

from actors.bus.messages import LifecycleReport, StreamDelta
from actors.bus.tally import Connected, Gauges, LifecycleCounts, Totals
from actors.metrics.exposition import families, further_families
from actors.metrics.prometheus import Family
from actors.metrics.registry import CounterRegistry

_HEAD: Final = """# Metrics

Made from `actors/metrics/exposition.py` by `.venv/bin/python -m actors.tools.metrics_reference > docs/metrics.md`.

Ask for them over HTTP (`--metrics-http`), with `bin/tunnel-metrics`, or at the metrics socket (REQ, `prometheus`). The
first seven are a promise. All counters but that of the gaps go on over a restart of the metrics actor.
"""


def _example() -> CounterRegistry:
    """One with a sample of everything, since labels show in samples only."""
    registry = CounterRegistry()
    registry.apply(LifecycleReport(1, LifecycleCounts(reconnects={"t": 0}, connected=[Connected(0, 1)])))
    registry.apply(StreamDelta("t", 0, 1, 1, Totals(), Totals(), gauges=Gauges(1, 0.1)))
    return registry


def markdown() -> str:
    """The document."""
    registry = _example()
    rows = [_row(family) for family in (*families(registry.lifecycle, {"t": Totals()}), *further_families(registry))]
    return "\n".join([_HEAD, "| metric | type | labels | |", "|---|---|---|---|", *rows, ""])


def _row(family: Family) -> str:
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return f"| `{family.name}` | {family.type} | {', '.join(f'`{label}`' for label in labels)} | {family.help} |"


if __name__ == "__main__":
    print(markdown(), end="")
