"""Streams that rest: they cost nothing, and are woken by whatever gives them something to do."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from actors.quic_worker.connection import Stream
from tests.kit.link_model import Line


def client(line: Line) -> Any:
    """aioquic's own connection."""
    return line.client.engine._connection  # type: ignore[attr-defined]


async def resting(count: int) -> Line:
    """A line with so many open requests that nobody has answered."""
    line = Line(rtt=0.01, megabits=100.0, answer=None)
    for _ in range(count):
        line.request(100, fin=False)
    assert line.wait(lambda: len(line.accepted) == count, 10.0)
    line.settle(3.0)
    return line


async def test_streams_that_rest_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    line = await resting(300)
    connection = client(line)
    assert connection._streams_queue == []
    assert len(connection._streams) == 300
    looked: list[int] = []
    limits = connection._write_stream_limits

    def counting(builder: Any, space: Any, stream: Any) -> None:
        looked.append(stream.stream_id)
        limits(builder, space, stream)

    monkeypatch.setattr(connection, "_write_stream_limits", counting)
    line.accepted[7].stream.write(bytes(5000))
    line.settle()
    assert looked == []
    assert connection._streams_queue == []


async def test_whatever_gives_a_stream_something_to_do_wakes_it() -> None:
    """Bytes of ours and of the peer's, ends, resets and stops of either side: all of them come through, once."""
    line = await resting(40)
    streams = [far.stream for far in line.accepted]
    peers = {stream.id: stream for stream in line.server._streams.values()}
    acts: list[Callable[[Stream, Stream], None]] = [
        lambda ours, theirs: ours.write(b"more"),
        lambda ours, theirs: ours.write(b"", fin=True),
        lambda ours, theirs: ours.reset(3),
        lambda ours, theirs: ours.stop(3),
        lambda ours, theirs: theirs.write(b"more", fin=True),
        lambda ours, theirs: theirs.reset(3),
        lambda ours, theirs: theirs.stop(3),
    ]
    for act, stream in zip(itertools.cycle(acts), streams, strict=False):
        act(stream, peers[stream.id])
        act(stream, peers[stream.id])  # what is done twice is in the queue once
        line.settle(0.002)
    line.settle()
    assert not line.is_lost
    for stream in streams:
        stream.write(b"", fin=True)
        peers[stream.id].write(b"", fin=True)
        line.settle(0.002)
    line.settle(3.0)
    assert not line.is_lost
    assert client(line)._streams == {}
    assert client(line)._streams_queue == []


@pytest.mark.slow
async def test_limits_of_many_streams_are_all_announced() -> None:
    """Many at once, none of which the peer may wait for in vain."""
    line = Line(rtt=0.01, megabits=100.0)
    requests = [line.request(140_000) for _ in range(40)]  # each more than its first window
    assert line.wait(lambda: all(request.ended for request in requests), 60.0)
