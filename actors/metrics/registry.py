"""What was counted. Pure.

Each generation of a worker slot reports running totals under rising sequence numbers. What is kept is the latest of
each, and a counter is their sum: a report that is lost is made good by the next, and one that comes twice changes
nothing.
"""

from collections.abc import Iterable
from typing import Final

from actors.messages import (
    GenerationTotals,
    Know,
    LifecycleCounts,
    LifecycleReport,
    Report,
    StreamDelta,
    Totals,
)

KEPT_GENERATIONS: Final = 8
"""Generations of a slot that are kept apart, for reports that come late; older ones are folded into one sum."""


class CounterRegistry:
    """The counters of one tunnel."""

    def __init__(self) -> None:
        self.tunnel_id: str | None = None
        self.lifecycle = LifecycleCounts()
        self._lifecycle_sequence = -1
        self._folded = Totals()
        self._slots: dict[int, dict[int, tuple[int, Totals]]] = {}
        """Slot → generation → latest sequence number and totals."""
        self._oldest: dict[int, int] = {}
        """Slot → the oldest generation that is not folded yet."""

    def apply(self, report: Report) -> None:
        """Take a report; one that is older than what is known changes nothing."""
        match report:
            case StreamDelta():
                self._apply_delta(report)
            case LifecycleReport():
                self._set_lifecycle(report.counts, report.sequence)
        self.tunnel_id = report.tunnel_id or self.tunnel_id

    def _apply_delta(self, report: StreamDelta) -> None:
        if report.generation < self._oldest.get(report.slot, 0):
            return
        generations = self._slots.setdefault(report.slot, {})
        sequence, totals = generations.get(report.generation, (0, Totals()))
        if report.sequence > sequence:
            generations[report.generation] = (report.sequence, _highest(totals, report.totals))
        if len(generations) > KEPT_GENERATIONS:
            oldest = min(generations)
            self._folded += generations.pop(oldest)[1]
            self._oldest[report.slot] = oldest + 1

    def _set_lifecycle(self, counts: LifecycleCounts, sequence: int) -> None:
        if sequence > self._lifecycle_sequence:
            self.lifecycle, self._lifecycle_sequence = counts, sequence

    def know(self, known: Know) -> None:
        """Take over all that the supervisor knows. No counter goes down by it, and nothing is counted twice."""
        newest = {entry.slot: entry.generation for entry in known.current}
        ended = self._folded
        kept: dict[int, dict[int, tuple[int, Totals]]] = {}
        for slot, generations in self._slots.items():
            for generation, (sequence, totals) in generations.items():
                if generation < newest.get(slot, 0):
                    ended += totals
                else:
                    kept.setdefault(slot, {})[generation] = (sequence, totals)
        # Either of the two can know more: of ended generations in their sum, of the newest ones each for itself.
        self._folded = _highest(known.ended, ended)
        self._slots = kept
        for entry in known.current:
            sequence, totals = kept.setdefault(entry.slot, {}).get(entry.generation, (0, Totals()))
            kept[entry.slot][entry.generation] = (sequence, _highest(totals, entry.totals))
            self._oldest[entry.slot] = entry.generation
        self._set_lifecycle(known.lifecycle, known.lifecycle_sequence)
        self.tunnel_id = known.tunnel_id or self.tunnel_id

    @property
    def totals(self) -> Totals:
        """The sum over all generations of all slots."""
        entries = (totals for generations in self._slots.values() for _, totals in generations.values())
        return sum(entries, self._folded)

    def generations(self) -> Iterable[GenerationTotals]:
        """Those that are kept apart."""
        for slot, generations in self._slots.items():
            for generation, (_, totals) in generations.items():
                yield GenerationTotals(slot, generation, totals)


def _highest(one: Totals, other: Totals) -> Totals:
    return Totals(
        streams=max(one.streams, other.streams),
        bytes_in=max(one.bytes_in, other.bytes_in),
        bytes_out=max(one.bytes_out, other.bytes_out),
    )
