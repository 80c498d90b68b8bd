"""What BBR knows of the path and of its own probing: each idea with the state that it is made of. Pure.

None of these knows the state machine (`model.py`), which feeds, asks and resets them. Names are the draft's; sections
are named where they begin.
"""

import enum
import math
import random
from dataclasses import dataclass, field

from actors.quic_worker.bbr import parameters as p
from actors.quic_worker.bbr.filters import WindowedMax
from actors.quic_worker.bbr.rate_sample import RateSample


@dataclass(slots=True)
class Rounds:
    """Round trips of data, counted by what is delivered (5.5.1), and what was lost in the one that runs."""

    count: int = 0
    has_begun: bool = False
    """Whether the present acknowledgement began one."""
    last_rtt: float = math.inf
    """The least round trip of the round that ended last."""
    rtt: float = math.inf
    """The least one of the round that runs."""
    lost: int = 0
    acked: int = 0
    _next_delivered: int = 0

    @property
    def least_rtt(self) -> float:
        """The least round trip of late."""
        return min(self.last_rtt, self.rtt)

    def begin(self, delivered: int) -> None:
        """Another one ends when what is sent from now on is acknowledged; `delivered`: bytes in all by now."""
        self._next_delivered = delivered

    def update(self, rs: RateSample, delivered: int) -> bool:
        """Take a sample; whether a round begins with it. Then `forget_losses` is due."""
        self.has_begun = rs.prior_delivered >= self._next_delivered
        self.rtt = min(self.rtt, rs.rtt)
        self.acked += rs.newly_acked
        if self.has_begun:
            self._next_delivered = delivered
            self.count += 1
            self.last_rtt, self.rtt = self.rtt, math.inf
        return self.has_begun

    def forget_losses(self) -> None:
        """Count those of the new round."""
        self.lost = self.acked = 0


@dataclass(slots=True)
class FullPipe:
    """Whether the path delivers no more, however much is sent (5.3.1.2)."""

    reached: bool = False
    """It was full once: Startup is over."""
    now: bool = False
    """It is, since the last `reset`."""
    _bw: float = 0.0
    _count: int = 0

    def reset(self, bw: float = 0.0) -> None:
        """Look anew whether more than `bw` can be had."""
        self._bw, self._count, self.now = bw, 0, False

    def check(self, rs: RateSample) -> None:
        """Take the sample that begins a round, of a time when there was enough to send."""
        if rs.delivery_rate >= self._bw * p.STARTUP_FULL_BW_GROWTH:
            self.reset(rs.delivery_rate)
            return
        self._count += 1
        self.now = self._count >= p.STARTUP_FULL_BW_ROUNDS
        self.reached = self.reached or self.now


@dataclass(slots=True)
class MinRtt:
    """The shortest round trip, and when it must be looked for again (5.3.4.3)."""

    value: float = math.inf
    is_due: bool = False
    """None as short was seen for so long that the queue is to be drained, to see it."""
    _stamp: float = 0.0
    _probe_delay: float = math.inf
    _probe_stamp: float = 0.0

    def begin(self, now: float) -> None:
        """The first packet leaves."""
        self._stamp = self._probe_stamp = now

    def probed(self, now: float) -> None:
        """It was looked for."""
        self._probe_stamp = now

    def update(self, rtt: float, now: float) -> None:
        """Take a sample's round trip."""
        self.is_due = now > self._probe_stamp + p.PROBE_RTT_INTERVAL
        if rtt < self._probe_delay or self.is_due:
            self._probe_delay, self._probe_stamp = rtt, now
        expired = now > self._stamp + p.MIN_RTT_FILTER_SECONDS
        if self._probe_delay < self.value or expired:
            self.value, self._stamp = self._probe_delay, self._probe_stamp


@dataclass(slots=True)
class Aggregation:
    """Acknowledgements that come in lumps (5.5.9)."""

    since: float = 0.0
    _delivered: int = 0
    _extra: WindowedMax = field(default_factory=lambda: WindowedMax(p.EXTRA_ACKED_FILTER_ROUNDS))

    @property
    def extra(self) -> float:
        """Bytes by which a lump went beyond what the path delivers in its time."""
        return self._extra.value

    def update(self, newly_acked: int, bw: float, cwnd: int, round_count: int, now: float) -> None:
        """Take an acknowledgement, in round `round_count`."""
        expected = bw * (now - self.since)
        if self._delivered <= expected:
            self._delivered, self.since, expected = 0, now, 0.0
        self._delivered += newly_acked
        self._extra.update(min(self._delivered - expected, cwnd), round_count)


