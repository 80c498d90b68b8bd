"""What was counted. Pure.

Each generation of a worker slot reports running totals under rising sequence numbers. What is kept is the latest of
each, and a counter is their sum: a report that is lost is made good by the next, and one that comes twice changes
nothing.
"""

from collections.abc import Iterable

from actors.messages import GenerationTotals, LifecycleCounts, LifecycleReport, Report, StreamDelta, Totals


class CounterRegistry:
    """The counters of one tunnel."""

    def __init__(
        self,
        *,
        tunnel_id: str | None = None,
        lifecycle: LifecycleCounts | None = None,
        lifecycle_sequence: int = 0,
        generations: Iterable[GenerationTotals] = (),
    ) -> None:
        self.tunnel_id = tunnel_id
        self.lifecycle = lifecycle or LifecycleCounts()
        self._lifecycle_sequence = lifecycle_sequence
        self._totals: dict[tuple[int, int], Totals] = {}
        self._sequences: dict[tuple[int, int], int] = {}
        self.settle(generations)

    def apply(self, report: Report) -> None:
        """Take a report; one that is older than what is known changes nothing."""
        match report:
            case StreamDelta():
                key = (report.slot, report.generation)
                if report.sequence > self._sequences.get(key, 0):
                    self._sequences[key] = report.sequence
                    self._raise(key, report.totals)
                    self.tunnel_id = report.tunnel_id
            case LifecycleReport():
                self.set_lifecycle(report.counts, report.sequence)
                self.tunnel_id = report.tunnel_id or self.tunnel_id

    def set_lifecycle(self, counts: LifecycleCounts, sequence: int) -> None:
        """The supervisor's counts, unless newer ones are known."""
        if sequence >= self._lifecycle_sequence:
            self.lifecycle, self._lifecycle_sequence = counts, sequence

    def settle(self, generations: Iterable[GenerationTotals]) -> None:
        """Totals known from elsewhere (heartbeats to the supervisor); none goes down by it."""
        for entry in generations:
            self._raise((entry.slot, entry.generation), entry.totals)

    def _raise(self, key: tuple[int, int], totals: Totals) -> None:
        known = self._totals.get(key, Totals())
        self._totals[key] = Totals(
            streams=max(known.streams, totals.streams),
            bytes_in=max(known.bytes_in, totals.bytes_in),
            bytes_out=max(known.bytes_out, totals.bytes_out),
        )

    @property
    def totals(self) -> Totals:
        """The sum over all generations of all slots."""
        return sum(self._totals.values(), Totals())

    def generations(self) -> list[GenerationTotals]:
        """All that is known, a generation an entry."""
        return [GenerationTotals(slot, generation, totals) for (slot, generation), totals in self._totals.items()]
