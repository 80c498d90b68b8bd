"""A network path in virtual time, for congestion controllers: one bottleneck, its queue, and what goes wrong there.

No sockets and no clock: a minute of it takes seconds. What a controller is told is what aioquic's loss recovery would
tell it: packets acknowledged, packets overtaken by three others or by 9/8 of a round trip, probes when nothing comes.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from aioquic.quic.congestion.cubic import CubicCongestionControl
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch

from actors.quic_worker.bbr.model import Bbr
from actors.quic_worker.bbr.rate_sample import SentPacket

MSS: Final = 1200

PACKET_THRESHOLD: Final = 3
TIME_THRESHOLD: Final = 9 / 8
"""RFC 9002 section 6.1."""


class Controller(Protocol):
    """What a flow asks of its congestion controller."""

    @property
    def cwnd(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def pacing_rate(self) -> float: ...
    def sent(self, number: int, now: float) -> Any: ...
    def acked(self, packet: Any, now: float, rtt: float) -> None: ...
    def lost(self, packets: list[Any], now: float) -> None: ...
    def expired(self, packet: Any) -> None: ...
    def ack_ended(self, now: float) -> None: ...
    def app_limited(self) -> None: ...


class BbrController:
    """Ours."""

    def __init__(self, seed: int = 0) -> None:
        self.model = Bbr(MSS, random.Random(seed))

    @property
    def cwnd(self) -> int:
        return self.model.cwnd

    @property
    def in_flight(self) -> int:
        return self.model.rate.in_flight

    @property
    def pacing_rate(self) -> float:
        return self.model.pacing_rate

    def sent(self, number: int, now: float) -> SentPacket:
        return self.model.on_sent(MSS, now)

    def acked(self, packet: SentPacket, now: float, rtt: float) -> None:
        self.model.on_acked(packet, now)

    def lost(self, packets: list[SentPacket], now: float) -> None:
        for packet in packets:
            self.model.on_lost(packet, now)

    def expired(self, packet: SentPacket) -> None:
        self.model.on_discarded(packet)

    def ack_ended(self, now: float) -> None:
        self.model.on_ack_ended(now)

    def app_limited(self) -> None:
        self.model.on_app_limited()


class CubicController:
    """aioquic's, paced as aioquic paces it."""

    def __init__(self) -> None:
        self._cubic = CubicCongestionControl(max_datagram_size=MSS)
        self._srtt = 0.0

    @property
    def cwnd(self) -> int:
        return self._cubic.congestion_window

    @property
    def in_flight(self) -> int:
        return self._cubic.bytes_in_flight

    @property
    def pacing_rate(self) -> float:
        return self.cwnd / self._srtt if self._srtt else 1e9

    def sent(self, number: int, now: float) -> QuicSentPacket:
        packet = QuicSentPacket(Epoch.ONE_RTT, True, True, False, number, QuicPacketType.ONE_RTT, now, MSS)
        self._cubic.on_packet_sent(packet=packet)
        return packet

    def acked(self, packet: QuicSentPacket, now: float, rtt: float) -> None:
        self._srtt = rtt if not self._srtt else 7 / 8 * self._srtt + 1 / 8 * rtt
        self._cubic.on_packet_acked(now=now, packet=packet)
        self._cubic.on_rtt_measurement(now=now, rtt=rtt)

    def lost(self, packets: list[QuicSentPacket], now: float) -> None:
        self._cubic.on_packets_lost(now=now, packets=packets)

    def expired(self, packet: QuicSentPacket) -> None:
        self._cubic.on_packets_expired(packets=[packet])

    def ack_ended(self, now: float) -> None:
        """It has no use for that."""

    def app_limited(self) -> None:
        """Nor for that."""


class Flow:
    """A sender with endless data, or with as much as `wants` says, and what became of it."""

    def __init__(self, controller: Controller, wants: Callable[[float], bool] = lambda now: True) -> None:
        self.controller = controller
        self.wants = wants
        self.outstanding: dict[int, tuple[float, Any]] = {}
        """Number → when it left, and the controller's own."""
        self.delivered: list[float] = []
        """When each packet was acknowledged."""
        self.rtts: list[tuple[float, float]] = []
        self.lost = self.sent = 0
        self.next_send = 0.0
        self.srtt = 0.1
        self.last_heard = 0.0
        self.backoff = 0
        self.wake_pending = False

    def throughput(self, begin: float, end: float) -> float:
        """Bytes a second that arrived between two times."""
        return sum(MSS for at in self.delivered if begin <= at < end) / (end - begin)

    def rtt(self, share: float, begin: float, end: float) -> float:
        """That quantile of the round trips between two times."""
        values = sorted(rtt for at, rtt in self.rtts if begin <= at < end)
        return values[min(int(share * len(values)), len(values) - 1)]