@dataclass(slots=True)
class Congestion:
    """Signals of congestion: what the newest samples delivered, and whether rounds lose too much (5.5.10)."""

    bw: float = 0.0
    inflight: int = 0
    loss_in_round: bool = False
    round_has_begun: bool = False
    lossy_rounds: int = 0
    """Rounds in a row that lost too much."""
    _round_delivered: int = 0

    def reset(self) -> None:
        """Forget what was seen before a probe."""
        self.loss_in_round, self.bw, self.inflight = False, 0.0, 0

    def update(self, rs: RateSample, delivered: int) -> None:
        """Take a sample; `delivered`: bytes in all by now."""
        self.bw = max(self.bw, rs.delivery_rate)
        self.inflight = max(self.inflight, rs.delivered)
        self.round_has_begun = rs.prior_delivered >= self._round_delivered
        if self.round_has_begun:
            self._round_delivered = delivered

    def round_ended(self, *, too_lossy: bool) -> None:
        """A round was judged."""
        self.lossy_rounds = self.lossy_rounds + 1 if too_lossy else 0
        self.loss_in_round = self.lossy_rounds >= p.LOSSY_ROUNDS


@dataclass(slots=True)
class Bounds:
    """How much the path is taken to bear at most; infinite where nothing is known against more."""

    bw_shortterm: float = math.inf
    inflight_shortterm: float = math.inf
    inflight_longterm: float = math.inf
    """Whole bytes once it is known: the window reaches it, or nothing would ever raise it."""

    def forget_shortterm(self) -> None:
        """What was learned since the last probe counts no more."""
        self.bw_shortterm = self.inflight_shortterm = math.inf

    def tighten(self, congestion: Congestion, max_bw: float, cwnd: int) -> None:
        """Rounds lost too much, without a probe of ours: do less at once (5.5.10.3)."""
        bw = max_bw if math.isinf(self.bw_shortterm) else self.bw_shortterm
        inflight = float(cwnd) if math.isinf(self.inflight_shortterm) else self.inflight_shortterm
        self.bw_shortterm = max(congestion.bw, p.BETA * bw)
        self.inflight_shortterm = max(float(congestion.inflight), p.BETA * inflight)

    def with_headroom(self, mss: int, min_pipe: int) -> float:
        """What leaves room for other flows below the bound for the long term."""
        if math.isinf(self.inflight_longterm):
            return math.inf
        headroom = max(float(mss), p.HEADROOM * self.inflight_longterm)
        return max(self.inflight_longterm - headroom, float(min_pipe))


class AckPhase(enum.Enum):
    """What the acknowledgements that come now tell about a probe (5.3.3.9)."""

    STARTING = enum.auto()
    FEEDBACK = enum.auto()
    STOPPING = enum.auto()
    REFILLING = enum.auto()


@dataclass(slots=True)
class Probe:
    """Looking for more bandwidth (5.3.3): when, how fast, and what its samples mean."""

    phase: AckPhase = AckPhase.STOPPING
    takes_samples: bool = False
    """Losses in the samples that come now are the probe's doing."""
    rounds_since: int = 0
    cycle: int = 0
    started: float = 0.0
    wait: float = 0.0
    """Seconds from `started` until the next one."""
    _up_rounds: int = 0
    _up_acks: int = 0
    _up_acks_per_step: float = math.inf

    def over(self, rng: random.Random, now: float) -> None:
        """It has ended; the next one is a while away, by chance: flows should not probe together."""
        self._up_acks_per_step = math.inf
        self.rounds_since = rng.randint(0, 1)
        self.wait = p.PROBE_WAIT + rng.random() * p.PROBE_WAIT_SPREAD
        self.started = now
        self.phase = AckPhase.STOPPING

    def refill(self) -> None:
        """It begins by filling the pipe."""
        self._up_rounds = self._up_acks = 0
        self.phase = AckPhase.REFILLING

    def raise_slope(self, mss: int, cwnd: int) -> None:
        """Grow twice as fast as in the round before."""
        growth = mss << self._up_rounds
        self._up_rounds = min(self._up_rounds + 1, 30)
        self._up_acks_per_step = max(cwnd / growth, 1.0) * mss

    def steps(self, newly_acked: int) -> int:
        """Full packets by which the bound is to grow for these acknowledged bytes."""
        self._up_acks += newly_acked
        if self._up_acks < self._up_acks_per_step:
            return 0
        steps = int(self._up_acks / self._up_acks_per_step)
        self._up_acks -= int(steps * self._up_acks_per_step)
        return steps


@dataclass(slots=True)
class ProbeRtt:
    """A short time with little in flight, to see the shortest round trip (5.3.4)."""

    prior_cwnd: int = 0
    round_done: bool = False
    done_at: float | None = None
    """When it may end; None until little is in flight."""
