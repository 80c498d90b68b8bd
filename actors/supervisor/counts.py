"""What the supervisor itself counts, and what it remembers of its workers' counts. Pure.

Counterpart: `actors.metrics.registry`. That one can be lost at any moment; this one tells its successor all there is.
"""

from typing import Final

import msgspec

from actors.bus.events import (
    ActorRestarted,
    ConfigurationApplied,
    ConfigurationRefused,
    Connecting,
    ConnectionEnded,
    ConnectionRefused,
    EngineChanged,
    Event,
    OriginReachable,
    OriginUnreachable,
    Registered,
    StateChanged,
    Unregistered,
)
from actors.bus.messages import GenerationTally, KnownCounts, LifecycleReport, TunnelTally
from actors.bus.tally import Connected, LifecycleCounts, Tally, Totals, add
from actors.quic_worker.ends import WorkerEnd

KEPT_TUNNELS: Final = 16
"""Tunnels that are remembered; a tunnel is replaced only with `--renew`, when the service drops it."""


class TunnelCounts:
    """The counts of one tunnel's workers."""

    def __init__(self, tunnel_id: str) -> None:
        self.tunnel_id = tunnel_id
        self._current: dict[tuple[int, int], GenerationTally] = {}
        """The newest generation of each slot and all that live, with the last tally that each told."""
        self._gone: set[tuple[int, int]] = set()
        """Those of them that have ended."""
        self._ended = Tally()
        """The sum of all other generations."""

    def spawned(self, slot: int, generation: int) -> None:
        """A worker begins. An earlier one of its slot may still live."""
        self._current[slot, generation] = GenerationTally(slot, generation, Tally())
        self._fold(slot)

    def note(self, slot: int, generation: int, tally: Tally) -> None:
        """A worker told its tally. The word of one that has ended changes nothing: its last one came before."""
        if (slot, generation) in self._current and (slot, generation) not in self._gone:
            self._current[slot, generation] = GenerationTally(slot, generation, tally)

    def gone(self, slot: int, generation: int) -> None:
        """A worker has ended, and has said all that it had to say."""
        if (slot, generation) in self._current:
            self._gone.add((slot, generation))
            self._fold(slot)

    def _fold(self, slot: int) -> None:
        """Add up those that have ended; the newest one stays apart, for reports of it that come late."""
        newest = max(generation for each, generation in self._current if each == slot)
        for worker in [worker for worker in self._gone if worker[0] == slot and worker[1] < newest]:
            self._gone.discard(worker)
            self._ended += self._current.pop(worker).tally

    @property
    def totals(self) -> Totals:
        """The sum over all generations of all slots."""
        return sum((entry.tally.totals for entry in self._current.values()), self._ended.totals)

    def knowledge(self) -> TunnelTally:
        """All of it."""
        return TunnelTally(self.tunnel_id, self._ended, list(self._current.values()))


