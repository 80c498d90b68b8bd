"""A connection between two engines in memory: streams, credit, back-pressure, ends."""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.packet import encode_quic_retry, pull_quic_header

from actors.quic_worker import quic
from actors.quic_worker.connection import HIGH_WATER, Owner, Stream
from actors.quic_worker.datagrams import DatagramConnection
from actors.quic_worker.engine import MAX_STREAMS, Address, Closed, Datagram, PacketEngine
from actors.quic_worker.engines import aioquic_credit, aioquic_engine
from actors.quic_worker.engines.aioquic_credit import STREAM_WINDOW
from actors.quic_worker.engines.aioquic_engine import AioquicEngine
from tests.kit.engines import make_client_engine, make_edge_engine
from tests.kit.recorder import Recorder

CLIENT: Address = ("192.0.2.1", 1)
SERVER: Address = ("192.0.2.2", 2)
RETRY_ID = b"retried!"
TOKEN = b"token"


class Clock:
    """The event loop as a connection sees it, with a time of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: deque[Callable[[], object]] = deque()

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.soon.append(functools.partial(callback, *arguments))

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return asyncio.TimerHandle(when, callback, arguments, loop)

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


class Pair:
    """Two connections and the network between them, which delivers when `settle` is called."""

    def __init__(self, accept: Callable[[Stream], None], *, retry: bool = False, post_quantum: bool = False) -> None:
        """`retry`: the server lets the client come twice, to see that its address is its own (RFC 9000 section 8.1)."""
        engine = make_client_engine(post_quantum=post_quantum)
        server = make_edge_engine(
            engine._connection.original_destination_connection_id, retry_source_id=RETRY_ID if retry else None
        )
        self.clock = Clock()
        self.to_server: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()
        self.closed: list[Closed] = []
        self.client = self._connection(engine, self.to_server, accept, self.closed.append)
        self.server = self._connection(server, self.to_client, lambda stream: None, lambda why: None)
        self.client.connect(SERVER)
        if retry:
            self.client.receive([(self._answer_with_retry(), SERVER)])
            assert pull_quic_header(Buffer(data=self.to_server[0])).token == TOKEN
        self.settle()

    def _answer_with_retry(self) -> bytes:
        """Lose the client's first flight; return what asks it for another."""
        header = pull_quic_header(Buffer(data=self.to_server[0]))
        self.to_server.clear()
        assert header.version is not None
        return encode_quic_retry(header.version, RETRY_ID, header.source_cid, header.destination_cid, TOKEN)

    def _connection(
        self,
        engine: PacketEngine,
        queue: deque[bytes],
        accept: Callable[[Stream], None],
        closed: Callable[[Closed], None],
    ) -> DatagramConnection:
        def send(datagrams: list[Datagram]) -> None:
            queue.extend(data for data, _ in datagrams)

        def fail(error: BaseException) -> None:
            raise error

        connection = DatagramConnection(engine, send, Owner(accept, lambda: None, closed, fail))
        connection._loop = self.clock  # type: ignore[assignment]
        return connection

    def settle(self, *, patience: float = 1.0) -> None:
        """Deliver until nothing moves any more, and no timer is due within `patience` seconds."""
        while self._deliver() or self._expire(self.clock.now + patience):
            self.clock.now += 0.0002

    def _deliver(self) -> bool:
        moved = bool(self.clock.soon)
        while self.clock.soon:
            self.clock.soon.popleft()()
        for queue, connection, sender in (
            (self.to_server, self.server, CLIENT),
            (self.to_client, self.client, SERVER),
        ):
            batch = [(data, sender) for data in queue]
            queue.clear()
            if batch:
                connection.receive(batch)
                moved = True
        return moved

    def _expire(self, until: float) -> bool:
        timers = [(due, connection) for connection in (self.client, self.server) if (due := connection.engine.timer())]
        if not timers:
            return False
        due, connection = min(timers, key=lambda timer: timer[0])
        if due > until:
            return False
        self.clock.now = max(self.clock.now, due)
        connection.enter(connection._expired)
        return True


async def test_streams_carry_bytes_and_ends_both_ways() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    ours = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    ours.stream.write(b"question", fin=True)
    pair.settle()
    (theirs,) = accepted
    assert (bytes(theirs.data), theirs.heard) == (b"question", ["eof"])
    theirs.stream.write(b"ans")
    theirs.stream.write(b"wer", fin=True)
    pair.settle()
    assert (bytes(ours.data), ours.heard) == (b"answer", ["eof"])


