"""Back-pressure: nothing is lost, and nothing is given twice."""

from hypothesis import given
from hypothesis import strategies as st

from actors.exchange import flow
from actors.exchange.flow import Valve


class Transport:
    def __init__(self, *, closing: bool = False) -> None:
        self.did: list[str] = []
        self._closing = closing

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")


@given(st.lists(st.one_of(st.integers(1, 1000), st.just("close"), st.just("open"))))
def test_credit_is_held_while_the_sink_is_full_and_given_once(steps: list[int | str]) -> None:
    given_: list[int] = []
    valve = Valve(given_.append)
    passed, is_open = 0, True
    for step in steps:
        before = sum(given_)
        if isinstance(step, int):
            valve.passed(step)
            passed += step
        else:
            is_open = step == "open"
            (valve.open if is_open else valve.close)()
        assert sum(given_) == (passed if is_open else before)
    assert 0 not in given_


def test_sockets_are_stopped_and_started_unless_they_close() -> None:
    transport, closing = Transport(), Transport(closing=True)
    for source in (transport, closing, None):
        flow.stop(source)
        flow.start(source)
    assert transport.did == ["pause", "resume"]
    assert closing.did == []
