"""BBR's pacer: what it lets out when the event loop's timers are late."""

import itertools
import random
from collections.abc import Iterable

import pytest

from actors.quic_worker.bbr.model import Bbr
from actors.quic_worker.engines.aioquic_bbr import MOST_DEBT_PACKETS, ModelPacer

MSS = 1452


def pacer_of(rate: float) -> ModelPacer:
    model = Bbr(MSS, random.Random(1))
    model.pacing_rate = rate
    return ModelPacer(model)


def send(pacer: ModelPacer, now: float, sizes: Iterable[int] = itertools.repeat(MSS)) -> int:
    """A batch as aioquic builds it: as many packets as may leave now; those of 0 bytes are not in flight."""
    built: list[int] = []
    for size in sizes:
        if pacer.next_send_time(now) is not None:
            break
        built.append(size)
        pacer.update_after_send(now)
    for size in filter(None, built):
        pacer.charge(size)
    pacer.batch_ended()
    return len(built)


def sent_in_a_second(rate: float, lateness: float) -> float:
    """Bytes that leave if there is always something to send, and each timer comes so late."""
    pacer = pacer_of(rate)
    now, packets = 1000.0, 0
    while now < 1001.0:
        packets += send(pacer, now)
        due = pacer.next_send_time(now)
        assert due is not None
        now = due + lateness
    return float(packets * MSS)


@pytest.mark.parametrize("lateness", [0.0, 0.001])
@pytest.mark.parametrize("rate", [100e3, 2.5e6, 125e6])
def test_timers_of_a_millisecond_cost_no_rate(rate: float, lateness: float) -> None:
    assert 0.98 * rate <= sent_in_a_second(rate, lateness) <= 1.03 * rate


def test_what_leaves_at_once_is_two_milliseconds_of_the_rate() -> None:
    """After a pause; a longer burst would fill the queue that the model keeps empty."""
    pacer = pacer_of(12.5e6)
    for now in (1000.0, 1010.0):
        assert send(pacer, now) * MSS <= 0.002 * 12.5e6 + MSS


def test_acknowledgements_cost_no_tokens() -> None:
    """They are not in flight: a thousand of them, and data leaves as if there had been none."""
    pacer = pacer_of(100e3)
    for number in range(1000):
        send(pacer, 1000.0 + number * 1e-3, sizes=[0])
    assert pacer.next_send_time(1001.0) is None


def test_what_left_ahead_of_the_pace_is_a_debt_of_two_packets_at_most() -> None:
    """Data that rides on acknowledgements does not wait; a slow connection must not fall silent for it."""
    pacer = pacer_of(100e3)
    for _ in range(100):
        pacer.update_after_send(1000.0)
        pacer.charge(MSS)
        pacer.batch_ended()
    due = pacer.next_send_time(1000.0)
    assert due is not None
    assert due - 1000.0 <= (MOST_DEBT_PACKETS + 1) * MSS / 100e3


def test_probe_waits_for_nothing_and_lets_nothing_else_through() -> None:
    pacer = pacer_of(100e3)
    send(pacer, 1000.0)
    assert pacer.next_send_time(1000.0) is not None
    pacer.lets_one_pass = True
    assert send(pacer, 1000.0) == 1
    assert pacer.next_send_time(1000.0) is not None


def test_pace_is_never_below_the_least_window_a_round_trip() -> None:
    """However small the samples are: an application that sends little is no slow path."""
    model = Bbr(MSS, random.Random(1))
    now = 1000.0
    for _ in range(400):  # 40 bytes a round trip, not marked as application-limited
        packet = model.on_sent(40, now)
        now += 0.04
        model.on_acked(packet, now)
        model.on_ack_ended(now)
    assert model.full_bw_reached
    assert model.pacing_rate >= 4 * MSS / model.min_rtt