async def test_datagram_frames_are_read_and_left_alone() -> None:
    """They are negotiated, as peers expect (RFC 9221); a quick tunnel has no use for them. None is ever sent."""
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    for size in (0, 1, 1000):
        pair.server.engine._connection.send_datagram_frame(bytes(size))  # type: ignore[attr-defined]
        pair.server.transmit()
        pair.settle()
    pair.server.open_stream(Recorder).write(b"hello", fin=True)
    pair.settle()
    assert bytes(accepted[0].data) == b"hello"
    assert not pair.closed


async def test_retry_is_followed_with_its_token() -> None:
    """The local edge sends none; Cloudflare's may, when it is under attack."""
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)), retry=True)
    pair.server.open_stream(Recorder).write(b"hello", fin=True)
    pair.settle()
    assert bytes(accepted[0].data) == b"hello"
    assert not pair.closed


async def test_many_more_streams_than_the_engine_s_own_limit() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    for _ in range(MAX_STREAMS):
        pair.server.open_stream(lambda stream: Recorder(stream)).write(b"x")
    pair.settle()
    assert len(accepted) == MAX_STREAMS
    for recorder in accepted:
        recorder.stream.write(b"", fin=True)
        recorder.stream.stop()
    pair.settle()
    assert pair.client._streams == {}, "finished streams are forgotten"
    for _ in range(MAX_STREAMS // 2):
        pair.server.open_stream(lambda stream: Recorder(stream)).write(b"x")
    pair.settle()
    assert len(accepted) == MAX_STREAMS * 3 // 2, "and at least half of their places are given to new ones"


async def test_unread_stream_stops_at_its_window_and_others_go_on() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream, consumes=not accepted)))
    reading = pair.server.open_stream(lambda stream: Recorder(stream))
    reading.write(b"first")
    pair.settle()
    unread = pair.server.open_stream(lambda stream: Recorder(stream))
    unread.write(bytes(3 * STREAM_WINDOW))
    pair.settle()
    reader, stalled = accepted
    assert len(stalled.data) == STREAM_WINDOW
    reading.write(bytes(2 * STREAM_WINDOW))
    pair.settle()
    assert len(reader.data) == 5 + 2 * STREAM_WINDOW
    stalled.stream.consumed(STREAM_WINDOW)
    pair.settle()
    assert len(stalled.data) == 2 * STREAM_WINDOW


async def test_window_grows_while_it_is_too_small_and_never_beyond_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    largest, together = 4 * STREAM_WINDOW, 10 * STREAM_WINDOW
    monkeypatch.setattr(aioquic_credit, "GROWTH_ROUND_TRIPS", 1e9)  # as on a link of any length
    monkeypatch.setattr(aioquic_credit, "MAX_STREAM_WINDOW", largest)
    monkeypatch.setattr(aioquic_credit, "CONNECTION_WINDOW", together)
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    for _ in range(6):
        pair.server.open_stream(lambda stream: Recorder(stream)).write(bytes(4 * largest))
    pair.settle()
    assert [len(recorder.data) for recorder in accepted] == [4 * largest] * 6
    engine = pair.client.engine
    assert isinstance(engine, AioquicEngine)
    sizes = [window.size for window in engine._connection._windows.values()]
    assert max(sizes) == largest
    assert sum(size - STREAM_WINDOW for size in sizes) <= together
    for recorder in accepted:
        recorder.stream.stop()
        recorder.stream.write(b"", fin=True)
    pair.settle()
    assert engine._connection._grown == 0


async def test_connection_credit_comes_back_from_streams_that_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the connection's window, over streams that are stopped, reset or closed half read."""
    monkeypatch.setitem(aioquic_engine._COMMON, "max_data", 2 * STREAM_WINDOW)
    monkeypatch.setattr(aioquic_credit, "CONNECTION_WINDOW", 2 * STREAM_WINDOW)
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream, consumes=False)))
    for number in range(12):
        stream = pair.server.open_stream(lambda stream: Recorder(stream))
        stream.write(bytes(STREAM_WINDOW), fin=number % 3 == 0)
        pair.settle()
        theirs = accepted[-1]
        assert len(theirs.data) == STREAM_WINDOW, f"stream {number}"
        if number % 3 == 1:
            stream.reset()
        elif number % 3 == 2:
            theirs.stream.stop()
        theirs.stream.write(b"", fin=True)
        stream.stop()
        pair.settle()


