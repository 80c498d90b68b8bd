"""BBR as a congestion controller of aioquic, by its plug-in point; and a pacer that keeps to the model's rate."""

import random
from collections.abc import Iterable
from typing import Final

from aioquic.quic.congestion.base import QuicCongestionControl
from aioquic.quic.packet_builder import QuicSentPacket

from actors.quic_worker.bbr.model import Bbr
from actors.quic_worker.bbr.rate_sample import SentPacket

PACING_BURST: Final = 0.002
"""Seconds of the pacing rate that may leave at once: timers of the event loop are up to 1 ms late."""

MOST_DEBT_PACKETS: Final = 2
"""Full packets that may have left ahead of the pace: probes, and what rides on an acknowledgement, do not wait for it.
Without this bound, many of them would silence a slow connection for longer than it may be idle."""


class BbrCongestionControl(QuicCongestionControl):
    """Passes on what aioquic's loss recovery tells; `ack_ended` is to be called after each ACK frame."""

    NAME: Final = "bbr"

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.model = Bbr(max_datagram_size, random.Random())
        self.pacer = ModelPacer(self.model)
        self.packets_lost = 0
        self._packets: dict[int, SentPacket] = {}
        """Those in flight, by number: aioquic counts through all packet number spaces."""
        self._publish()

    def _publish(self) -> None:
        self.congestion_window = self.model.cwnd
        self.bytes_in_flight = self.model.rate.in_flight

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        assert packet.sent_time is not None
        self._packets[packet.packet_number] = self.model.on_sent(packet.sent_bytes, packet.sent_time)
        self.pacer.charge(packet.sent_bytes)
        self.bytes_in_flight = self.model.rate.in_flight

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        self.model.on_acked(self._packets.pop(packet.packet_number), now)
        self.bytes_in_flight = self.model.rate.in_flight

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        for packet in packets:
            self.model.on_discarded(self._packets.pop(packet.packet_number))
        self._publish()

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        for packet in packets:
            self.packets_lost += 1
            self.model.on_lost(self._packets.pop(packet.packet_number), now)
        self._publish()

    def on_persistent_congestion(self) -> None:
        self.model.on_persistent_congestion()
        self._publish()

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Each rate sample brings its own."""

    def ack_ended(self, now: float) -> None:
        """The packets of an ACK frame have all been told, those that it shows to be lost too."""
        self.model.on_ack_ended(now)
        self._publish()

    @property
    def has_room(self) -> bool:
        """Whether the window would take another packet."""
        return self.bytes_in_flight + self.model.mss <= self.congestion_window

    def app_limited(self) -> None:
        """There is room in the window, and nothing to send."""
        self.model.on_app_limited()


class ModelPacer:
    """In place of aioquic's pacer, which spreads the window over a round trip: a bucket filled at the model's rate.

    Only what counts as in flight is charged (RFC 9002 section 7.7): a receiver's acknowledgements must not use up what
    its own data could leave with. aioquic does not say what a packet holds until all of a batch are built, so each is
    taken for a full one until `batch_ended`.
    """

    def __init__(self, model: Bbr) -> None:
        self._model = model
        self._tokens = 0.0
        """Bytes that may leave now; below zero after a packet that was let out with less than its size."""
        self._filled_at = 0.0
        self._built = 0
        """Packets of the batch that is being built."""
        self.lets_one_pass = False
        """Whether the next packet is a probe or a PING, which wait for nothing."""

    def next_send_time(self, now: float) -> float | None:
        """When the next packet may leave; None: now."""
        if self.lets_one_pass:
            return None
        self._fill(now)
        tokens = self._tokens - self._built * self._model.mss
        if tokens > 0.0:
            return None
        return now + (self._model.mss - tokens) / self._model.pacing_rate

    def update_after_send(self, now: float) -> None:
        """A packet was built."""
        self._fill(now)
        self._built += 1
        self.lets_one_pass = False

    def charge(self, size: int) -> None:
        """A packet of so many bytes is in flight."""
        self._tokens = max(self._tokens - size, -MOST_DEBT_PACKETS * self._model.mss)

    def batch_ended(self) -> None:
        """All that was built has left, and is charged."""
        self._built = 0
        self.lets_one_pass = False

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """The rate is the model's."""

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            most = max(2.0 * self._model.mss, self._model.pacing_rate * PACING_BURST)
            self._tokens = min(self._tokens + (now - self._filled_at) * self._model.pacing_rate, most)
            self._filled_at = now
