"""Delivery rate (section 4.1 of the draft): how fast the path delivered, as each acknowledgement tells. Pure.

When a packet leaves, it is stamped with what had been delivered by then. When it is acknowledged, what was delivered
since, over the time since, is a sample of the rate; the longer of sending and acknowledging time, since neither a burst
of acknowledgements nor a burst of packets may be taken for bandwidth. A sample from a time when the application had
nothing to send says nothing about the path's limit, and is marked.
"""

import math
from typing import NamedTuple


class SentPacket:
    """What is remembered of a packet in flight."""

    __slots__ = (
        "delivered",
        "delivered_at",
        "first_sent_at",
        "is_app_limited",
        "lost",
        "sent_at",
        "size",
        "tx_in_flight",
    )

    def __init__(self, size: int, sent_at: float) -> None:
        self.size = size
        self.sent_at = sent_at
        self.delivered = 0
        """Bytes delivered in all when it left."""
        self.delivered_at = 0.0
        self.first_sent_at = 0.0
        self.is_app_limited = False
        self.tx_in_flight = 0
        """Bytes in flight when it left, itself included."""
        self.lost = 0
        """Bytes lost in all when it left."""


class RateSample(NamedTuple):
    """What one acknowledgement, of one packet or of many, tells."""

    delivery_rate: float
    """Bytes a second; 0 if it tells none."""
    is_app_limited: bool
    delivered: int
    """Bytes delivered since the newest of these packets left."""
    prior_delivered: int
    """Bytes delivered in all when it left."""
    newly_acked: int
    """Bytes that this acknowledges."""
    lost: int
    """Bytes lost since it left."""
    tx_in_flight: int
    """Bytes in flight when it left."""
    rtt: float
    """Seconds."""


class DeliveryRate:
    """The connection's own side of it."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.delivered = 0
        self.lost = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._app_limited_until = 0
        """`delivered` at which the last application-limited packet will be acknowledged; 0: not limited."""
        self._newest: SentPacket | None = None
        """The packet that left last of those acknowledged since the last sample."""
        self._newly_acked = 0

    @property
    def is_app_limited(self) -> bool:
        """Whether there was nothing to send a moment ago."""
        return self._app_limited_until > 0

    def mark_app_limited(self) -> None:
        """There is room, and nothing to send: what is in flight says nothing about the path's limit."""
        self._app_limited_until = self.delivered + self.in_flight or 1

    def sent(self, packet: SentPacket) -> None:
        """A packet leaves."""
        if self.in_flight == 0:
            self._first_sent_at = self._delivered_at = packet.sent_at
        packet.first_sent_at = self._first_sent_at
        packet.delivered_at = self._delivered_at
        packet.delivered = self.delivered
        packet.is_app_limited = self.is_app_limited
        packet.lost = self.lost
        self.in_flight += packet.size
        packet.tx_in_flight = self.in_flight

    def acked(self, packet: SentPacket, now: float) -> None:
        """A packet arrived, as this acknowledgement says; `sample` comes after the last one of it."""
        self.in_flight -= packet.size
        self.delivered += packet.size
        self._delivered_at = now
        self._newly_acked += packet.size
        newest = self._newest
        if newest is None or (packet.delivered, packet.sent_at) >= (newest.delivered, newest.sent_at):
            self._newest = packet
            self._first_sent_at = packet.sent_at

    def discarded(self, packet: SentPacket) -> None:
        """A packet is neither acknowledged nor lost: it counts no more."""
        self.in_flight -= packet.size

    def found_lost(self, packet: SentPacket) -> None:
        """A packet counts as lost."""
        self.in_flight -= packet.size
        self.lost += packet.size

    def sample(self, now: float, min_rtt: float) -> RateSample | None:
        """What the packets that were acknowledged since the last call tell; None if there were none."""
        newest = self._newest
        if newest is None:
            return None
        if self._app_limited_until and self.delivered > self._app_limited_until:
            self._app_limited_until = 0
        delivered = self.delivered - newest.delivered
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        # Shorter than any round trip: acknowledgements that were held back on their way, and tell no rate.
        is_valid = interval > 0.0 and (math.isinf(min_rtt) or interval >= min_rtt)
        made = RateSample(
            delivery_rate=delivered / interval if is_valid else 0.0,
            is_app_limited=newest.is_app_limited,
            delivered=delivered,
            prior_delivered=newest.delivered,
            newly_acked=self._newly_acked,
            lost=self.lost - newest.lost,
            tx_in_flight=newest.tx_in_flight,
            rtt=now - newest.sent_at,
        )
        self._newest = None
        self._newly_acked = 0
        return made