async def test_writer_is_paused_and_resumed() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    opened = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    opened.stream.write(b"go")
    pair.settle()
    writer = accepted[0]
    while "pause" not in writer.heard:
        writer.stream.write(bytes(HIGH_WATER // 4))
    pair.settle()
    assert writer.heard == ["pause", "resume"]
    opened.consumes = False
    while writer.heard.count("pause") < 2:
        writer.stream.write(bytes(HIGH_WATER))
    writer.stream.write(bytes(2 * STREAM_WINDOW))
    pair.settle()
    assert writer.heard[-1] == "pause", "the peer's window is full, and nobody reads"


@pytest.mark.parametrize("fin", [False, True])
async def test_answer_that_does_not_wait_for_the_end_of_the_question_arrives_whole(fin: bool) -> None:
    class Hasty(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.stream.write(b"answer", fin=True)
            self.stream.stop()

    def accept(stream: Stream) -> None:
        Hasty(stream)

    pair = Pair(accept)
    opened = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    opened.stream.write(b"question", fin=fin)
    pair.settle()
    assert opened.data == b"answer"
    assert opened.heard == (["eof"] if fin else ["stop", "eof"])


async def test_writer_that_fills_its_stream_again_at_once_is_resumed_again() -> None:
    left = 20

    class Filler(Recorder):
        def resume_writing(self) -> None:
            nonlocal left
            while left and not self.stream._paused:
                left -= 1
                self.stream.write(bytes(HIGH_WATER), fin=not left)

    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Filler(stream)))
    opened = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    opened.stream.write(b"go")
    pair.settle()
    accepted[0].resume_writing()
    pair.settle()
    assert len(opened.data) == 20 * HIGH_WATER
    assert opened.heard == ["eof"]


async def test_resets_and_stops_are_told() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    opened = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    opened.stream.write(b"x")
    pair.settle()
    opened.stream.reset(5)
    opened.stream.stop(6)
    pair.settle()
    assert sorted(accepted[0].heard) == ["reset", "stop"]
    accepted[0].stream.write(b"nobody listens", fin=True)
    pair.settle()
    assert pair.client._streams == {}


async def test_stream_that_begins_with_its_reset_is_accepted_and_forgotten() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    opened = pair.server.open_stream(lambda stream: Recorder(stream))
    opened.reset()
    pair.settle()
    for recorder in accepted:
        recorder.stream.reset()
    pair.settle()
    assert pair.client._streams == {}


async def test_slow_streams_do_not_keep_what_quick_ones_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the connection's credit is held by streams that nobody reads: the rest goes round all the same."""
    window = 8 * STREAM_WINDOW
    monkeypatch.setitem(aioquic_engine._COMMON, "max_data", window)
    monkeypatch.setattr(aioquic_credit, "CONNECTION_WINDOW", window)
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream, consumes=len(accepted) >= 7)))
    for _ in range(7):
        pair.server.open_stream(lambda stream: Recorder(stream)).write(bytes(STREAM_WINDOW))
    pair.settle()
    pair.server.open_stream(lambda stream: Recorder(stream)).write(bytes(5 * STREAM_WINDOW))
    pair.settle()
    assert len(accepted[-1].data) == 5 * STREAM_WINDOW


async def test_stop_that_comes_after_our_end_makes_no_new_stream() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    opened = pair.server.open_stream(lambda stream: Recorder(stream))
    opened.write(b"x", fin=True)
    pair.settle()
    accepted[0].stream.write(bytes(10 * STREAM_WINDOW), fin=True)
    pair.client.engine.deliver(pair.client)
    opened.stop()
    pair.settle()
    assert len(accepted) == 1
    assert pair.client._streams == {}
    assert not pair.client.engine.is_undelivered()


@pytest.mark.parametrize("fin", [True, False])
async def test_stop_that_comes_before_the_first_data_is_told_behind_it(fin: bool) -> None:
    """Else whoever answers goes on for ever, and what he writes is thrown away."""

    class Eager(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.stream.write(bytes(10 * STREAM_WINDOW))

        def stop_received(self) -> None:
            super().stop_received()
            self.stream.stop()

    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Eager(stream)))
    for _ in range(3):
        opened = pair.server.open_stream(lambda stream: Recorder(stream))
        opened.stop()  # leaves in the same packet, before the data
        opened.write(bytes(3000), fin=fin)
        pair.settle()
        assert "stop" in accepted[-1].heard
        assert not pair.client._streams
        assert not pair.server._streams
    assert not pair.client.engine.is_undelivered()


