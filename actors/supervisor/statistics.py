"""How the tunnel is doing, in numbers: for the event `stats`, and for the metrics actor."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from actors import __version__
from actors.bus import events, messages
from actors.bus.messages import Heartbeat
from actors.supervisor.bus_sockets import BusSockets
from actors.supervisor.children import Children, Name
from actors.supervisor.counts import Counts
from actors.supervisor.policy import Policy
from actors.supervisor.recount import Recount, Worker

STATS_INTERVAL: Final = 1.0
"""Seconds between `stats` events."""


class Statistics:
    """Joins what the workers say of themselves to what the supervisor knows."""

    def __init__(
        self,
        policy: Policy,
        counts: Counts,
        bus: BusSockets,
        announce: Callable[[events.Event], None],
        children: Children,
    ) -> None:
        """The policy is only read."""
        self._policy = policy
        self._counts = counts
        self._bus = bus
        self._announce = announce
        self._beats: dict[Worker, Heartbeat] = {}
        """The latest of each worker that lives."""
        self._recount = Recount(
            lambda worker, number: children.tell(Name("worker", *worker), messages.Recount(number)), self._say_stats
        )
        self.origin = ""
        """Where requests go."""
        self.origin_reachable: Callable[[], bool] = lambda: True

    # --- what workers say ---

    def heard(self, worker: Worker, beat: Heartbeat) -> None:
        """A worker told how it is doing."""
        self._beats[worker] = beat
        self._recount.heard(worker, beat.recount)

    def gone(self, worker: Worker) -> None:
        """A worker has ended."""
        self._beats.pop(worker, None)
        self._recount.gone(worker)

    @property
    def in_flight(self) -> int:
        """Requests that are running now."""
        return sum(beat.gauges.streams_in_flight for beat in self._beats.values())

    # --- who is told ---

    def recount(self, number: int) -> None:
        """Ask all workers; a `stats` event with this number follows."""
        self._recount.begin(number, list(self._beats))

    def report(self) -> None:
        """Give the metrics actor the counts of the tunnel as a whole, when they have changed."""
        if not self._counts.is_reported and self._bus.report(report := self._counts.report()):
            self._counts.taken(report)

    async def keep_saying_stats(self) -> None:
        """Say them every second."""
        while True:
            self._say_stats()
            await asyncio.sleep(STATS_INTERVAL)

    def _say_stats(self) -> None:
        policy = self._policy
        self._announce(
            events.Stats(
                url=policy.url,
                tunnel_id=policy.tunnel_id,
                connections=policy.connections,
                slots=len(policy.slots),
                streams_in_flight=self.in_flight,
                totals=self._counts.totals,
                reconnects=policy.reconnects,
                rtt=min((beat.gauges.rtt for beat in self._beats.values() if beat.gauges.rtt), default=0.0),
                key_exchanges=self._counts.key_exchanges,
                protocols=self._counts.protocols,
                state=policy.state,
                serves=policy.serves,
                rules=policy.rules,
                configuration_version=self._counts.lifecycle.configuration_version,
                origin_reachable=self.origin_reachable(),
                origin=self.origin,
                pid=os.getpid(),
                version=__version__,
                recount=self._recount.answered,
            )
        )
