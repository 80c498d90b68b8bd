"""BBR on paths of all kinds, in virtual time; beside CUBIC, beside itself, and where chance loses packets."""

import random

import pytest

from actors.quic_worker.bbr.filters import WindowedMax
from actors.quic_worker.bbr.model import Bbr, State
from actors.quic_worker.bbr.rate_sample import DeliveryRate, SentPacket
from tests.kit.path_model import MSS, BbrController, CubicController, Flow, Path

pytestmark = pytest.mark.slow

MEGABIT = 1e6 / 8
RATE, RTT = 20 * MEGABIT, 0.04


def alone(path: Path, seconds: float, seed: int = 0) -> Flow:
    flow = Flow(BbrController(seed))
    path.run([flow], seconds)
    return flow


def model(flow: Flow) -> Bbr:
    assert isinstance(flow.controller, BbrController)
    return flow.controller.model


# --- links as users have them ---


@pytest.mark.parametrize(
    ("megabits", "rtt", "loss", "share"),
    [
        *((20, 0.04, loss, 0.9) for loss in (0.0, 0.001, 0.01, 0.03)),
        *((100, 0.01, loss, 0.9) for loss in (0.0, 0.001, 0.005)),
        (10, 0.075, 0.02, 0.85),
    ],
)
def test_fills_a_line_that_loses_packets_by_chance(megabits: float, rtt: float, loss: float, share: float) -> None:
    rate = megabits * MEGABIT
    flow = alone(Path(rate, rtt, queue=0.05 * rate, loss=loss), 5.0)
    assert flow.throughput(1.0, 5.0) >= share * rate


@pytest.mark.parametrize("seed", range(5))
def test_losses_by_chance_are_not_taken_for_those_of_its_own_queue(seed: int) -> None:
    """What is delivered, from the first packet on: 3 % are lost behind the bottleneck, so 97 % are all there is."""
    path = Path(RATE, RTT, queue=0.05 * RATE, loss_behind=0.03, seed=seed)
    assert alone(path, 4.5, seed).throughput(0.0, 4.5) >= 0.9 * RATE


def test_queue_stays_small_however_deep_it_may_be() -> None:
    flow = alone(Path(RATE, RTT, queue=20 * RATE * RTT), 15.0)
    assert flow.throughput(1.0, 15.0) >= 0.95 * RATE
    assert flow.rtt(0.95, 2.0, 15.0) <= 2 * RTT


def test_shallow_queue_is_no_obstacle() -> None:
    flow = alone(Path(RATE, RTT, queue=0.1 * RATE * RTT), 10.0)
    assert flow.throughput(1.0, 10.0) >= 0.9 * RATE


# --- beside others ---


@pytest.mark.parametrize("queue", [1, 2])
def test_neither_it_nor_a_cubic_flow_starves(queue: int) -> None:
    path = Path(RATE, RTT, queue=queue * RATE * RTT)
    flows = [Flow(BbrController(1)), Flow(CubicController())]
    path.run(flows, 60.0)
    assert all(flow.throughput(2.0, 60.0) >= 0.25 * RATE for flow in flows)


@pytest.mark.timeout(400)  # a minute of a line in virtual time, packet by packet, of two flows
@pytest.mark.parametrize("queue", [1, 2])
@pytest.mark.parametrize(("megabits", "rtt", "late"), [(10, 0.1, 3.0), (20, 0.04, 8.0), (50, 0.02, 3.0)])
def test_two_of_it_share(megabits: float, rtt: float, late: float, queue: int) -> None:
    """Though one has the whole line already when the other begins."""
    rate = megabits * MEGABIT
    path = Path(rate, rtt, queue=queue * rate * rtt)
    flows = [Flow(BbrController(1)), Flow(BbrController(2), wants=lambda now: now > late)]
    path.run(flows, 60.0)
    shares = [flow.throughput(late + 2.0, 60.0) for flow in flows]
    jain = sum(shares) ** 2 / (2 * sum(share**2 for share in shares))
    assert jain >= 0.9
    assert sum(shares) >= 0.95 * rate


# --- paths that change ---


def test_policer_is_met_with_its_rate_and_few_losses() -> None:
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.policer = RATE / 2
    flow = alone(path, 20.0)
    assert flow.throughput(5.0, 20.0) >= 0.9 * RATE / 2
    assert flow.lost <= 0.05 * flow.sent


def test_rate_falls_to_a_tenth_and_comes_back() -> None:
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.at(10.0, lambda: setattr(path, "rate", RATE / 10))
    path.at(20.0, lambda: setattr(path, "rate", RATE))
    flow = alone(path, 40.0)
    assert flow.throughput(13.0, 20.0) >= 0.9 * RATE / 10
    assert flow.throughput(25.0, 40.0) >= 0.9 * RATE