async def test_stops_of_streams_that_are_done_with_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quic, "MAX_STREAMS", 2)
    pair = Pair(lambda stream: None)
    monkeypatch.setattr(pair.client.engine, "reset", lambda stream_id, error_code: None)
    for stream_id in range(1, 41, 4):
        pair.client.stop_sending(stream_id, 0)
    assert list(pair.client._early_stops) == [33, 37]


async def test_write_after_the_peer_s_stop_is_no_fault() -> None:
    """The peer's STOP_SENDING is read in the same batch as the bytes that a handler answers to."""
    accepted: list[Recorder] = []

    class Answering(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.stream.write(b"answer", fin=True)

    pair = Pair(lambda stream: accepted.append(Answering(stream)))
    other = pair.server.open_stream(lambda stream: Recorder(stream))
    opened = pair.server.open_stream(lambda stream: Recorder(stream))
    opened.write(b"question")
    opened.stop()
    other.write(b"of another stream")
    pair.settle()
    assert sorted(bytes(recorder.data) for recorder in accepted) == [b"of another stream", b"question"]


async def test_fault_in_a_handler_costs_its_own_stream_alone() -> None:
    accepted: list[Recorder] = []
    faults: list[object] = []

    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            if data == b"bad":
                raise ZeroDivisionError
            super().data_received(data)

    pair = Pair(lambda stream: accepted.append(Faulty(stream)))
    pair.clock.call_exception_handler = faults.append  # type: ignore[attr-defined]
    bad = Recorder(pair.server.open_stream(lambda stream: Recorder(stream)))
    good = pair.server.open_stream(lambda stream: Recorder(stream))
    bad.stream.write(b"bad")
    good.write(b"good")
    pair.settle()
    assert bytes(accepted[1].data) == b"good"
    assert sorted(bad.heard) == ["reset", "stop"]
    assert len(faults) == 1


async def test_fault_at_the_last_data_does_not_keep_the_stream() -> None:
    class Faulty(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Faulty(stream)))
    pair.clock.call_exception_handler = lambda context: None  # type: ignore[attr-defined]
    pair.server.open_stream(lambda stream: Recorder(stream)).write(b"bad", fin=True)
    pair.settle()
    assert pair.client._streams == {}


class Panic(BaseException):
    """As a native part may raise it: no Exception."""


