"""What visitors do, without visitors: the edge opens the streams itself, so that no HTTP front is measured."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from actors.local_edge.edge import EdgeSession, EdgeStream
from actors.wire.connect import ConnectionType, ConnectRequest, HeadReader, encode_request
from actors.wire.heads import HEADER_PREFIX, HOST_KEY, METHOD_KEY

PIECE: Final = bytes(64 * 1024)

HEADERS: Final = (
    ("User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Encoding", b"gzip, br"),
    ("Cf-Connecting-Ip", b"203.0.113.7"),
    ("Cf-Ipcountry", b"XX"),
    ("Cf-Ray", b"8f0c2b7c9d3e4a51-LAB"),
    ("Cf-Visitor", b'{"scheme":"https"}'),
    ("Cdn-Loop", b"cloudflare; loops=1"),
    ("X-Forwarded-For", b"203.0.113.7"),
    ("X-Forwarded-Proto", b"https"),
)
"""What a browser and the real edge send along."""

UPGRADE: Final = (("Upgrade", b"websocket"), ("Connection", b"Upgrade"))


class Outcome(NamedTuple):
    """What a load came to."""

    count: int  # type: ignore[assignment]
    """Requests, or bytes of bodies."""
    seconds: float
    p50: float = 0.0
    """Seconds."""
    p99: float = 0.0


def request(path: str, *, method: bytes = b"GET", length: int = 0, upgrade: bool = False) -> bytes:
    """The bytes that open a request stream."""
    more = UPGRADE if upgrade else ((("Content-Length", b"%d" % length),) if length else ())
    metadata = [(METHOD_KEY, method), (HOST_KEY, b"bench.example")]
    metadata += [(HEADER_PREFIX + name, value) for name, value in (*HEADERS, *more)]
    kind = ConnectionType.WEBSOCKET if upgrade else ConnectionType.HTTP
    return encode_request(ConnectRequest(f"https://bench.example{path}", kind, tuple(metadata)))


class Answer:
    """A stream's answer (StreamHandler). `on_end` is told whether it came whole."""

    stream: EdgeStream

    def __init__(self, on_end: Callable[["Answer"], None], *, checked: bool = False) -> None:
        self._on_end = on_end
        self._reader = HeadReader() if checked else None
        self._pieces_left = 0
        self.received = 0
        self.on_data: Callable[[], None] | None = None
        """Called once, with the next data."""
        self.begun_at = 0.0
        self.whole = False
        self._ended = False
        self._paused = False

    def upload(self, pieces: int) -> None:
        """Send a body of so many pieces."""
        self._pieces_left = pieces
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.stream.consumed(len(data))
        if self.on_data is not None:
            self.on_data()
            self.on_data = None
        if self._reader is not None:
            head = self._reader.feed_response(data)
            if head is not None:
                self._reader = None
                if head.error or dict(head.metadata).get("HttpStatus") not in (b"200", b"101"):
                    self._end(whole=False)

    def eof_received(self) -> None:
        self._end(whole=True)

    def reset_received(self) -> None:
        self._end(whole=False)

    def stop_received(self) -> None:
        """The answer may still come."""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._pieces_left and not self._paused:
            self._pieces_left -= 1
            self.stream.write(PIECE, fin=not self._pieces_left)

    def _end(self, *, whole: bool) -> None:
        if not self._ended:
            self._ended = True
            self.whole = whole
            self._on_end(self)


def _open(
    session: EdgeSession, data: bytes, on_end: Callable[[Answer], None], *, fin: bool, checked: bool = False
) -> Answer:
    answer = Answer(on_end, checked=checked)
    answer.begun_at = time.perf_counter()
    answer.stream = session.link.open_raw(data, answer, fin=fin)
    return answer


async def _one(session: EdgeSession, data: bytes, pieces: int = 0) -> Answer:
    over: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def ended(answer: Answer) -> None:
        if not over.done():
            over.set_result(answer)

    answer = _open(session, data, ended, fin=not pieces, checked=True)
    if pieces:
        answer.upload(pieces)
    try:
        await over
    finally:
        answer.stream.reset()
        answer.stream.stop()
    if not answer.whole:
        raise AssertionError("the client refused a request, or broke its answer off")
    return answer