class Counts:
    """The counts of one supervisor."""

    def __init__(self, started_at: float = 0.0, quic_engine: str = "") -> None:
        """`started_at`: Unix time of the supervisor's start. `quic_engine`: what workers run at first."""
        self.lifecycle = LifecycleCounts(started_at=started_at, quic_engine=quic_engine)
        self._tunnels: list[TunnelCounts] = []
        self._sequence = 0
        self._reported = 0

    # --- the tunnel as a whole ---

    def started(self) -> None:
        """Count a start that succeeded."""
        self._change(starts=self.lifecycle.starts + 1)

    def start_failed(self, reason: str) -> None:
        """Count a start that failed."""
        failed = self.lifecycle.starts_failed
        self._change(starts_failed=failed | {reason: failed.get(reason, 0) + 1})

    def stop_asked(self) -> None:
        """Count a stop that was asked for."""
        self._change(shutdowns=self.lifecycle.shutdowns + 1)

    def assigned(self, tunnel_id: str) -> None:
        """Begin to count for a tunnel: the first one, or one that replaces it (`--renew`)."""
        self._tunnels = [*self._tunnels[-(KEPT_TUNNELS - 1) :], TunnelCounts(tunnel_id)]
        self.reconnected(0)

    def reconnected(self, total: int) -> None:
        """Set how many lost connections of the present tunnel have been replaced."""
        before = self.lifecycle.reconnects
        ids = [tunnel.tunnel_id for tunnel in self._tunnels]
        self._change(reconnects={name: before.get(name, 0) for name in ids} | {self.tunnel_id: total})

    def happened(self, event: Event) -> None:
        """Count an event, if it is of a kind that is counted."""
        before = self.lifecycle
        match event:
            case Registered(slot=slot):
                others = [connection for connection in before.connected if connection.slot != slot]
                connection = Connected(slot, event.generation, event.key_exchange, event.protocol)
                self._change(registrations=before.registrations + 1, connected=[*others, connection])
            case ConnectionEnded(slot=slot, generation=generation, reason=reason):
                failures = add(before.connection_failures, {reason: 1})
                self._change(connected=self._without(slot, generation), connection_failures=failures)
            case ConnectionRefused(slot=slot, generation=generation):
                failures = add(before.connection_failures, {WorkerEnd.REFUSED_FOR_GOOD: 1})
                self._change(connected=self._without(slot, generation), connection_failures=failures)
            case Connecting(generation=generation) if generation > 1:
                self._change(actor_restarts=add(before.actor_restarts, {"worker": 1}))
            case Unregistered(slot=slot, generation=generation):
                self._change(connected=self._without(slot, generation))
            case StateChanged(slots=slots, serves=serves):
                self._change(slots=slots, serves=serves)
            case OriginUnreachable() | OriginReachable():
                self._change(origin_reachable=isinstance(event, OriginReachable))
            case ConfigurationApplied(rules=rules, version=version):
                self._change(rules=rules, configuration_version=version)
            case ConfigurationRefused():
                self._change(configurations_refused=before.configurations_refused + 1)
            case EngineChanged(engine=engine):
                self._change(quic_engine=engine)
            case ActorRestarted(actor=actor):
                self._change(actor_restarts=add(before.actor_restarts, {actor: 1}))

    def _without(self, slot: int, generation: int) -> list[Connected]:
        """Those that are registered but this one; a slot's other generation may serve in its place already."""
        ended = (slot, generation)
        return [
            connection for connection in self.lifecycle.connected if (connection.slot, connection.generation) != ended
        ]

    def _change(self, **changes: object) -> None:
        self.lifecycle = msgspec.structs.replace(self.lifecycle, **changes)
        self._sequence += 1

    @property
    def tunnel_id(self) -> str:
        """The present tunnel's; empty while there is none."""
        return self._tunnels[-1].tunnel_id if self._tunnels else ""

    @property
    def reconnects(self) -> int:
        """Those of the present tunnel."""
        return self.lifecycle.reconnects.get(self.tunnel_id, 0)

    @property
    def key_exchanges(self) -> list[str]:
        """The key exchanges of the connections that are up, each once; over HTTP/2 none is told."""
        return sorted({connection.key_exchange for connection in self.lifecycle.connected} - {""})

    @property
    def protocols(self) -> list[str]:
        """What the connections that are up speak, each once."""
        return sorted({connection.protocol for connection in self.lifecycle.connected})

    @property
    def is_reported(self) -> bool:
        """Whether the metrics actor's socket took the latest counts."""
        return self._reported == self._sequence

    def report(self) -> LifecycleReport:
        """The report that is due."""
        return LifecycleReport(self._sequence, self.lifecycle)

    def taken(self, report: LifecycleReport) -> None:
        """The socket took `report`."""
        self._reported = report.sequence

    # --- the workers of the present tunnel ---

    def spawned(self, slot: int, generation: int) -> None:
        """A worker begins."""
        self._tunnels[-1].spawned(slot, generation)

    def note(self, slot: int, generation: int, tally: Tally) -> None:
        """A worker told its tally."""
        self._tunnels[-1].note(slot, generation, tally)

    def gone(self, slot: int, generation: int) -> None:
        """A worker has ended."""
        self._tunnels[-1].gone(slot, generation)

    @property
    def totals(self) -> Totals:
        """What passed on the present tunnel."""
        return self._tunnels[-1].totals if self._tunnels else Totals()

    def knowledge(self) -> KnownCounts:
        """Everything that a metrics actor needs to go on counting."""
        return KnownCounts([tunnel.knowledge() for tunnel in self._tunnels], self.lifecycle, self._sequence)
