"""What was counted. Pure.

Each generation of a worker slot reports running totals under rising sequence numbers. What is kept is the latest of
each, and a counter is their sum: a report that is lost is made good by the next, and one that comes twice changes
nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from actors.messages import (
    GenerationTotals,
    Know,
    LifecycleCounts,
    LifecycleReport,
    Report,
    StreamDelta,
    Totals,
    TunnelTotals,
)

KEPT_GENERATIONS: Final = 8
"""Generations of a slot that are kept apart, for reports that come late; older ones are folded into one sum."""

KEPT_TUNNELS: Final = 16
"""Tunnels that are kept; reports can name any number."""


class TunnelCounters:
    """The counters of one tunnel's connections."""

    def __init__(self) -> None:
        self._folded = Totals()
        self._slots: dict[int, dict[int, tuple[int, Totals]]] = {}
        """Slot → generation → latest sequence number and totals."""
        self._oldest: dict[int, int] = {}
        """Slot → the oldest generation that is not folded yet."""

    def apply(self, report: StreamDelta) -> None:
        """Take a report; one that is older than what is known changes nothing."""
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

    def know(self, known: TunnelTotals) -> None:
        """Take over what the supervisor knows. No counter goes down by it, and nothing is counted twice."""
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


class CounterRegistry:
    """The counters of one supervisor and its tunnels: one, or with `--renew` one after the other."""

    def __init__(self) -> None:
        self.lifecycle = LifecycleCounts()
        self._lifecycle_sequence = -1
        self._tunnels: dict[str, TunnelCounters] = {}

    def apply(self, report: Report) -> None:
        """Take a report."""
        match report:
            case StreamDelta():
                self._tunnel(report.tunnel_id).apply(report)
            case LifecycleReport():
                self._set_lifecycle(report.counts, report.sequence)

    def know(self, known: Know) -> None:
        """Take over all that the supervisor knows."""
        for tunnel in known.tunnels:
            self._tunnel(tunnel.tunnel_id).know(tunnel)
        self._set_lifecycle(known.lifecycle, known.lifecycle_sequence)

    def _tunnel(self, tunnel_id: str) -> TunnelCounters:
        if tunnel_id not in self._tunnels and len(self._tunnels) >= KEPT_TUNNELS:
            del self._tunnels[next(iter(self._tunnels))]
        return self._tunnels.setdefault(tunnel_id, TunnelCounters())

    def _set_lifecycle(self, counts: LifecycleCounts, sequence: int) -> None:
        if sequence <= self._lifecycle_sequence:
            return
        self.lifecycle, self._lifecycle_sequence = counts, sequence
        for tunnel_id in counts.reconnects:
            self._tunnel(tunnel_id)

    @property
    def tunnels(self) -> Mapping[str, TunnelCounters]:
        """All that are known, by id."""
        return self._tunnels

    @property
    def tunnel_id(self) -> str:
        """The present tunnel's; empty while there is none."""
        return next(reversed(self.lifecycle.reconnects or self._tunnels), "")

    @property
    def totals(self) -> Totals:
        """What passed on the present tunnel."""
        present = self._tunnels.get(self.tunnel_id)
        return present.totals if present is not None else Totals()


def _highest(one: Totals, other: Totals) -> Totals:
    return Totals(
        streams=max(one.streams, other.streams),
        bytes_in=max(one.bytes_in, other.bytes_in),
        bytes_out=max(one.bytes_out, other.bytes_out),
    )