@pytest.mark.parametrize("error", [ZeroDivisionError, Panic])
@pytest.mark.parametrize("where", ["receive", "deliver", "datagrams", "expire", "send"])
async def test_fault_in_the_engine_is_told_once_from_whichever_callback(
    where: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever waits on a stream is told too."""
    accepted: list[Recorder] = []
    faults: list[BaseException] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    pair.client._owner = pair.client._owner._replace(on_fault=faults.append)
    pair.server.open_stream(Recorder).write(b"request")
    pair.settle()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pair.client.engine, where, fail)
    for _ in range(3):  # each way in
        accepted[0].stream.write(b"answer")
        while pair.clock.soon:
            pair.clock.soon.popleft()()
        pair.client.receive([(b"datagram", SERVER)])
        monkeypatch.setattr(pair.client.engine, "timer", lambda: pair.clock.now)
        pair.client.enter(pair.client._expired)
        pair.client.ping()
    pair.client.close()
    assert [type(fault) for fault in faults] == [error]
    assert sorted(accepted[0].heard) == ["reset", "stop"]
    assert pair.client.is_closed
    async with asyncio.timeout(5):
        await pair.client.flushed()


async def test_handlers_that_raise_at_the_end_do_not_hide_that_it_has_ended() -> None:
    accepted: list[Recorder] = []
    faults: list[object] = []

    class Faulty(Recorder):
        def reset_received(self) -> None:
            super().reset_received()
            raise ZeroDivisionError

    pair = Pair(lambda stream: accepted.append(Faulty(stream)))
    pair.clock.call_exception_handler = faults.append  # type: ignore[attr-defined]
    for _ in range(3):
        pair.server.open_stream(Recorder).write(b"x")
    pair.settle()
    pair.server.close(7, "enough")
    pair.settle(patience=10.0)
    assert pair.closed == [Closed(7, "enough", True)]
    assert [sorted(recorder.heard) for recorder in accepted] == [["reset", "stop"]] * 3
    assert len(faults) == 3


async def test_accept_that_raises_costs_its_own_stream_alone() -> None:
    accepted: list[Recorder] = []
    faults: list[object] = []

    def accept(stream: Stream) -> None:
        if not faults:
            raise ZeroDivisionError
        accepted.append(Recorder(stream))

    pair = Pair(accept)
    pair.clock.call_exception_handler = faults.append  # type: ignore[attr-defined]
    bad = Recorder(pair.server.open_stream(Recorder))
    bad.stream.write(b"bad")
    pair.settle()
    pair.server.open_stream(Recorder).write(b"good")
    pair.settle()
    assert bytes(accepted[0].data) == b"good"
    assert sorted(bad.heard) == ["reset", "stop"]
    assert len(faults) == 1


@pytest.mark.parametrize("end", ["reset", "fin"])
async def test_unidirectional_streams_of_the_peer_are_no_fault(end: str) -> None:
    """There are none in the protocol: what they carry is thrown away, and they cost no credit, however they end."""
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    server = pair.server.engine._connection  # type: ignore[attr-defined]
    for _ in range(100):
        number = server.get_next_available_stream_id(is_unidirectional=True)
        server.send_stream_data(number, bytes(1000), end_stream=end == "fin")
        pair.server.transmit()
        pair.settle()
        if end == "reset":
            server.reset_stream(number, 7)
            pair.server.transmit()
            pair.settle()
    pair.server.open_stream(Recorder).write(b"hello", fin=True)
    pair.settle()
    assert bytes(accepted[0].data) == b"hello"
    assert not pair.closed


async def test_idle_streams_of_the_peer_do_not_hold_up_a_flush() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    pair.server.open_stream(lambda stream: Recorder(stream)).write(b"and then nothing")
    pair.settle()
    async with asyncio.timeout(5):
        await pair.client.flushed()


async def test_ping_leaves_though_the_congestion_window_is_full() -> None:
    """The network is gone in the middle of a body: the next PING must be the one that finds it back."""
    pair = Pair(lambda stream: None)
    stream = pair.client.open_stream(Recorder)
    stream.write(bytes(STREAM_WINDOW))
    for _ in range(1000):  # so long until pacing holds nothing back any more
        pair.clock.now += 0.001
        pair.client.transmit()
    pair.to_server.clear()
    pair.client.transmit()
    assert not pair.to_server, "the window is full"
    pair.client.ping()
    pair.client.transmit()
    assert len(pair.to_server) == 1


async def test_flushed_waits_for_acknowledgement() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    pair.server.open_stream(lambda stream: Recorder(stream))  # id 1: the first of ours that counts
    opened = pair.client.open_stream(lambda stream: Recorder(stream))
    opened = pair.client.open_stream(lambda stream: Recorder(stream))
    opened.write(bytes(100_000), fin=True)
    waiting = asyncio.create_task(pair.client.flushed())  # noqa: TID251 - awaited below
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.settle()
    async with asyncio.timeout(5):
        await waiting


async def test_flushed_does_not_wait_for_the_stream_that_does_not_count() -> None:
    pair = Pair(lambda stream: None)
    pair.client.open_stream(lambda stream: Recorder(stream))
    control = pair.client.open_stream(lambda stream: Recorder(stream))  # whichever it is
    control.write(b"never acknowledged")
    assert pair.client.engine.is_undelivered()
    async with asyncio.timeout(5):
        await pair.client.flushed(besides=control)


async def test_close_is_told_with_its_reason_and_ends_every_stream() -> None:
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    opened = pair.server.open_stream(lambda stream: Recorder(stream))
    opened.write(b"x")
    pair.settle()
    pair.server.close(7, "enough")
    pair.settle(patience=10.0)  # aioquic tells of the end when its drain period is over
    assert pair.closed == [Closed(7, "enough", True)]
    assert sorted(accepted[0].heard) == ["reset", "stop"]


@pytest.mark.parametrize("post_quantum", [False, True])
async def test_key_exchange_is_post_quantum(post_quantum: bool) -> None:
    pair = Pair(lambda stream: None, post_quantum=post_quantum)
    assert pair.client.engine.key_exchange() == "X25519MLKEM768"


async def test_more_streams_at_once_than_an_engine_has_by_itself() -> None:
    """aioquic has 128."""
    accepted: list[Recorder] = []
    pair = Pair(lambda stream: accepted.append(Recorder(stream)))
    for _ in range(300):
        pair.server.open_stream(lambda stream: Recorder(stream)).write(b"request")
    pair.settle()
    assert len(accepted) == 300
