"""`python -m benchmarks.request_path`: what a small request costs the worker, without sockets and without an engine.

Real heads go in as the edge writes them, an answer as an origin writes it; what would go out is thrown away. Each
figure is the least of many short rounds, so that other work on the machine counts little.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable
from typing import Any, Final, cast

import structlog

from actors.bus.inspection import DEFAULT_BODY_BYTES
from actors.bus.routes import Origin, all_to
from actors.exchange.exchanges import Exchanges
from actors.exchange.http1 import build_request_head, response_fields
from actors.exchange.journal import Journal
from actors.exchange.ledger import Counting, Ledger
from actors.exchange.observers import Observer, Observers
from actors.exchange.origin import OriginConnection
from actors.exchange.request import Request
from actors.exchange.response import Head, ResponseReader
from actors.exchange.router import Router
from actors.exchange.tap import Tap
from actors.processes.tasks import Tasks
from actors.quic_worker.connection import Connection, Owner, Stream
from actors.quic_worker.engine import Address, StreamEngine
from actors.quic_worker.streams import IncomingStream
from actors.wire.connect import ConnectionType, ConnectRequest, HeadReader, encode_request
from actors.wire.heads import HEADER_PREFIX, HOST_KEY, METHOD_KEY, read_request, write_response

ROUNDS = 100
TIMES = 100

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

ASKED: Final = encode_request(
    ConnectRequest(
        "https://bench.example/small",
        ConnectionType.HTTP,
        (
            (METHOD_KEY, b"GET"),
            (HOST_KEY, b"bench.example"),
            *((HEADER_PREFIX + name, value) for name, value in HEADERS),
        ),
    )
)
ANSWERED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 512\r\n"
    b"Date: Thu, 26 Nov 2026 03:00:00 GMT\r\nServer: test\r\nX-Content-Type-Options: nosniff\r\n\r\n" + b"x" * 512
)


class Nothing:
    """Whatever is asked of it, it does nothing: an engine, and a transport."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        setattr(self, name, lambda *_, **__: 0)
        return cast(Callable[..., int], getattr(self, name))


class Unconnected(Connection):
    """The streams of a connection without an engine."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self.engine = cast(StreamEngine, Nothing())

    def connect(self, address: Address) -> None: ...
    def transmit_soon(self) -> None: ...
    def close(self, error_code: int = 0, reason: str = "") -> None: ...


def microseconds(act: Callable[[], Any]) -> float:
    """Processor time of one call."""
    least = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        begun = time.process_time()
        for _ in range(TIMES):
            act()
        least = min(least, time.process_time() - begun)
    return least / TIMES * 1e6


def head_read() -> Request:
    message = HeadReader().message(ASKED)
    assert isinstance(message, bytes)
    return read_request(message)


def answer_read() -> Head:
    reader = ResponseReader("GET")
    reader.feed(ANSWERED)
    assert reader.head is not None
    return reader.head


def whole_path(*more: Observer) -> tuple[Callable[[], None], Callable[[], int]]:
    """One request on a warm connection, from the stream's first bytes to the last of its answer; and how many of them
    were answered so far."""
    log = structlog.get_logger()
    router = Router(all_to(Origin(host="127.0.0.1", port=1)))
    ledger = Ledger(tunnel_id="t", slot=0, generation=1)
    observers = Observers(
        Counting(ledger),
        Journal(log, url="https://a.trycloudflare.com", all_requests=False),
        *more,
    )
    exchanges = Exchanges(router, observers, Tasks(print), at_once=TIMES)

    def accept(stream: Stream) -> None:
        stream.handler = IncomingStream(stream, exchanges, lambda *_: None, log)

    connection = Unconnected(Owner(accept, lambda: None, lambda _: None, print))
    pool = cast(Any, router.route(head_read())).target
    origin = OriginConnection(pool)
    origin.connection_made(cast(asyncio.Transport, Nothing()))
    pool.release(origin)
    streams = iter(range(0, 1 << 62, 4))

    def one() -> None:
        connection.stream_data(next(streams), ASKED, fin=True)
        origin.get_buffer(-1)[: len(ANSWERED)] = ANSWERED
        origin.buffer_updated(len(ANSWERED))

    return one, lambda: ledger.tally.details.responses.get("2xx", 0)


def inspected_path() -> Callable[[], None]:
    """The same with `--inspect`, but for the socket; as many leave together as under load."""
    sent: list[bytes] = []

    def send(message: bytes) -> bool:
        sent[:] = [message]
        return True

    tap = Tap(
        send,
        body_limit=DEFAULT_BODY_BYTES,
        now=time.monotonic,
        wall=time.time,
        call_later=lambda _, flush: asyncio.get_running_loop().call_later(1e6, flush),  # here time does not pass
    )
    one, _ = whole_path(tap)
    turns = itertools.cycle([*([one] * TIMES), tap.flush])

    def act() -> None:
        next(turns)()

    return act


async def main() -> None:
    asked, answered = head_read(), answer_read()
    for what, act in {
        "head of the request read": head_read,
        "head for the origin written": lambda: build_request_head(asked),
        "answer read": answer_read,
        "head of the answer written": lambda: write_response(200, response_fields(answered.fields, upgraded=False)),
        "all of it, with the exchange and its stream": whole_path()[0],
        "the same with --inspect": inspected_path(),
    }.items():
        print(f"{what}: {microseconds(act):.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
