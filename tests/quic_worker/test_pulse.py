"""A dead path is seen, and none else."""

from actors.quic_worker.pulse import LOOK_INTERVAL, PATIENCE, QUIET, SAMPLE_INTERVAL, Due, Pulse


def looks(pulse: Pulse, since: float, until: float) -> list[tuple[float, Due]]:
    """What is due at looks in order, from then to then."""
    seen: list[tuple[float, Due]] = []
    now = since
    while now <= until:
        if (due := pulse.look(now)) is not Due.NOTHING:
            seen.append((now, due))
        now += LOOK_INTERVAL
    return seen


def test_the_first_ping_is_for_the_round_trip() -> None:
    pulse = Pulse(100.0)
    assert pulse.look(100.0) is Due.PING
    pulse.heard(100.03)
    pulse.answered(100.03)
    assert round(pulse.round_trip_time, 3) == 0.03


def test_silence_is_asked_and_then_given_up() -> None:
    pulse = Pulse(0.0)
    pulse.look(0.0)
    pulse.heard(0.0)
    pulse.answered(0.0)
    assert looks(pulse, 1.0, 11.0) == [(QUIET, Due.PING), (QUIET + PATIENCE, Due.GIVE_UP), (11.0, Due.GIVE_UP)]


def test_any_byte_is_a_sign_of_life() -> None:
    pulse = Pulse(0.0)
    assert pulse.look(0.0) is Due.PING
    for now in range(1, 100):
        pulse.heard(float(now))
        assert pulse.look(float(now)) is Due.NOTHING, "the PING waits behind a body"
    assert looks(pulse, 100.0, 110.0)[0][1] is Due.GIVE_UP


def test_a_busy_path_is_still_measured() -> None:
    pulse = Pulse(0.0)
    pings = 0
    for tick in range(1, 101):
        now = float(tick)
        pulse.heard(now)
        if pulse.look(now) is Due.PING:
            pings += 1
            pulse.answered(now + 0.5)
    assert pings == 100 // SAMPLE_INTERVAL + 1


def test_our_own_sleep_is_nobody_s_fault() -> None:
    pulse = Pulse(0.0)
    assert pulse.look(0.0) is Due.PING
    assert pulse.look(60.0) is not Due.GIVE_UP
    assert (60.0 + QUIET + PATIENCE, Due.GIVE_UP) in looks(pulse, 61.0, 80.0)


def test_an_answer_that_nobody_asked_for_is_none() -> None:
    pulse = Pulse(0.0)
    pulse.answered(1.0)
    assert pulse.round_trip_time == 0.0