@pytest.mark.parametrize(("queue", "most_lost"), [(1, 0.15), (20, 0.0)])
def test_rate_falls_to_a_fifth_after_startup(queue: int, most_lost: float) -> None:
    """Token buckets, "power boost", a second user: Drain ends though the queue never looks drained."""
    flow = Flow(BbrController())
    path = Path(5 * RATE, RTT, queue=queue * 5 * RATE * RTT)
    drain = [0.0, 0.0]
    """When it began, and when it was last seen."""

    def look() -> None:
        if model(flow).state is State.DRAIN:
            drain[:] = [drain[0] or path.now, path.now]
            path.rate = RATE

    for tick in range(10_000):
        path.at(tick / 1000, look)
    path.run([flow], 10.0)
    assert drain[1] - drain[0] <= 2.0, "three rounds, at the round trip of the full queue"
    assert flow.throughput(drain[1], 10.0) >= 0.9 * RATE
    assert flow.rtt(0.5, 8.0, 10.0) <= 2 * RTT, "what Startup saw is forgotten two cycles later"
    assert flow.lost <= most_lost * flow.sent


def test_longer_way() -> None:
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.at(10.0, lambda: setattr(path, "rtt", 3 * RTT))
    flow = alone(path, 40.0)
    assert flow.throughput(25.0, 40.0) >= 0.9 * RATE, "once the short round trip is forgotten"


def test_link_that_is_gone_for_three_seconds() -> None:
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.at(10.0, lambda: setattr(path, "rate", 0))
    path.at(13.0, lambda: setattr(path, "rate", RATE))
    flow = alone(path, 25.0)
    assert flow.throughput(15.0, 25.0) >= 0.9 * RATE


def test_reordering_and_acknowledgements_in_lumps() -> None:
    assert alone(Path(RATE, RTT, queue=2 * RATE * RTT, reorder=0.01), 10.0).throughput(1.0, 10.0) >= 0.9 * RATE
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.ack_interval = 0.02
    assert alone(path, 10.0).throughput(1.0, 10.0) >= 0.9 * RATE


def test_pauses_of_the_application_are_not_taken_for_the_path() -> None:
    """Half a second of data, half a second of nothing: the estimate stands, and each burst goes at the line's rate."""
    flow = Flow(BbrController(), wants=lambda now: now < 3.0 or now % 1.0 < 0.5)
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    path.run([flow], 20.0)
    assert model(flow).max_bw >= 0.9 * RATE
    assert flow.throughput(10.1, 10.5) >= 0.9 * RATE


def test_it_goes_through_its_states() -> None:
    flow = Flow(BbrController())
    path = Path(RATE, RTT, queue=2 * RATE * RTT)
    seen: list[State] = []
    for tick in range(1200):
        path.at(tick / 100, lambda: seen.append(model(flow).state) if seen[-1:] != [model(flow).state] else None)
    path.run([flow], 12.0)
    assert seen[:3] == [State.STARTUP, State.DRAIN, State.PROBE_BW_DOWN] or seen[:2] == [State.STARTUP, State.DRAIN]
    cycle = [State.PROBE_BW_CRUISE, State.PROBE_BW_REFILL, State.PROBE_BW_UP]
    assert any(seen[at : at + 3] == cycle for at in range(len(seen)))
    assert State.PROBE_RTT in seen
    assert model(flow).min_rtt < 1.05 * RTT


# --- its parts ---


def test_windowed_maximum_forgets() -> None:
    window = WindowedMax(2)
    assert window.value == 0.0
    for step, value, largest in ((0, 5.0, 5.0), (0, 3.0, 5.0), (1, 2.0, 5.0), (2, 1.0, 2.0), (9, 0.5, 0.5)):
        window.update(value, step)
        assert window.value == largest


def test_rate_is_what_was_delivered_over_the_longer_of_both_times() -> None:
    rate = DeliveryRate()
    packets = [SentPacket(MSS, 0.01 * number) for number in range(5)]
    for packet in packets:
        rate.sent(packet)
    for number, packet in enumerate(packets):
        rate.acked(packet, 0.1 + 0.005 * number)  # they come back faster than they left
    sample = rate.sample(0.12, 0.1)
    assert sample is not None
    assert sample.delivered == sample.newly_acked == 5 * MSS
    assert sample.delivery_rate == 5 * MSS / 0.12
    assert rate.in_flight == 0
    assert rate.sample(0.13, 0.1) is None


def test_sample_with_nothing_to_send_is_marked() -> None:
    rate = DeliveryRate()
    first, second, third = (SentPacket(MSS, 0.0) for _ in range(3))
    rate.sent(first)
    rate.mark_app_limited()
    rate.sent(second)
    rate.acked(first, 0.1)
    rate.acked(second, 0.1)
    sample = rate.sample(0.1, 0.1)
    assert sample is not None
    assert sample.is_app_limited
    assert not rate.is_app_limited, "all that was in flight then has arrived"
    rate.sent(third)
    assert not third.is_app_limited


def test_long_term_bound_is_one_that_the_window_can_reach() -> None:
    """In whole bytes, like the window: else no probe would raise it again."""
    path = Path(RATE, RTT, queue=0.5 * RATE * RTT)
    flow = alone(path, 5.0)
    assert model(flow).inflight_longterm == int(model(flow).inflight_longterm)


def test_lost_and_discarded_packets_are_not_in_flight() -> None:
    controller = Bbr(MSS, random.Random(1))
    lost, discarded = controller.on_sent(MSS, 0.0), controller.on_sent(MSS, 0.0)
    controller.on_lost(lost, 0.1)
    controller.on_discarded(discarded)
    assert (controller.rate.in_flight, controller.rate.lost) == (0, MSS)
    controller.on_persistent_congestion()
    assert controller.cwnd == 4 * MSS