class Path:
    """One bottleneck. Attributes may be changed while it runs (`at`)."""

    def __init__(
        self,
        rate: float,
        rtt: float,
        *,
        queue: float,
        loss: float = 0.0,
        loss_behind: float = 0.0,
        reorder: float = 0.0,
        seed: int = 1,
    ) -> None:
        """`rate`: bytes a second. `rtt`: seconds. `queue`: bytes. The others: shares of packets.

        `loss`: before the bottleneck, where it takes none of its rate; `loss_behind`: what has used it in vain.
        """
        self.rate, self.rtt, self.queue, self.loss, self.reorder = rate, rtt, queue, loss, reorder
        self.loss_behind = loss_behind
        self.policer: float | None = None
        """Bytes a second that are let through, with a bucket of 50 ms; None: all."""
        self.ack_interval = 0.0
        """Acknowledgements are held back until the next multiple of so many seconds."""
        self._rng = random.Random(seed)
        self._free_at = 0.0
        self._tokens, self._tokens_at = 0.0, 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order: Iterator[int] = itertools.count()
        self.now = 0.0

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._events, (when, next(self._order), do))

    def run(self, flows: list[Flow], until: float) -> None:
        """Let time pass."""
        for flow in flows:
            self.at(self.now, lambda flow=flow: self._send(flow))  # type: ignore[misc]
            self.at(self.now + 1.0, lambda flow=flow: self._watch(flow))  # type: ignore[misc]
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self._events = [event for event in self._events if event[0] <= until]
        self.now = until

    # --- the sender ---

    def _send(self, flow: Flow) -> None:
        controller = flow.controller
        while controller.in_flight + MSS <= controller.cwnd:
            if not flow.wants(self.now):
                controller.app_limited()
                self._wake(flow, self.now + 0.01)
                return
            if self.now < flow.next_send:
                self._wake(flow, flow.next_send)
                return
            flow.next_send = max(flow.next_send, self.now - 0.002) + MSS / controller.pacing_rate
            self._transmit(flow)

    def _wake(self, flow: Flow, when: float) -> None:
        if not flow.wake_pending:
            flow.wake_pending = True

            def wake() -> None:
                flow.wake_pending = False
                self._send(flow)

            self.at(when, wake)

    def _transmit(self, flow: Flow) -> None:
        number = flow.sent
        flow.sent += 1
        flow.outstanding[number] = (self.now, flow.controller.sent(number, self.now))
        arrival = self._cross()
        if arrival is not None:
            back = arrival + self.rtt / 2
            if self.ack_interval:
                back = (back // self.ack_interval + 1) * self.ack_interval
            self.at(back, lambda: self._acknowledge(flow, number))

    def _watch(self, flow: Flow) -> None:
        """Probe timeouts (RFC 9002 section 6.2), looked at every 10 ms."""
        if flow.outstanding and self.now - flow.last_heard > (2 * flow.srtt + 0.05) * 2**flow.backoff:
            flow.backoff = min(flow.backoff + 1, 6)
            flow.last_heard = self.now
            number = next(iter(flow.outstanding))
            flow.controller.expired(flow.outstanding.pop(number)[1])
            self._transmit(flow)
        self.at(self.now + 0.01, lambda: self._watch(flow))

    # --- the path ---

    def _cross(self) -> float | None:
        """When a packet that leaves now arrives; None: never."""
        if self.rate <= 0 or self._rng.random() < self.loss or not self._passes_policer():
            return None
        backlog = max(self._free_at - self.now, 0.0) * self.rate
        if backlog + MSS > self.queue + MSS:
            return None
        self._free_at = max(self._free_at, self.now) + MSS / self.rate
        if self.loss_behind and self._rng.random() < self.loss_behind:
            return None
        late = self.rtt / 4 if self._rng.random() < self.reorder else 0.0
        return self._free_at + self.rtt / 2 + late

    def _passes_policer(self) -> bool:
        if self.policer is None:
            return True
        self._tokens = min(self._tokens + (self.now - self._tokens_at) * self.policer, self.policer * 0.05)
        self._tokens_at = self.now
        if self._tokens < MSS:
            return False
        self._tokens -= MSS
        return True

    # --- what comes back ---

    def _acknowledge(self, flow: Flow, number: int) -> None:
        found = flow.outstanding.pop(number, None)
        flow.last_heard, flow.backoff = self.now, 0
        if found is not None:
            sent_at, packet = found
            rtt = self.now - sent_at
            flow.srtt = 7 / 8 * flow.srtt + 1 / 8 * rtt
            flow.delivered.append(self.now)
            flow.rtts.append((self.now, rtt))
            flow.controller.acked(packet, self.now, rtt)
            overdue = self.now - TIME_THRESHOLD * max(flow.srtt, rtt)
            gone = [
                other
                for other, (at, _) in flow.outstanding.items()
                if other < number and (other <= number - PACKET_THRESHOLD or at <= overdue)
            ]
            if gone:
                flow.lost += len(gone)
                flow.controller.lost([flow.outstanding.pop(other)[1] for other in gone], self.now)
            flow.controller.ack_ended(self.now)
        self._send(flow)
