"""What was counted. Pure.

Each generation of a worker slot reports running totals under rising sequence numbers. What is kept is the latest of
each, and a counter is their sum: a report that is lost is made good by the next, and one that comes twice changes
nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from actors.bus.messages import GenerationTally, KnownCounts, LifecycleReport, Report, StreamDelta, TunnelTally
from actors.bus.tally import Connected, Gauges, LifecycleCounts, Tally, Totals

KEPT_GENERATIONS: Final = 8
"""Generations of a slot that are kept apart, for reports that come late; older ones are folded into one sum."""

KEPT_TUNNELS: Final = 16
"""Tunnels that are kept; reports can name any number."""


class TunnelCounters:
    """The counters of one tunnel's connections."""

    def __init__(self) -> None:
        self._folded = Tally()
        self._slots: dict[int, dict[int, tuple[int, Tally]]] = {}
        """Slot → generation → latest sequence number and tally."""
        self._oldest: dict[int, int] = {}
        """Slot → the oldest generation that is not folded yet."""
        self._gauges: dict[int, tuple[int, Gauges]] = {}
        """Slot → its newest generation that reported, and what it said last."""
        self.gaps = 0
        """Reports that never came, as the sequence numbers show."""

    def apply(self, report: StreamDelta) -> None:
        """Take a report; one that is older than what is known changes nothing."""
        if report.generation < self._oldest.get(report.slot, 0):
            return
        generations = self._slots.setdefault(report.slot, {})
        sequence, tally = generations.get(report.generation, (0, Tally()))
        if report.sequence > sequence:
            if sequence:
                self.gaps += report.sequence - sequence - 1
            generations[report.generation] = (report.sequence, tally.highest(report.tally))
            if report.generation >= self._gauges.get(report.slot, (0, None))[0]:
                self._gauges[report.slot] = (report.generation, report.gauges)
        if len(generations) > KEPT_GENERATIONS:
            oldest = min(generations)
            self._folded += generations.pop(oldest)[1]
            self._oldest[report.slot] = oldest + 1

    def know(self, known: TunnelTally) -> None:
        """Merge what the supervisor knows. No counter goes down, and nothing is counted twice."""
        newest = {entry.slot: entry.generation for entry in known.current}
        ended = self._folded
        kept: dict[int, dict[int, tuple[int, Tally]]] = {}
        for slot, generations in self._slots.items():
            for generation, (sequence, tally) in generations.items():
                if generation < newest.get(slot, 0):
                    ended += tally
                else:
                    kept.setdefault(slot, {})[generation] = (sequence, tally)
        # Both sides may be ahead: take the larger sum of ended generations, and the larger tally of each newest one.
        self._folded = known.ended.highest(ended)
        self._slots = kept
        for entry in known.current:
            sequence, tally = kept.setdefault(entry.slot, {}).get(entry.generation, (0, Tally()))
            kept[entry.slot][entry.generation] = (sequence, tally.highest(entry.tally))
            self._oldest[entry.slot] = entry.generation

    @property
    def tally(self) -> Tally:
        """The sum over all generations of all slots."""
        entries = (tally for generations in self._slots.values() for _, tally in generations.values())
        return sum(entries, self._folded)

    def gauges(self, connected: Connected) -> Gauges:
        """How a connection is doing; nothing is known of one that has not reported yet."""
        generation, gauges = self._gauges.get(connected.slot, (0, Gauges()))
        return gauges if generation == connected.generation else Gauges()

    def generations(self) -> Iterable[GenerationTally]:
        """Those that are kept apart."""
        for slot, generations in self._slots.items():
            for generation, (_, tally) in generations.items():
                yield GenerationTally(slot, generation, tally)


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

    def know(self, known: KnownCounts) -> None:
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
        return self.tally.totals

    @property
    def tally(self) -> Tally:
        """All that was counted of the present tunnel."""
        present = self._tunnels.get(self.tunnel_id)
        return present.tally if present is not None else Tally()
