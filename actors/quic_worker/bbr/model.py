"""The state machine of BBR (section 5.3 ff. of the draft), and the window and pacing rate that come of it. Pure.

Startup → Drain → ProbeBW (Down → Cruise → Refill → Up → Down …), with a short ProbeRTT now and then. Names are the
draft's; sections are named where they begin. What differs from it stands in `parameters.py`.
"""

import enum
import math
import random
from typing import Final

from actors.quic_worker.bbr import parameters as p
from actors.quic_worker.bbr.filters import WindowedMax
from actors.quic_worker.bbr.rate_sample import DeliveryRate, RateSample, SentPacket


class State(enum.Enum):
    """What it is doing."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_BW_DOWN = "down"
    PROBE_BW_CRUISE = "cruise"
    PROBE_BW_REFILL = "refill"
    PROBE_BW_UP = "up"
    PROBE_RTT = "probe_rtt"


class AckPhase(enum.Enum):
    """What the acknowledgements that come now tell about a probe (section 5.3.3.9)."""

    STARTING = enum.auto()
    FEEDBACK = enum.auto()
    STOPPING = enum.auto()
    REFILLING = enum.auto()


PACING_GAIN: Final = {
    State.STARTUP: p.STARTUP_PACING_GAIN,
    State.DRAIN: p.DRAIN_PACING_GAIN,
    State.PROBE_BW_DOWN: p.PROBE_DOWN_PACING_GAIN,
    State.PROBE_BW_CRUISE: 1.0,
    State.PROBE_BW_REFILL: 1.0,
    State.PROBE_BW_UP: p.PROBE_UP_PACING_GAIN,
    State.PROBE_RTT: 1.0,
}

CWND_GAIN: Final = dict.fromkeys(State, p.DEFAULT_CWND_GAIN) | {
    State.PROBE_BW_UP: p.PROBE_UP_CWND_GAIN,
    State.PROBE_RTT: p.PROBE_RTT_CWND_GAIN,
}

_PROBE_BW: Final = (State.PROBE_BW_DOWN, State.PROBE_BW_CRUISE, State.PROBE_BW_REFILL, State.PROBE_BW_UP)

_PROBING: Final = (State.STARTUP, State.PROBE_BW_REFILL, State.PROBE_BW_UP, State.PROBE_BW_DOWN)
"""States that look for more, and the one that drains what a probe has queued (see `parameters.LOSSY_ROUNDS`): what is
lost in them is no reason to do less at once."""


class Bbr:
    """One connection's controller.

    Tell it what happens (`on_sent`; `on_acked` for each packet of an acknowledgement, `on_lost`, and then
    `on_ack_ended`), and keep to `cwnd` (bytes) and `pacing_rate` (bytes a second).
    """

    def __init__(self, mss: int, rng: random.Random) -> None:
        """`mss`: bytes of a full packet."""
        self.mss = mss
        self.rate = DeliveryRate()
        self._rng = rng

        # 5.6: what comes out
        self.cwnd = p.INITIAL_PACKETS * mss
        self.pacing_rate = p.STARTUP_PACING_GAIN * self.cwnd / p.INITIAL_RTT
        self._has_seen_rtt = False
        self.send_quantum = 2 * mss
        self._prior_cwnd = 0
        self._cwnd_limited = False
        """Whether the window, and nothing else, held packets back in this round."""

        # 5.5: the model
        self.state = State.STARTUP
        self._max_bw = WindowedMax(p.MAX_BW_FILTER_CYCLES)
        self._cycle = 0
        self.min_rtt = math.inf
        self._min_rtt_stamp = 0.0
        self._probe_rtt_min_delay = math.inf
        self._probe_rtt_min_stamp = 0.0
        self._probe_rtt_expired = False
        self._probe_rtt_done_stamp: float | None = None
        self._probe_rtt_round_done = False
        self._idle_restart = False
        self._extra_acked = WindowedMax(p.EXTRA_ACKED_FILTER_ROUNDS)
        self._extra_acked_since = 0.0
        self._extra_acked_delivered = 0
        self.bw_shortterm = math.inf
        self.inflight_shortterm = math.inf
        self.inflight_longterm = math.inf
        """Whole bytes once it is known: `cwnd` reaches it, or nothing would ever raise it."""

        # 5.5.1: rounds
        self._next_round_delivered = 0
        self._round_start = False
        self._round = 0
        self._round_min_rtt = self._round_rtt = math.inf
        """The least round trip of the round that runs, and of the last one that ended."""

        # 5.5.10: signals of congestion
        self._loss_in_round = False
        self._lossy_rounds = 0
        """Rounds in a row that lost too much."""
        self._lost_in_round = self._acked_in_round = 0
        self._bw_latest = 0.0
        self._inflight_latest = 0
        self._loss_round_delivered = 0
        self._loss_round_start = False

        # 5.3.1.2: whether the pipe is full
        self.full_bw_reached = False
        self._full_bw_now = False
        self._full_bw = 0.0
        self._full_bw_count = 0
        self._drain_start_round = 0

        # 5.3.3: probing for bandwidth
        self._ack_phase = AckPhase.STOPPING
        self._bw_probe_samples = False
        self._bw_probe_wait = 0.0
        self._rounds_since_bw_probe = 0
        self._cycle_stamp = 0.0
        self._probe_up_rounds = 0
        self._probe_up_acks = 0
        self._probe_up_cnt = math.inf

    @property
    def _min_pipe(self) -> int:
        """The least window in bytes. `mss` grows as the path's size is found."""
        return p.MIN_PIPE_PACKETS * self.mss

    # --- what happens ---

    def on_sent(self, size: int, now: float) -> SentPacket:
        """A packet leaves; keep what is returned, and give it back when its fate is known."""
        if not self.rate.delivered and not self.rate.in_flight:
            self._min_rtt_stamp = self._probe_rtt_min_stamp = self._extra_acked_since = now
        if self.rate.in_flight == 0 and self.rate.is_app_limited:
            self._handle_restart_from_idle(now)
        packet = SentPacket(size, now)
        self.rate.sent(packet)
        if self.rate.in_flight + self.mss > self.cwnd:
            self._cwnd_limited = True
        return packet

    def on_acked(self, packet: SentPacket, now: float) -> None:
        """A packet is acknowledged."""
        self.rate.acked(packet, now)

    def on_discarded(self, packet: SentPacket) -> None:
        """A packet is neither lost nor acknowledged, and counts no more."""
        self.rate.discarded(packet)

    def on_lost(self, packet: SentPacket, now: float) -> None:
        """A packet counts as lost (BBRHandleLostPacket, section 5.5.10.2)."""
        self.rate.found_lost(packet)
        self._lost_in_round += packet.size
        if not self._bw_probe_samples:
            return
        lost = self.rate.lost - packet.lost
        if self._is_too_high(lost, packet.tx_in_flight):
            at_loss = self._inflight_at_loss(packet, lost)
            self._handle_inflight_too_high(at_loss, packet.is_app_limited, now)

    def on_ack_ended(self, now: float) -> None:
        """All packets of an acknowledgement, and what it shows to be lost, have been told (BBRUpdateOnACK)."""
        sample = self.rate.sample(now, self.min_rtt)
        if sample is not None:
            self._update_model_and_state(sample, now)
            self._update_control_parameters(sample)

    def on_app_limited(self) -> None:
        """There is room in the window, and nothing to send."""
        self.rate.mark_app_limited()

    def on_persistent_congestion(self) -> None:
        """Nothing got through for long (RFC 9002 section 7.6): begin again from the least window."""
        self.cwnd = self._min_pipe

    # --- 5.2.3: the model, and what comes of it ---

    def _update_model_and_state(self, rs: RateSample, now: float) -> None:
        self._update_latest_delivery_signals(rs)
        self._update_congestion_signals(rs)
        self._update_ack_aggregation(rs, now)
        self._check_full_bw_reached(rs)
        self._check_startup_done()
        self._check_drain_done(now)
        self._update_probe_bw_cycle_phase(rs, now)
        self._update_min_rtt(rs, now)
        self._check_probe_rtt(rs, now)
        if self._loss_round_start:
            self._bw_latest, self._inflight_latest = rs.delivery_rate, rs.delivered
        if self._round_start:
            self._cwnd_limited = False

    def _update_control_parameters(self, rs: RateSample) -> None:
        if not self._has_seen_rtt:  # the first rate was a guess without one
            self._has_seen_rtt = True
            self.pacing_rate = p.STARTUP_PACING_GAIN * self.cwnd / max(rs.rtt, p.SHORTEST_RTT)
        self._set_pacing_rate_with_gain(PACING_GAIN[self.state])
        quantum = int(self.pacing_rate * p.SEND_QUANTUM_SECONDS)
        self.send_quantum = max(2 * self.mss, min(quantum, p.MAX_SEND_QUANTUM))
        self._set_cwnd(rs)

    # --- 5.3.1, 5.3.2: Startup and Drain ---

    def _check_full_bw_reached(self, rs: RateSample) -> None:
        if self._full_bw_now or not self._round_start or rs.is_app_limited:
            return
        if rs.delivery_rate >= self._full_bw * p.STARTUP_FULL_BW_GROWTH:
            self._reset_full_bw()
            self._full_bw = rs.delivery_rate
            return
        self._full_bw_count += 1
        self._full_bw_now = self._full_bw_count >= p.STARTUP_FULL_BW_ROUNDS
        self.full_bw_reached = self.full_bw_reached or self._full_bw_now

    def _reset_full_bw(self) -> None:
        self._full_bw = 0.0
        self._full_bw_count = 0
        self._full_bw_now = False

    def _check_startup_done(self) -> None:
        if self.state is State.STARTUP and self.full_bw_reached:
            self.state = State.DRAIN
            self._drain_start_round = self._round

    def _check_startup_high_loss(self, too_high: bool) -> None:
        """At the end of a round; `too_high`: too much of it was lost."""
        if too_high and not self.full_bw_reached:
            self.full_bw_reached = True
            self.inflight_longterm = math.floor(max(self._bdp(self.max_bw), self._inflight_latest))

    def _check_drain_done(self, now: float) -> None:
        if self.state is not State.DRAIN:
            return
        # The bandwidth may have been overestimated, or may have fallen since: then the queue never looks drained, and
        # only the next cycle forgets what Startup saw.
        is_too_long = self._round > self._drain_start_round + p.DRAIN_MAX_ROUNDS
        if is_too_long or self.rate.in_flight <= self._inflight(self.max_bw, 1.0):
            self._start_probe_bw_down(now)

    # --- 5.3.3: ProbeBW ---

    def _start_probe_bw_down(self, now: float) -> None:
        self._reset_congestion_signals()
        self._probe_up_cnt = math.inf
        self._rounds_since_bw_probe = self._rng.randint(0, 1)
        self._bw_probe_wait = p.PROBE_WAIT + self._rng.random() * p.PROBE_WAIT_SPREAD
        self._cycle_stamp = now
        self._ack_phase = AckPhase.STOPPING
        self._start_round()
        self.state = State.PROBE_BW_DOWN

    def _start_probe_bw_refill(self) -> None:
        self._reset_shortterm_model()
        self._probe_up_rounds = self._probe_up_acks = 0
        self._ack_phase = AckPhase.REFILLING
        self._start_round()
        self.state = State.PROBE_BW_REFILL

    def _start_probe_bw_up(self, rs: RateSample) -> None:
        self._ack_phase = AckPhase.STARTING
        self._start_round()
        self._reset_full_bw()
        self._full_bw = rs.delivery_rate
        self.state = State.PROBE_BW_UP
        self._raise_inflight_longterm_slope()

    def _update_probe_bw_cycle_phase(self, rs: RateSample, now: float) -> None:
        if not self.full_bw_reached:
            return
        self._adapt_longterm_model(rs, now)
        match self.state:
            case State.PROBE_BW_DOWN:
                if not self._check_time_to_probe_bw(now) and self._is_time_to_cruise():
                    self.state = State.PROBE_BW_CRUISE
            case State.PROBE_BW_CRUISE:
                self._check_time_to_probe_bw(now)
            case State.PROBE_BW_REFILL if self._round_start:
                # The next samples tell what a probe does.
                self._bw_probe_samples = True
                self._start_probe_bw_up(rs)
            case State.PROBE_BW_UP if self._is_time_to_go_down(rs):
                self._start_probe_bw_down(now)

    def _check_time_to_probe_bw(self, now: float) -> bool:
        waited = now - self._cycle_stamp > self._bw_probe_wait
        if waited or self._is_reno_coexistence_probe_time():
            self._start_probe_bw_refill()
            return True
        return False

    def _is_reno_coexistence_probe_time(self) -> bool:
        rounds = min(self._target_inflight() / self.mss, p.MAX_RENO_ROUNDS)
        return self._rounds_since_bw_probe >= rounds

    def _is_time_to_cruise(self) -> bool:
        if self.rate.in_flight > self._inflight_with_headroom():
            return False
        return self.rate.in_flight <= self._inflight(self.max_bw, 1.0)

    def _is_time_to_go_down(self, rs: RateSample) -> bool:
        if self._cwnd_limited and self.cwnd >= self.inflight_longterm:
            self._reset_full_bw()  # the bound held it back, not the path
            self._full_bw = rs.delivery_rate
            return False
        return self._full_bw_now

    def _target_inflight(self) -> float:
        return min(self._bdp(self.bw), float(self.cwnd))

    # --- 5.3.3.9, 5.5.10.2: the bound for the long term ---

    def _adapt_longterm_model(self, rs: RateSample, now: float) -> None:
        if self._ack_phase is AckPhase.STARTING and self._round_start:
            self._ack_phase = AckPhase.FEEDBACK
        if self._ack_phase is AckPhase.STOPPING and self._round_start:
            if self.state in _PROBE_BW and not rs.is_app_limited:
                self._cycle += 1
            self._bw_probe_samples = False
            self._ack_phase = AckPhase.FEEDBACK
        if self._is_too_high(rs.lost, rs.tx_in_flight):
            if self._bw_probe_samples:
                self._handle_inflight_too_high(rs.tx_in_flight, rs.is_app_limited, now)
            return
        if math.isinf(self.inflight_longterm):
            return
        self.inflight_longterm = max(self.inflight_longterm, rs.tx_in_flight)
        if self.state is State.PROBE_BW_UP:
            self._probe_inflight_longterm_upward(rs)

    def _raise_inflight_longterm_slope(self) -> None:
        growth = self.mss << self._probe_up_rounds
        self._probe_up_rounds = min(self._probe_up_rounds + 1, 30)
        self._probe_up_cnt = max(self.cwnd / growth, 1.0) * self.mss

    def _probe_inflight_longterm_upward(self, rs: RateSample) -> None:
        if not self._cwnd_limited or self.cwnd < self.inflight_longterm:
            return
        self._probe_up_acks += rs.newly_acked
        if self._probe_up_acks >= self._probe_up_cnt:
            steps = int(self._probe_up_acks / self._probe_up_cnt)
            self._probe_up_acks -= int(steps * self._probe_up_cnt)
            self.inflight_longterm += steps * self.mss
        if self._round_start:
            self._raise_inflight_longterm_slope()

    def _is_too_high(self, lost: int, in_flight: int) -> bool:
        threshold = p.LOSS_THRESH if self._is_queueing() else p.NOISE_THRESH
        return lost >= p.LEAST_LOSSES * self.mss and lost > in_flight * threshold

    def _is_queueing(self) -> bool:
        """Deviation: see `parameters.NOISE_THRESH`."""
        least = min(self._round_rtt, self._round_min_rtt)
        return not math.isinf(least) and least > self.min_rtt * p.QUEUE_RTT

    def _handle_inflight_too_high(self, tx_in_flight: float, is_app_limited: bool, now: float) -> None:
        self._bw_probe_samples = False
        if not is_app_limited:
            self.inflight_longterm = math.floor(max(tx_in_flight, self._target_inflight() * p.BETA))
        if self.state is State.PROBE_BW_UP:
            self._start_probe_bw_down(now)

    def _inflight_at_loss(self, packet: SentPacket, lost: int) -> float:
        """What was in flight when the share of losses passed the threshold."""
        inflight_prev = packet.tx_in_flight - packet.size
        lost_prev = lost - packet.size
        threshold = p.LOSS_THRESH if self._is_queueing() else p.NOISE_THRESH
        lost_prefix = (threshold * inflight_prev - lost_prev) / (1.0 - threshold)
        return inflight_prev + max(lost_prefix, 0.0)

    # --- 5.3.4: ProbeRTT ---

    def _update_min_rtt(self, rs: RateSample, now: float) -> None:
        self._probe_rtt_expired = now > self._probe_rtt_min_stamp + p.PROBE_RTT_INTERVAL
        if rs.rtt < self._probe_rtt_min_delay or self._probe_rtt_expired:
            self._probe_rtt_min_delay, self._probe_rtt_min_stamp = rs.rtt, now
        min_rtt_expired = now > self._min_rtt_stamp + p.MIN_RTT_FILTER_SECONDS
        if self._probe_rtt_min_delay < self.min_rtt or min_rtt_expired:
            self.min_rtt, self._min_rtt_stamp = self._probe_rtt_min_delay, self._probe_rtt_min_stamp

    def _check_probe_rtt(self, rs: RateSample, now: float) -> None:
        if self.state is not State.PROBE_RTT and self._probe_rtt_expired and not self._idle_restart:
            self._prior_cwnd = self.cwnd
            self.state = State.PROBE_RTT
            self._probe_rtt_done_stamp = None
            self._ack_phase = AckPhase.STOPPING
            self._start_round()
        if self.state is State.PROBE_RTT:
            self._handle_probe_rtt(now)
        if rs.delivered > 0:
            self._idle_restart = False

    def _handle_probe_rtt(self, now: float) -> None:
        self.rate.mark_app_limited()  # what is measured now is our own restraint
        if self._probe_rtt_done_stamp is None:
            if self.rate.in_flight <= self._probe_rtt_cwnd():
                self._probe_rtt_done_stamp = now + p.PROBE_RTT_DURATION
                self._probe_rtt_round_done = False
                self._start_round()
            return
        if self._round_start:
            self._probe_rtt_round_done = True
        if self._probe_rtt_round_done:
            self._check_probe_rtt_done(now)

    def _check_probe_rtt_done(self, now: float) -> None:
        if self._probe_rtt_done_stamp is None or now <= self._probe_rtt_done_stamp:
            return
        self._probe_rtt_min_stamp = now
        self.cwnd = max(self.cwnd, self._prior_cwnd)
        self._reset_shortterm_model()
        if self.full_bw_reached:
            # Deviation: the wait goes on. All flows of a bottleneck come out of ProbeRTT together; a new wait (the
            # draft's) would let them probe together too, once in five seconds, and none would give way to another.
            waiting = self._cycle_stamp, self._bw_probe_wait
            self._start_probe_bw_down(now)
            self._cycle_stamp, self._bw_probe_wait = waiting
            self.state = State.PROBE_BW_CRUISE
        else:
            self.state = State.STARTUP

    def _probe_rtt_cwnd(self) -> int:
        return max(int(self._bdp(self.bw) * p.PROBE_RTT_CWND_GAIN), self._min_pipe)

    # --- 5.4: after a time without anything to send ---

    def _handle_restart_from_idle(self, now: float) -> None:
        self._idle_restart = True
        self._extra_acked_since = now
        if self.state in _PROBE_BW:
            self._set_pacing_rate_with_gain(1.0)
        elif self.state is State.PROBE_RTT:
            self._check_probe_rtt_done(now)

    # --- 5.5.1: rounds ---

    def _start_round(self) -> None:
        self._next_round_delivered = self.rate.delivered

    def _update_round(self, rs: RateSample) -> None:
        self._round_start = rs.prior_delivered >= self._next_round_delivered
        self._round_min_rtt = min(self._round_min_rtt, rs.rtt)
        self._acked_in_round += rs.newly_acked
        if self._round_start:
            self._start_round()
            self._round += 1
            self._rounds_since_bw_probe += 1
            self._round_rtt, self._round_min_rtt = self._round_min_rtt, math.inf
            too_high = self._is_too_high(self._lost_in_round, self._lost_in_round + self._acked_in_round)
            if self.state is State.STARTUP:
                self._check_startup_high_loss(too_high)
            self._lossy_rounds = self._lossy_rounds + 1 if too_high and self.state not in _PROBING else 0
            self._loss_in_round = self._lossy_rounds >= p.LOSSY_ROUNDS
            self._lost_in_round = self._acked_in_round = 0

    # --- 5.5.5: bandwidth ---

    @property
    def max_bw(self) -> float:
        """The most that the path delivered in the last two probing cycles, in bytes a second."""
        return self._max_bw.value

    @property
    def bw(self) -> float:
        """What it is taken to deliver now (BBRBoundBWForModel)."""
        return min(self.max_bw, self.bw_shortterm)

    def _update_max_bw(self, rs: RateSample) -> None:
        self._update_round(rs)
        if rs.delivery_rate > 0 and (rs.delivery_rate >= self.max_bw or not rs.is_app_limited):
            self._max_bw.update(rs.delivery_rate, self._cycle)

    # --- 5.5.9: acknowledgements that come in lumps ---

    def _update_ack_aggregation(self, rs: RateSample, now: float) -> None:
        expected = self.bw * (now - self._extra_acked_since)
        if self._extra_acked_delivered <= expected:
            self._extra_acked_delivered = 0
            self._extra_acked_since = now
            expected = 0.0
        self._extra_acked_delivered += rs.newly_acked
        extra = min(self._extra_acked_delivered - expected, self.cwnd)
        self._extra_acked.update(extra, self._round)

    # --- 5.5.10: the bounds for the short term ---

    def _reset_congestion_signals(self) -> None:
        self._loss_in_round = False
        self._bw_latest = 0.0
        self._inflight_latest = 0

    def _reset_shortterm_model(self) -> None:
        self.bw_shortterm = self.inflight_shortterm = math.inf

    def _update_latest_delivery_signals(self, rs: RateSample) -> None:
        self._loss_round_start = False
        self._bw_latest = max(self._bw_latest, rs.delivery_rate)
        self._inflight_latest = max(self._inflight_latest, rs.delivered)
        if rs.prior_delivered >= self._loss_round_delivered:
            self._loss_round_delivered = self.rate.delivered
            self._loss_round_start = True

    def _update_congestion_signals(self, rs: RateSample) -> None:
        self._update_max_bw(rs)
        if not self._loss_round_start:
            return
        if self._loss_in_round and self.state not in _PROBING:
            if math.isinf(self.bw_shortterm):
                self.bw_shortterm = self.max_bw
            if math.isinf(self.inflight_shortterm):
                self.inflight_shortterm = float(self.cwnd)
            self.bw_shortterm = max(self._bw_latest, p.BETA * self.bw_shortterm)
            self.inflight_shortterm = max(float(self._inflight_latest), p.BETA * self.inflight_shortterm)
        self._loss_in_round = False

    # --- 5.6.2: the pacing rate ---

    def _set_pacing_rate_with_gain(self, gain: float) -> None:
        rate = gain * self.bw * (1.0 - p.PACING_MARGIN)
        if rate > 0.0 and (self.full_bw_reached or rate > self.pacing_rate):
            # Not slower than the least window each round trip: below that, the window alone sets the pace.
            self.pacing_rate = max(rate, self._min_pipe / max(self.min_rtt, p.SHORTEST_RTT))

    # --- 5.6.4: the window ---

    def _bdp(self, bw: float) -> float:
        return p.INITIAL_PACKETS * self.mss if math.isinf(self.min_rtt) else bw * self.min_rtt

    def _quantized(self, inflight: float) -> float:
        inflight = max(inflight, p.OFFLOAD_BUDGET_QUANTA * self.send_quantum, float(self._min_pipe))
        return inflight + 2 * self.mss if self.state is State.PROBE_BW_UP else inflight

    def _inflight(self, bw: float, gain: float) -> float:
        return self._quantized(gain * self._bdp(bw))

    def _inflight_with_headroom(self) -> float:
        if math.isinf(self.inflight_longterm):
            return math.inf
        headroom = max(float(self.mss), p.HEADROOM * self.inflight_longterm)
        return max(self.inflight_longterm - headroom, float(self._min_pipe))

    def _set_cwnd(self, rs: RateSample) -> None:
        most = self._quantized(CWND_GAIN[self.state] * self._bdp(self.bw) + self._extra_acked.value)
        if self.full_bw_reached:
            self.cwnd = int(min(self.cwnd + rs.newly_acked, most))
        elif self.cwnd < most or self.rate.delivered < p.INITIAL_PACKETS * self.mss:
            self.cwnd += rs.newly_acked
        if self.state is State.PROBE_RTT:
            self.cwnd = min(self.cwnd, self._probe_rtt_cwnd())
        self._bound_cwnd_for_model()

    def _bound_cwnd_for_model(self) -> None:
        bound = math.inf
        if self.state in _PROBE_BW and self.state is not State.PROBE_BW_CRUISE:
            bound = self.inflight_longterm
        elif self.state in (State.PROBE_RTT, State.PROBE_BW_CRUISE):
            bound = self._inflight_with_headroom()
        bound = max(min(bound, self.inflight_shortterm), float(self._min_pipe))
        self.cwnd = max(int(min(self.cwnd, bound)), self._min_pipe)
