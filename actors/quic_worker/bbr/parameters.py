"""The constants of the draft by its own names (section 2), and those that it does not have.

The draft is draft-ietf-ccwg-bbr-06; sections in this folder are counted as there. Where the code differs from it stands
at the end of this file, all of it, with the reason; figures are of the virtual-time path of `tests/kit/path_model.py`.
"""

from typing import Final

STARTUP_PACING_GAIN: Final = 2.77
"""4 ln 2: what doubles the delivery rate each round."""

DRAIN_PACING_GAIN: Final = 0.5
"""Takes out in a round what Startup has put into the queue."""

DRAIN_MAX_ROUNDS: Final = 3
"""Rounds after which Drain ends, drained or not."""

DEFAULT_CWND_GAIN: Final = 2.0
"""Bandwidth-delay products that may be in flight: one of data, one of acknowledgements that come late."""

PROBE_UP_CWND_GAIN: Final = 2.25

PROBE_DOWN_PACING_GAIN: Final = 0.9
PROBE_UP_PACING_GAIN: Final = 1.25

PACING_MARGIN: Final = 0.01
"""Share by which pacing stays below the estimate, so that the queue drains."""

LOSS_THRESH: Final = 0.02
"""Share of lost bytes in a round trip that is too much."""

BETA: Final = 0.7
"""What a bound is multiplied by when there was too much."""

HEADROOM: Final = 0.15
"""Share of the inflight bound that is left free for others."""

MIN_PIPE_PACKETS: Final = 4
"""The least window: enough for acknowledgements of every second packet to keep coming."""

INITIAL_PACKETS: Final = 10
"""The first window (RFC 6928, RFC 9002 section 7.2)."""

INITIAL_RTT: Final = 0.001
"""Seconds that stand for the round trip in the first pacing rate (section 5.6.2: before there is a sample)."""

SHORTEST_RTT: Final = 1e-6
"""Seconds: a clock may not have moved between a packet and its acknowledgement."""

MAX_BW_FILTER_CYCLES: Final = 2
"""Probing cycles over which the bandwidth estimate is a maximum."""

EXTRA_ACKED_FILTER_ROUNDS: Final = 10
MIN_RTT_FILTER_SECONDS: Final = 10.0
PROBE_RTT_INTERVAL: Final = 5.0
"""Seconds after which the least round trip is looked for again."""

PROBE_RTT_DURATION: Final = 0.2
"""Seconds with a small window, so that the queue is empty at least once."""

PROBE_RTT_CWND_GAIN: Final = 0.5

STARTUP_FULL_BW_GROWTH: Final = 1.25
STARTUP_FULL_BW_ROUNDS: Final = 3
"""Rounds without that growth after which the pipe counts as full."""

MAX_RENO_ROUNDS: Final = 63
"""Rounds between two probes at most, where Reno would have grown by a window (section 5.3.3.8.3)."""

PROBE_WAIT: Final = 2.0
PROBE_WAIT_SPREAD: Final = 1.0
"""Seconds between two probes: two to three."""

MAX_SEND_QUANTUM: Final = 64 * 1024
SEND_QUANTUM_SECONDS: Final = 0.001
"""What may leave in one go: a millisecond's worth."""

# --- deviations from the draft ---

NOISE_THRESH: Final = 0.10
"""Share of lost bytes that is too much while nothing queues.

Wi-Fi and mobile links lose packets by chance: at 3 % the draft's threshold gives up most of the line, though nothing is
overloaded. While round trips show no queue, only a share that chance does not make counts: that of a policer, which
drops a fifth of what a probe sends above its rate.
"""

QUEUE_RTT: Final = 1.2
"""Round trips so much longer than the least one mean that something queues; then the draft's threshold holds."""

LEAST_LOSSES: Final = 6
"""Full packets that must be lost before their share counts, in every state (the draft asks for as many in Startup).

One packet of fifty is 2 %. Of two flows that fill a queue together, the smaller one would give up its probe with the
first packet it loses, the larger one only with the fourth, and stay the larger one.
"""

LOSSY_ROUNDS: Final = 2
"""Rounds in a row that must lose too much before the short-term bounds come down: the first one after a probe is still
the probe's. (The draft takes a single loss in a single round.) Rounds of Down do not count at all, unlike in the draft:
the queue is the probe's own, and going; it is no sign that what chance loses meanwhile was lost to it. Rounds of Drain
do: where the line's rate falls to a fifth at the end of Startup, and its queue holds one bandwidth-delay product, 5.4 %
of all packets of the next 20 s are lost, and 11.1 % if they do not count."""

OFFLOAD_BUDGET_QUANTA: Final = 3.0
"""Send quanta that fit in the window at least. The draft has one for QUIC and three for TCP (section 5.5.8). Here the
pacer runs on an event loop whose timers are up to a millisecond, one quantum, late, at either end of a round trip.
With one or three the figures are the same wherever a round trip is 2 ms or more (100 Mbit/s and 2 ms, the whole line
and 8 ms of p95 round trip; 100 Mbit/s and 10 ms, 99 % and 16 ms); the three are for shorter ones."""

# Others have no constant:
#
# - The pacing rate is never below the least window each round trip (`Bbr._set_pacing_rate_with_gain`; the draft has no
#   least rate). A worker that only receives sends samples of 40 bytes; a rate of 400 bytes a second came of them, and
#   the connection was silent until it was given up.
# - Aggregation of acknowledgements is a maximum over ten rounds in Startup too; the draft takes one (section 5.5.9).
#   With one, a flow that comes late to a line of 10 Mbit/s and 100 ms shares it less evenly (Jain's index of a minute:
#   0.89, and 0.92 with ten).
# - ProbeRTT does not begin the wait for the next probe anew (`Bbr._check_probe_rtt_done`).
# - No precautionary probing (section 5.3.3.6: after a probe that lost too much, the next one stops at the long-term
#   bound and goes on a round later). Here a probe loses too much only when a queue and `LEAST_LOSSES` come together.
# - No undo of spurious losses (section 5.5.11): aioquic forgets a packet when it is declared lost, and never learns
#   that it has arrived.
# - The first loss of a round does not begin a new loss round (NoteLoss, section 5.5.10.2): whether a round lost too
#   much is judged at its own end, over all of it, and not from the first loss on.
# - Startup ends by loss when one whole round lost too much; the draft counts discontiguous ranges (section 5.3.1.3),
#   which aioquic does not tell: `LEAST_LOSSES` counts packets.
