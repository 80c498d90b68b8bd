"""What the supervisor itself counts, and what it remembers of its workers' counts. Pure.

Counterpart: `actors.metrics.registry`. That one can be lost at any moment; this one tells its successor all there is.
"""

import msgspec

from actors.messages import GenerationTotals, Know, LifecycleCounts, LifecycleReport, Totals


class Counts:
    """The counts of one tunnel, as far as the supervisor knows them."""

    def __init__(self) -> None:
        self.tunnel_id: str | None = None
        self.lifecycle = LifecycleCounts()
        self._sequence = 0
        self._reported = 0
        self._current: dict[int, GenerationTotals] = {}
        """The newest generation of each slot, with the last totals that it told."""
        self._ended = Totals()
        """The sum of all generations before those."""

    # --- the tunnel as a whole ---

    def started(self) -> None:
        """The tunnel came up."""
        self._change(starts=self.lifecycle.starts + 1)

    def start_failed(self, reason: str) -> None:
        """It did not."""
        failed = self.lifecycle.starts_failed
        self._change(starts_failed=failed | {reason: failed.get(reason, 0) + 1})

    def stop_asked(self) -> None:
        """Somebody wants it to end."""
        self._change(shutdowns=self.lifecycle.shutdowns + 1)

    def reconnected(self, total: int) -> None:
        """So many lost connections have been replaced by now."""
        self._change(reconnects=total)

    def assigned(self, tunnel_id: str) -> None:
        """The tunnel has an id from now on."""
        self.tunnel_id = tunnel_id
        self._change()

    def _change(self, **changes: object) -> None:
        self.lifecycle = msgspec.structs.replace(self.lifecycle, **changes)
        self._sequence += 1

    @property
    def is_reported(self) -> bool:
        """Whether the metrics actor's socket took the latest counts."""
        return self._reported == self._sequence

    def report(self) -> LifecycleReport:
        """The report that is due."""
        return LifecycleReport(self.tunnel_id, self._sequence, self.lifecycle)

    def taken(self, report: LifecycleReport) -> None:
        """The socket took `report`."""
        self._reported = report.sequence

    # --- the workers ---

    def note(self, slot: int, generation: int, totals: Totals) -> None:
        """A worker told its totals. A late word of an earlier generation changes nothing: its last one came before."""
        known = self._current.get(slot)
        if known is not None and generation < known.generation:
            return
        if known is not None and generation > known.generation:
            self._ended += known.totals
        self._current[slot] = GenerationTotals(slot, generation, totals)

    @property
    def totals(self) -> Totals:
        """The sum over all generations of all slots."""
        return sum((entry.totals for entry in self._current.values()), self._ended)

    def knowledge(self) -> Know:
        """All of it, for a metrics actor."""
        return Know(self.tunnel_id, self._ended, list(self._current.values()), self.lifecycle, self._sequence)
