"""What was counted. Pure.

Each generation of a worker slot reports running totals under rising sequence numbers. What is kept is the latest of
each, and a counter is their sum: a report that is lost is made good by the next, and one that comes twice changes
nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from actors.bus.messages import GenerationTally, KnownCounts, LifecycleReport, Report, StreamDelta, TunnelTally
from actors.bus.tally import Connected, Gauges, LifecycleCounts, Tally, Totals

KEPT_GENERATIONS: Final = 8
"""Generations of a slot that are kept apart, for reports that come late; of more, the one that has said nothing for the
longest time is folded into one sum."""

KEPT_TUNNELS: Final = 16
"""Tunnels that are kept; reports can name any number."""


class _Generation(NamedTuple):
    """What one worker said last."""

    sequence: int = 0
    tally: Tally = Tally()
    gauges: Gauges = Gauges()


class TunnelCounters:
    """The counters of one tunnel's connections."""

    def __init__(self) -> None:
        self._folded = Tally()
        """The sum of the closed generations, which are not kept apart any more."""
        self._slots: dict[int, dict[int, _Generation]] = {}
        """Slot → generation → what it said; the one that reported last comes last."""
        self._closed: dict[int, set[int]] = {}
        """Slot → its closed generations, as far as they are not below `_open_from`."""
        self._open_from: dict[int, int] = {}
        """Slot → the generation below which all are closed."""
        self.gaps = 0
        """Reports that never came, as the sequence numbers show."""

    def apply(self, report: StreamDelta) -> None:
        """Take a report; one that is older than what is known changes nothing."""
        slot, generation = report.slot, report.generation
        if generation < self._open_from.get(slot, 0) or generation in self._closed.get(slot, ()):
            return
        generations = self._slots.setdefault(slot, {})
        known = generations.pop(generation, _Generation())
        if report.sequence > known.sequence:
            if known.sequence:
                self.gaps += report.sequence - known.sequence - 1
            known = _Generation(report.sequence, known.tally.highest(report.tally), report.gauges)
        generations[generation] = known
        if len(generations) > KEPT_GENERATIONS:
            quietest = next(iter(generations))  # every worker that lives reports each second
            self._folded += generations.pop(quietest).tally
            self._close(slot, {quietest})

    def _close(self, slot: int, generations: set[int]) -> None:
        closed = self._closed.setdefault(slot, set())
        closed |= generations
        first = self._open_from.get(slot, 1)
        while first in closed:
            closed.remove(first)
            first += 1
        self._open_from[slot] = first

    def know(self, known: TunnelTally) -> None:
        """Merge what the supervisor knows. No counter goes down, and nothing is counted twice."""
        current = {(entry.slot, entry.generation): entry.tally for entry in known.current}
        newest = dict(sorted(current))  # the highest of a slot comes last
        ended = self._folded
        kept: dict[int, dict[int, _Generation]] = {}
        for slot, generations in self._slots.items():
            for generation, said in generations.items():
                if generation < newest.get(slot, 0) and (slot, generation) not in current:
                    ended += said.tally
                else:
                    kept.setdefault(slot, {})[generation] = said
        # Both sides may be ahead: take the larger sum of ended generations, and the larger tally of each current one.
        self._folded = known.ended.highest(ended)
        self._slots = kept
        for (slot, generation), tally in current.items():
            said = kept.setdefault(slot, {}).get(generation, _Generation())
            kept[slot][generation] = said._replace(tally=said.tally.highest(tally))
        for slot, last in newest.items():
            first = self._open_from.get(slot, 1)
            self._close(slot, {number for number in range(first, last) if (slot, number) not in current})

    @property
    def tally(self) -> Tally:
        """The sum over all generations of all slots."""
        said = (said.tally for generations in self._slots.values() for said in generations.values())
        return sum(said, self._folded)

    def gauges(self, connected: Connected) -> Gauges:
        """How a connection is doing; nothing is known of one that has not reported yet."""
        return self._slots.get(connected.slot, {}).get(connected.generation, _Generation()).gauges

    def generations(self) -> Iterable[GenerationTally]:
        """Those that are kept apart."""
        for slot, generations in self._slots.items():
            for generation, said in generations.items():
                yield GenerationTally(slot, generation, said.tally)


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
