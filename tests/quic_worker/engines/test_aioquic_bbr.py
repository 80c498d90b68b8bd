"""BBR's pacer: what it lets out when the event loop's timers are late."""

import random

import pytest

from actors.quic_worker.bbr.model import Bbr
from actors.quic_worker.engines.aioquic_bbr import ModelPacer

MSS = 1452


def sent_in_a_second(rate: float, lateness: float) -> float:
    """Bytes that leave if there is always something to send, and each timer comes so late."""
    model = Bbr(MSS, random.Random(1))
    model.pacing_rate = rate
    pacer = ModelPacer(model)
    now, packets = 1000.0, 0
    while now < 1001.0:
        while (due := pacer.next_send_time(now)) is None:
            packets += 1
            pacer.update_after_send(now)
        now = due + lateness
    return float(packets * MSS)


@pytest.mark.parametrize("lateness", [0.0, 0.001])
@pytest.mark.parametrize("rate", [100e3, 2.5e6, 125e6])
def test_timers_of_a_millisecond_cost_no_rate(rate: float, lateness: float) -> None:
    assert 0.98 * rate <= sent_in_a_second(rate, lateness) <= 1.03 * rate


def test_what_leaves_at_once_is_two_milliseconds_of_the_rate() -> None:
    """After a pause; a longer burst would fill the queue that the model keeps empty."""
    model = Bbr(MSS, random.Random(1))
    model.pacing_rate = 12.5e6
    pacer = ModelPacer(model)
    for now in (1000.0, 1010.0):
        packets = 0
        while pacer.next_send_time(now) is None:
            packets += 1
            pacer.update_after_send(now)
        assert packets * MSS <= 0.002 * model.pacing_rate + MSS
