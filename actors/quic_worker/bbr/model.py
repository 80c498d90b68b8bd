"""The state machine of BBR (section 5.3 ff. of the draft), and the window and pacing rate that come of it. Pure.

Startup → Drain → ProbeBW (Down → Cruise → Refill → Up → Down …), with a short ProbeRTT now and then. Names are the
draft's; sections are named where they begin. What it knows of the path is in `path.py`; what differs from the draft
stands in `parameters.py`.
"""

import enum
import math
import random
from typing import Final

from actors.quic_worker.bbr import parameters as p
from actors.quic_worker.bbr.filters import WindowedMax
from actors.quic_worker.bbr.path import (
    AckPhase,
    Aggregation,
    Bounds,
    Congestion,
    FullPipe,
    MinRtt,
    Probe,
    ProbeRtt,
    Rounds,
)
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
        self.send_quantum = 2 * mss
        self._has_seen_rtt = False
        self._cwnd_limited = False
        """Whether the window, and nothing else, held packets back in this round."""

        # 5.5: the model
        self._max_bw = WindowedMax(p.MAX_BW_FILTER_CYCLES)
        self._min_rtt = MinRtt()
        self._rounds = Rounds()
        self._aggregation = Aggregation()
        self._congestion = Congestion()
        self._bounds = Bounds()

        # 5.3: the state machine
        self.state = State.STARTUP
        self._full_pipe = FullPipe()
        self._drain_start_round = 0
        self._probe = Probe()
        self._probe_rtt = ProbeRtt()
        self._idle_restart = False

    @property
    def min_rtt(self) -> float:
        """The shortest round trip in seconds; infinite before there is one."""
        return self._min_rtt.value

    @property
    def full_bw_reached(self) -> bool:
        """Whether Startup has found out what the path delivers."""
        return self._full_pipe.reached

    @property
    def inflight_longterm(self) -> float:
        """Bytes in flight that the path bears, as probes have shown; infinite while none was too many."""
        return self._bounds.inflight_longterm

    @property
    def _min_pipe(self) -> int:
        """The least window in bytes. `mss` grows as the path's size is found."""
        return p.MIN_PIPE_PACKETS * self.mss

    # --- what happens ---

    def on_sent(self, size: int, now: float) -> SentPacket:
        """A packet leaves; keep what is returned, and give it back when its fate is known."""
        if not self.rate.delivered and not self.rate.in_flight:
            self._min_rtt.begin(now)
            self._aggregation.since = now
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
        self._rounds.lost += packet.size
        if not self._probe.takes_samples:
            return
        lost = self.rate.lost - packet.lost
        if self._is_too_high(lost, packet.tx_in_flight):
            at_loss = self._inflight_at_loss(packet, lost)
            self._handle_inflight_too_high(at_loss, packet.is_app_limited, now)

    def on_ack_ended(self, now: float) -> None:
        """All packets of an acknowledgement, and what it shows to be lost, have been told (BBRUpdateOnACK)."""
        sample = self.rate.sample(now, self._min_rtt.value)
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
        self._congestion.update(rs, self.rate.delivered)
        self._update_congestion_signals(rs)
        self._aggregation.update(rs.newly_acked, self.bw, self.cwnd, self._rounds.count, now)
        if self._rounds.has_begun and not self._full_pipe.now and not rs.is_app_limited:
            self._full_pipe.check(rs)
        self._check_startup_done()
        self._check_drain_done(now)
        self._update_probe_bw_cycle_phase(rs, now)
        self._min_rtt.update(rs.rtt, now)
        self._check_probe_rtt(rs, now)
        if self._congestion.round_has_begun:
            self._congestion.bw, self._congestion.inflight = rs.delivery_rate, rs.delivered
        if self._rounds.has_begun:
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

    def _check_startup_done(self) -> None:
        if self.state is State.STARTUP and self._full_pipe.reached:
            self.state = State.DRAIN
            self._drain_start_round = self._rounds.count

    def _check_startup_high_loss(self, too_high: bool) -> None:
        """At the end of a round; `too_high`: too much of it was lost."""
        if too_high and not self._full_pipe.reached:
            self._full_pipe.reached = True
            self._bounds.inflight_longterm = math.floor(max(self._bdp(self.max_bw), self._congestion.inflight))

    def _check_drain_done(self, now: float) -> None:
        if self.state is not State.DRAIN:
            return
        # The bandwidth may have been overestimated, or may have fallen since: then the queue never looks drained, and
        # only the next cycle forgets what Startup saw.
        is_too_long = self._rounds.count > self._drain_start_round + p.DRAIN_MAX_ROUNDS
        if is_too_long or self.rate.in_flight <= self._inflight(self.max_bw, 1.0):
            self._start_probe_bw_down(now)

    # --- 5.3.3: ProbeBW ---

    def _start_probe_bw_down(self, now: float) -> None:
        self._congestion.reset()
        self._probe.over(self._rng, now)
        self._rounds.begin(self.rate.delivered)
        self.state = State.PROBE_BW_DOWN

    def _start_probe_bw_refill(self) -> None:
        self._bounds.forget_shortterm()
        self._probe.refill()
        self._rounds.begin(self.rate.delivered)
        self.state = State.PROBE_BW_REFILL

    def _start_probe_bw_up(self, rs: RateSample) -> None:
        self._probe.phase = AckPhase.STARTING
        self._rounds.begin(self.rate.delivered)
        self._full_pipe.reset(rs.delivery_rate)
        self.state = State.PROBE_BW_UP
        self._probe.raise_slope(self.mss, self.cwnd)

    def _update_probe_bw_cycle_phase(self, rs: RateSample, now: float) -> None:
        if not self._full_pipe.reached:
            return
        self._adapt_longterm_model(rs, now)
        match self.state:
            case State.PROBE_BW_DOWN:
                if not self._check_time_to_probe_bw(now) and self._is_time_to_cruise():
                    self.state = State.PROBE_BW_CRUISE
            case State.PROBE_BW_CRUISE:
                self._check_time_to_probe_bw(now)
            case State.PROBE_BW_REFILL if self._rounds.has_begun:
                # The next samples tell what a probe does.
                self._probe.takes_samples = True
                self._start_probe_bw_up(rs)
            case State.PROBE_BW_UP if self._is_time_to_go_down(rs):
                self._start_probe_bw_down(now)

    def _check_time_to_probe_bw(self, now: float) -> bool:
        waited = now - self._probe.started > self._probe.wait
        if waited or self._is_reno_coexistence_probe_time():
            self._start_probe_bw_refill()
            return True
        return False

    def _is_reno_coexistence_probe_time(self) -> bool:
        rounds = min(self._target_inflight() / self.mss, p.MAX_RENO_ROUNDS)
        return self._probe.rounds_since >= rounds

    def _is_time_to_cruise(self) -> bool:
        if self.rate.in_flight > self._bounds.with_headroom(self.mss, self._min_pipe):
            return False
        return self.rate.in_flight <= self._inflight(self.max_bw, 1.0)

    def _is_time_to_go_down(self, rs: RateSample) -> bool:
        if self._cwnd_limited and self.cwnd >= self._bounds.inflight_longterm:
            self._full_pipe.reset(rs.delivery_rate)  # the bound held it back, not the path
            return False
        return self._full_pipe.now

    def _target_inflight(self) -> float:
        return min(self._bdp(self.bw), float(self.cwnd))

    # --- 5.3.3.9, 5.5.10.2: the bound for the long term ---

    def _adapt_longterm_model(self, rs: RateSample, now: float) -> None:
        probe, bounds = self._probe, self._bounds
        if self._rounds.has_begun and probe.phase in (AckPhase.STARTING, AckPhase.STOPPING):
            if probe.phase is AckPhase.STOPPING:
                if self.state in _PROBE_BW and not rs.is_app_limited:
                    probe.cycle += 1
                probe.takes_samples = False
            probe.phase = AckPhase.FEEDBACK
        if self._is_too_high(rs.lost, rs.tx_in_flight):
            if probe.takes_samples:
                self._handle_inflight_too_high(rs.tx_in_flight, rs.is_app_limited, now)
            return
        if math.isinf(bounds.inflight_longterm):
            return
        bounds.inflight_longterm = max(bounds.inflight_longterm, rs.tx_in_flight)
        if self.state is State.PROBE_BW_UP:
            self._probe_inflight_longterm_upward(rs)

    def _probe_inflight_longterm_upward(self, rs: RateSample) -> None:
        if not self._cwnd_limited or self.cwnd < self._bounds.inflight_longterm:
            return
        self._bounds.inflight_longterm += self._probe.steps(rs.newly_acked) * self.mss
        if self._rounds.has_begun:
            self._probe.raise_slope(self.mss, self.cwnd)

    def _is_too_high(self, lost: int, in_flight: int) -> bool:
        threshold = p.LOSS_THRESH if self._is_queueing() else p.NOISE_THRESH
        return lost >= p.LEAST_LOSSES * self.mss and lost > in_flight * threshold

    def _is_queueing(self) -> bool:
        """Deviation: see `parameters.NOISE_THRESH`."""
        least = self._rounds.least_rtt
        return not math.isinf(least) and least > self._min_rtt.value * p.QUEUE_RTT

    def _handle_inflight_too_high(self, tx_in_flight: float, is_app_limited: bool, now: float) -> None:
        self._probe.takes_samples = False
        if not is_app_limited:
            self._bounds.inflight_longterm = math.floor(max(tx_in_flight, self._target_inflight() * p.BETA))
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

    def _check_probe_rtt(self, rs: RateSample, now: float) -> None:
        if self.state is not State.PROBE_RTT and self._min_rtt.is_due and not self._idle_restart:
            self._probe_rtt.prior_cwnd = self.cwnd
            self._probe_rtt.done_at = None
            self.state = State.PROBE_RTT
            self._probe.phase = AckPhase.STOPPING
            self._rounds.begin(self.rate.delivered)
        if self.state is State.PROBE_RTT:
            self._handle_probe_rtt(now)
        if rs.delivered > 0:
            self._idle_restart = False

    def _handle_probe_rtt(self, now: float) -> None:
        self.rate.mark_app_limited()  # what is measured now is our own restraint
        if self._probe_rtt.done_at is None:
            if self.rate.in_flight <= self._probe_rtt_cwnd():
                self._probe_rtt.done_at = now + p.PROBE_RTT_DURATION
                self._probe_rtt.round_done = False
                self._rounds.begin(self.rate.delivered)
            return
        if self._rounds.has_begun:
            self._probe_rtt.round_done = True
        if self._probe_rtt.round_done:
            self._check_probe_rtt_done(now)

    def _check_probe_rtt_done(self, now: float) -> None:
        if self._probe_rtt.done_at is None or now <= self._probe_rtt.done_at:
            return
        self._min_rtt.probed(now)
        self.cwnd = max(self.cwnd, self._probe_rtt.prior_cwnd)
        self._bounds.forget_shortterm()
        if self._full_pipe.reached:
            # Deviation: the wait goes on. All flows of a bottleneck come out of ProbeRTT together; a new wait (the
            # draft's) would let them probe together too, once in five seconds, and none would give way to another.
            waiting = self._probe.started, self._probe.wait
            self._start_probe_bw_down(now)
            self._probe.started, self._probe.wait = waiting
            self.state = State.PROBE_BW_CRUISE
        else:
            self.state = State.STARTUP

    def _probe_rtt_cwnd(self) -> int:
        return max(int(self._bdp(self.bw) * p.PROBE_RTT_CWND_GAIN), self._min_pipe)

    # --- 5.4: after a time without anything to send ---

    def _handle_restart_from_idle(self, now: float) -> None:
        self._idle_restart = True
        self._aggregation.since = now
        if self.state in _PROBE_BW:
            self._set_pacing_rate_with_gain(1.0)
        elif self.state is State.PROBE_RTT:
            self._check_probe_rtt_done(now)

    # --- 5.5: bandwidth, rounds and what is lost in them ---

    @property
    def max_bw(self) -> float:
        """The most that the path delivered in the last two probing cycles, in bytes a second."""
        return self._max_bw.value

    @property
    def bw(self) -> float:
        """What it is taken to deliver now (BBRBoundBWForModel)."""
        return min(self.max_bw, self._bounds.bw_shortterm)

    def _update_congestion_signals(self, rs: RateSample) -> None:
        self._update_round(rs)
        if rs.delivery_rate > 0 and (rs.delivery_rate >= self.max_bw or not rs.is_app_limited):
            self._max_bw.update(rs.delivery_rate, self._probe.cycle)
        if not self._congestion.round_has_begun:
            return
        if self._congestion.loss_in_round and self.state not in _PROBING:
            self._bounds.tighten(self._congestion, self.max_bw, self.cwnd)
        self._congestion.loss_in_round = False

    def _update_round(self, rs: RateSample) -> None:
        rounds = self._rounds
        if rounds.update(rs, self.rate.delivered):
            self._probe.rounds_since += 1
            too_high = self._is_too_high(rounds.lost, rounds.lost + rounds.acked)
            if self.state is State.STARTUP:
                self._check_startup_high_loss(too_high)
            self._congestion.round_ended(too_lossy=too_high and self.state not in _PROBING)
            rounds.forget_losses()

    # --- 5.6.2: the pacing rate ---

    def _set_pacing_rate_with_gain(self, gain: float) -> None:
        rate = gain * self.bw * (1.0 - p.PACING_MARGIN)
        if rate > 0.0 and (self._full_pipe.reached or rate > self.pacing_rate):
            # Not slower than the least window each round trip: below that, the window alone sets the pace.
            self.pacing_rate = max(rate, self._min_pipe / max(self._min_rtt.value, p.SHORTEST_RTT))

    # --- 5.6.4: the window ---

    def _bdp(self, bw: float) -> float:
        min_rtt = self._min_rtt.value
        return p.INITIAL_PACKETS * self.mss if math.isinf(min_rtt) else bw * min_rtt

    def _quantized(self, inflight: float) -> float:
        inflight = max(inflight, p.OFFLOAD_BUDGET_QUANTA * self.send_quantum, float(self._min_pipe))
        return inflight + 2 * self.mss if self.state is State.PROBE_BW_UP else inflight

    def _inflight(self, bw: float, gain: float) -> float:
        return self._quantized(gain * self._bdp(bw))

    def _set_cwnd(self, rs: RateSample) -> None:
        most = self._quantized(CWND_GAIN[self.state] * self._bdp(self.bw) + self._aggregation.extra)
        if self._full_pipe.reached:
            self.cwnd = int(min(self.cwnd + rs.newly_acked, most))
        elif self.cwnd < most or self.rate.delivered < p.INITIAL_PACKETS * self.mss:
            self.cwnd += rs.newly_acked
        if self.state is State.PROBE_RTT:
            self.cwnd = min(self.cwnd, self._probe_rtt_cwnd())
        self._bound_cwnd_for_model()

    def _bound_cwnd_for_model(self) -> None:
        bound = math.inf
        if self.state in _PROBE_BW and self.state is not State.PROBE_BW_CRUISE:
            bound = self._bounds.inflight_longterm
        elif self.state in (State.PROBE_RTT, State.PROBE_BW_CRUISE):
            bound = self._bounds.with_headroom(self.mss, self._min_pipe)
        bound = max(min(bound, self._bounds.inflight_shortterm), float(self._min_pipe))
        self.cwnd = max(int(min(self.cwnd, bound)), self._min_pipe)
