"""Acknowledgements ride on answers, and come in time where there are none."""

from typing import Any

import pytest

from actors.quic_worker.engines.aioquic_acks import LONE_DELAY
from tests.kit.link_model import Line


def sent(line: Line) -> int:
    """Packets of the client's."""
    connection: Any = line.client.engine._connection  # type: ignore[attr-defined]
    return int(connection.packets_sent)


async def test_answer_to_a_request_carries_its_acknowledgement() -> None:
    """One packet a request, with the odd one for limits."""
    line = Line(rtt=0.01, megabits=100.0)
    before = sent(line)
    for count in range(1, 101):
        line.request()
        assert line.wait(lambda count=count: sum(far.ended for far in line.accepted) == count, 1.0)  # type: ignore[misc]
        line.settle(0.02)
    assert 100 <= sent(line) - before <= 110


@pytest.mark.parametrize(("size", "within"), [(100, LONE_DELAY), (2000, 0.002)])
async def test_what_nothing_answers_is_acknowledged_in_time(size: int, within: float) -> None:
    """A single packet's by its delay, that of two by aioquic's own."""
    line = Line(rtt=0.1, megabits=1000.0, answer=None)
    line.settle(5.0)
    line.request(size, fin=False)
    assert line.wait(lambda: len(line.accepted) == 1 and line.accepted[0].received == size, 1.0)
    before, came = sent(line), line.clock.now
    assert line.wait(lambda: sent(line) > before, 1.0)
    assert line.clock.now - came == pytest.approx(within, abs=0.0015)
    line.settle(0.1)
    assert sent(line) == before + 1
