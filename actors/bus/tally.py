"""What is counted: by workers, supervisor and metrics actor alike, and passed between them. Pure.

    Totals           the three promised counters of a connection, or of several
    Details          what else a connection counts
    Tally            both
    Gauges           how a connection is doing right now
    LifecycleCounts  what happened to the tunnel as a whole

All are running totals: they only grow, sums of them are counters again, and of two that tell of the same worker the
higher one is the later one.
"""

import bisect
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Label = Annotated[str, msgspec.Meta(max_length=64)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
"""Upper bounds of the buckets of a histogram, in seconds: Prometheus' usual ones, and two for streams that last."""

NO_RESPONSE: Final = "none"
"""The status class of a request that ended without a response."""


class Message(msgspec.Struct, frozen=True):
    """What all messages have in common: nobody changes them."""


class Totals(Message, frozen=True):
    """What passed on one connection, or on several: request streams, and bytes of bodies and raw tunnels."""

    streams: Count = 0
    bytes_in: Count = 0
    """Edge → local."""
    bytes_out: Count = 0
    """Local → edge."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            streams=self.streams + other.streams,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
        )

    def __sub__(self, other: "Totals") -> "Totals":
        return Totals(
            streams=self.streams - other.streams,
            bytes_in=self.bytes_in - other.bytes_in,
            bytes_out=self.bytes_out - other.bytes_out,
        )

    def highest(self, other: "Totals") -> "Totals":
        """The later of two that tell of the same worker."""
        return Totals(
            streams=max(self.streams, other.streams),
            bytes_in=max(self.bytes_in, other.bytes_in),
            bytes_out=max(self.bytes_out, other.bytes_out),
        )


Buckets = Annotated[list[Count], msgspec.Meta(min_length=len(BOUNDS) + 1, max_length=len(BOUNDS) + 1)]


class Histogram(Message, frozen=True):
    """Durations, by bucket."""

    buckets: Buckets = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """How many were within each of `BOUNDS` and beyond the one before; the last: beyond all of them."""
    seconds: Seconds = 0.0
    """All of them together."""

    def __add__(self, other: "Histogram") -> "Histogram":
        buckets = [one + two for one, two in zip(self.buckets, other.buckets, strict=True)]
        return Histogram(buckets, self.seconds + other.seconds)

    def highest(self, other: "Histogram") -> "Histogram":
        """The later of two that tell of the same worker."""
        buckets = [max(pair) for pair in zip(self.buckets, other.buckets, strict=True)]
        return Histogram(buckets, max(self.seconds, other.seconds))

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


class HistogramMeter:
    """A histogram in the making."""

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Record one duration."""
        self._buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    @property
    def histogram(self) -> Histogram:
        """As it is now."""
        return Histogram(self._buckets.copy(), self._seconds)


class Details(Message, frozen=True):
    """What a connection counts beyond the three of `Totals`."""

    responses: dict[Label, Count] = {}
    """HTTP requests that have ended, by class of their status: `2xx`, …, and `NO_RESPONSE`."""
    duration: Histogram = Histogram()
    """From a request's head to the end of its exchange, both directions."""
    first_byte: Histogram = Histogram()
    """From a request's head to the head of the origin's response."""
    packets_sent: Count = 0
    """Packets of ours: QUIC's, or TCP's segments."""
    packets_lost: Count = 0
    """Those of them that count as lost."""
    reports_refused: Count = 0
    """Reports that the full queue to the metrics actor did not take; the next one made up for each."""
    refused: dict[Label, Count] = {}
    """Requests that the guard refused, by reason."""

    def __add__(self, other: "Details") -> "Details":
        return Details(
            responses=add(self.responses, other.responses),
            refused=add(self.refused, other.refused),
            duration=self.duration + other.duration,
            first_byte=self.first_byte + other.first_byte,
            packets_sent=self.packets_sent + other.packets_sent,
            packets_lost=self.packets_lost + other.packets_lost,
            reports_refused=self.reports_refused + other.reports_refused,
        )

    def highest(self, other: "Details") -> "Details":
        """The later of two that tell of the same worker."""
        return Details(
            responses=highest(self.responses, other.responses),
            refused=highest(self.refused, other.refused),
            duration=self.duration.highest(other.duration),
            first_byte=self.first_byte.highest(other.first_byte),
            packets_sent=max(self.packets_sent, other.packets_sent),
            packets_lost=max(self.packets_lost, other.packets_lost),
            reports_refused=max(self.reports_refused, other.reports_refused),
        )


class Tally(Message, frozen=True):
    """All that one connection counted, or several."""

    totals: Totals = Totals()
    details: Details = Details()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.totals + other.totals, self.details + other.details)

    def highest(self, other: "Tally") -> "Tally":
        """The later of two that tell of the same worker."""
        return Tally(self.totals.highest(other.totals), self.details.highest(other.details))


class Gauges(Message, frozen=True):
    """How a connection is doing right now."""

    streams_in_flight: Count = 0
    rtt: Seconds = 0.0
    """The smoothed round-trip time in seconds; 0 before the first sample."""


class Connected(Message, frozen=True):
    """A connection that is registered."""

    slot: Count
    generation: Count
    key_exchange: Label = ""
    protocol: Label = "quic"


class LifecycleCounts(Message, frozen=True):
    """What happened to the tunnel as a whole, since the supervisor started."""

    starts: Count = 0
    starts_failed: dict[Label, Count] = {}
    shutdowns: Count = 0
    reconnects: dict[Label, Count] = {}
    """By tunnel, the present one last: `--renew` replaces one that the service dropped."""
    registrations: Count = 0
    connection_failures: dict[Label, Count] = {}
    """Connections that ended unasked, by `WorkerEnd`, registered or not."""
    actor_restarts: dict[Label, Count] = {}
    """By actor, workers included."""
    connected: list[Connected] = []
    """Those that are registered now."""
    slots: Count = 0
    """Connections that are wanted, and not refused for good."""
    serves: bool = False
    """Whether a visitor gets an answer now, if only that the origin is down."""
    origin_reachable: bool = True
    quic_engine: Label = ""
    """What connections that are made from now on use."""
    rules: Count = 1
    """In force."""
    configuration_version: int = -1
    """Of the rules that the service pushed; -1: none was."""
    configurations_refused: Count = 0
    """Pushed ones that could not be kept to."""
    started_at: Seconds = 0.0
    """When the supervisor started: Unix time."""


def add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The sums, name by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The higher counts, name by name."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