async def requests(sessions: list[EdgeSession], at_once: int, seconds: float, path: str) -> Outcome:
    """Small requests, so many at once at any time, for so long; the sessions in turn."""
    loop = asyncio.get_running_loop()
    data = request(path)
    size = (await _one(sessions[0], data)).received
    times: list[float] = []
    over: asyncio.Future[None] = loop.create_future()
    running = 0
    until = time.perf_counter() + seconds

    def start(session: EdgeSession) -> None:
        nonlocal running
        running += 1
        _open(session, data, lambda answer: ended(session, answer), fin=True)

    def ended(session: EdgeSession, answer: Answer) -> None:
        nonlocal running
        running -= 1
        now = time.perf_counter()
        times.append(now - answer.begun_at)
        if answer.received != size and not over.done():
            over.set_exception(AssertionError(f"an answer of {answer.received} bytes instead of {size}"))
        elif now < until:
            start(session)
        elif not running and not over.done():
            over.set_result(None)

    began = time.perf_counter()
    for number in range(at_once):
        start(sessions[number % len(sessions)])
    await over
    return _outcome(times, time.perf_counter() - began)


async def download(sessions: list[EdgeSession], streams: int, size: int) -> Outcome:
    """`size` bytes each on so many streams at once."""
    data = request(f"/down/{size}")
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(_one(sessions[number % len(sessions)], data))
    return Outcome(size * streams, time.perf_counter() - began)


async def upload(sessions: list[EdgeSession], streams: int, size: int) -> Outcome:
    """The same the other way."""
    pieces = max(size // len(PIECE), 1)
    data = request("/up", method=b"POST", length=pieces * len(PIECE))
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(_one(sessions[number % len(sessions)], data, pieces))
    return Outcome(pieces * len(PIECE) * streams, time.perf_counter() - began)


async def mixed(session: EdgeSession, size: int, at_once: int) -> Outcome:
    """So many small requests at once, in the middle of a download of `size` bytes."""
    half: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Watched(Answer):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.received > size // 3 and not half.done():
                half.set_result(None)

    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    big = Watched(lambda _: ended.set_result(None), checked=True)
    big.stream = session.link.open_raw(request(f"/down/{size}"), big, fin=True)
    await half
    began = time.perf_counter()
    small = request("/small")
    answers = await asyncio.gather(*(_timed(session, small) for _ in range(at_once)))
    seconds = time.perf_counter() - began
    await ended
    return _outcome(answers, seconds)


async def _timed(session: EdgeSession, data: bytes) -> float:
    began = time.perf_counter()
    await _one(session, data)
    return time.perf_counter() - began


class Held:
    """Streams that stay open: responses that do not end, or WebSockets."""

    def __init__(self, sessions: list[EdgeSession], *, sockets: bool) -> None:
        self._sessions = sessions
        self._data = request("/socket", upgrade=True) if sockets else request("/hold")
        self._answers: list[Answer] = []

    async def open(self, count: int) -> None:
        """Open so many, a hundred at a time; each has its head when this returns."""
        for begin in range(0, count, 100):
            made = []
            for number in range(begin, min(begin + 100, count)):
                session = self._sessions[number % len(self._sessions)]
                made.append(_open(session, self._data, lambda _: None, fin=False, checked=True))
            self._answers += made
            async with asyncio.timeout(30):
                while not all(answer.received for answer in made):
                    await asyncio.sleep(0.01)

    async def echo(self, rounds: int) -> Outcome:
        """One short message there and back on one after the other."""
        times = []
        for number in range(rounds):
            answer = self._answers[number % len(self._answers)]
            back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            answer.on_data = lambda back=back: back.set_result(None)
            began = time.perf_counter()
            answer.stream.write(b"0123456789")
            await back
            times.append(time.perf_counter() - began)
        return _outcome(times, sum(times))

    async def close(self) -> None:
        for answer in self._answers:
            answer.stream.reset()
            answer.stream.stop()
        self._answers.clear()


def _outcome(times: list[float], seconds: float) -> Outcome:
    ordered = sorted(times)
    return Outcome(len(ordered), seconds, statistics.median(ordered), ordered[int(len(ordered) * 0.99)])
