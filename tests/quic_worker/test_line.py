"""A worker's connection on lines as users have them, in virtual time: what visitors send, and what they get."""

import itertools
import random
import time
from typing import Any

import pytest

from actors.quic_worker.datagrams import DatagramConnection
from tests.kit.link_model import Far, Line

RTTS = (0.01, 0.04, 0.1, 0.25)
LOSSES = (0.0, 0.01, 0.03)


def answered(line: Line, request: Far, limit: float) -> bool:
    """Whether a whole answer came within so many seconds of virtual time."""
    return line.wait(lambda: request.ended, limit)


def download_works(line: Line) -> None:
    """What a visitor would do next: a small page, which comes at the line's pace."""
    line.accepted.clear()
    request = line.request(fin=False)
    assert line.wait(lambda: bool(line.accepted), 10.0)
    line.accepted[0].stream.write(bytes(50_000), fin=True)
    assert answered(line, request, 3.0 + 30 * line.rtt)
    assert request.received == 50_000


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rtt", RTTS)
async def test_uploads_leave_a_connection_that_works(rtt: float, loss: float) -> None:
    """Whoever only receives sends nothing but acknowledgements, and must not take its own silence for the path."""
    line = Line(rtt=rtt, loss=loss)
    size = 800_000 if not loss else 200_000  # the sender's controller gives up most of a lossy line
    for _ in range(2):
        request = line.request(size)
        assert answered(line, request, 120.0)
        assert line.accepted[-1].received == size
    download_works(line)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rtt", RTTS)
async def test_downloads_leave_a_connection_that_works(rtt: float, loss: float) -> None:
    line = Line(rtt=rtt, loss=loss, answer=500_000)
    for _ in range(2):
        request = line.request()
        assert answered(line, request, 3.0 + 30 * rtt)
        assert request.received == 500_000
    download_works(line)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("rtt", RTTS)
async def test_many_small_messages_upwards_leave_a_connection_that_works(rtt: float, loss: float, soak: float) -> None:
    """Telemetry on a WebSocket: 400 messages a second; a minute and more of it with `--soak 60`."""
    line = Line(rtt=rtt, loss=loss)
    socket = line.request(200, fin=False)
    for _ in range(int(400 * soak)):
        socket.stream.write(bytes(200))
        line.settle(0.0025)
    assert not line.is_lost
    assert line.wait(lambda: line.accepted[0].received == 200 * (1 + int(400 * soak)), 60.0)
    download_works(line)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("loss", "reorder"), [(0.0, 0.0), (0.0, 0.2), (0.03, 0.2)])
async def test_end_that_is_acknowledged_before_the_last_data_does_not_keep_a_stream(
    seed: int, loss: float, reorder: float
) -> None:
    """A streamed answer's FIN leaves in a packet of its own, and may overtake the data."""
    line = Line(rtt=0.04, reorder=reorder, loss=loss, answer=None, seed=seed)
    credit = quic(line.client)._local_max_streams_bidi
    granted = credit.value
    for number in range(100):
        request = line.request()
        assert line.wait(lambda number=number: len(line.accepted) > number, 10.0)  # type: ignore[misc]
        stream = line.accepted[number].stream
        stream.write(bytes(500))
        line.settle(0.001)
        stream.write(b"", fin=True)
        assert answered(line, request, 20.0)
    assert line.wait(lambda: not line.client.engine.is_undelivered(), 5.0), "a stop would wait for these"
    line.settle()
    assert list(quic(line.client)._streams) == []
    assert credit.value - granted == 100


def quic(connection: DatagramConnection) -> Any:
    """aioquic's own."""
    return connection.engine._connection  # type: ignore[attr-defined]


def change_ids(line: Line) -> dict[DatagramConnection, int]:
    """From now on both ends take another of the other's ids for each batch, and retire the last; how often they did."""
    changes = dict.fromkeys((line.client, line.server), 0)

    def change(connection: DatagramConnection) -> None:
        engine = quic(connection)
        if engine._handshake_confirmed:
            changes[connection] += bool(engine._peer_cid_available)
            engine.change_connection_id()

    line.before_sending = change
    return changes


def serve(line: Line, dice: random.Random, rounds: int) -> None:
    """Requests of any size, some at once, each answered; ten milliseconds a round."""
    requests: list[Far] = []
    for _ in range(rounds):
        requests += (line.request(dice.randrange(10_000)) for _ in range(dice.randrange(4)))
        line.settle(0.01)
    assert line.wait(lambda: all(request.ended for request in requests), 30.0)
    assert {request.received for request in requests} == {20_000}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("loss", "reorder"), [(0.0, 0.0), (0.02, 0.1)])
async def test_peer_that_takes_another_of_our_ids_for_each_packet(seed: int, loss: float, reorder: float) -> None:
    """It retires them and asks for more, under load both ways; and so do we with its own."""
    line = Line(rtt=0.02, loss=loss, reorder=reorder, megabits=20.0, answer=20_000, seed=seed)
    changes = change_ids(line)
    serve(line, random.Random(seed), 40)
    assert min(changes.values()) > 50


@pytest.mark.slow
@pytest.mark.row("L3")
async def test_soak_with_ids_retired_all_the_time(soak: float) -> None:
    """Load for `--soak` seconds, on one line after the other, each of another kind; no connection is lost."""
    end = time.monotonic() + soak
    for seed in itertools.count():
        dice = random.Random(seed)
        line = Line(
            rtt=dice.uniform(0.001, 0.1),
            loss=dice.choice((0.0, 0.01, 0.03)),
            reorder=dice.choice((0.0, 0.05, 0.2)),
            megabits=dice.uniform(5.0, 50.0),
            congestion_control=dice.choice(("bbr", "cubic")),
            answer=20_000,
            seed=seed,
        )
        change_ids(line)
        for _ in range(20):
            serve(line, dice, 20)
            line.accepted.clear()
            if time.monotonic() > end:
                return
