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

import hpack
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
from actors.quic_worker.engines.h2_engine import H2Engine
from actors.quic_worker.engines.h2_frames import END_HEADERS, END_STREAM, WINDOW_UPDATE, header
from actors.quic_worker.engines.h2_frames import HEADERS as HEADERS_FRAME
from actors.quic_worker.h2_streams import Acceptor
from actors.quic_worker.http2 import Http2Connection
from actors.quic_worker.streams import IncomingStream
from actors.wire.connect import ConnectionType, ConnectRequest, HeadReader, encode_request
from actors.wire.heads import HEADER_PREFIX, HOST_KEY, METHOD_KEY, read_request, write_response

ROUNDS = 100
TIMES = 100

LOG: Final = structlog.get_logger()

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS: Final = 4
"""RFC 9113 sections 3.4 and 6.5."""
CREDIT: Final = 2**31 - 2**16
"""Bytes of answers that the edge will take; nobody reads them here."""

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


class Dropped:
    """A pipe that takes everything, to nowhere (`Pipe`)."""

    waiting = unacknowledged = 0

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


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


def serving(*more: Observer) -> tuple[Exchanges, OriginConnection, Ledger]:
    """What serves requests, and the one warm connection to the origin."""
    router = Router(all_to(Origin(host="127.0.0.1", port=1)))
    ledger = Ledger(tunnel_id="t", slot=0, generation=1)
    observers = Observers(
        Counting(ledger),
        Journal(LOG, url="https://a.trycloudflare.com", all_requests=False),
        *more,
    )
    pool = cast(Any, router.route(head_read())).target
    origin = OriginConnection(pool)
    origin.connection_made(cast(asyncio.Transport, Nothing()))
    pool.release(origin)
    return Exchanges(router, observers, Tasks(print), at_once=TIMES), origin, ledger


def answer(origin: OriginConnection) -> None:
    origin.get_buffer(-1)[: len(ANSWERED)] = ANSWERED
    origin.buffer_updated(len(ANSWERED))


def whole_path(*more: Observer) -> tuple[Callable[[], None], Callable[[], int]]:
    """One request on a warm connection, from the stream's first bytes to the last of its answer; and how many of them
    were answered so far."""
    exchanges, origin, ledger = serving(*more)

    def accept(stream: Stream) -> None:
        stream.handler = IncomingStream(stream, exchanges, lambda *_: None, LOG)

    connection = Unconnected(Owner(accept, lambda: None, lambda _: None, print))
    streams = iter(range(0, 1 << 62, 4))

    def one() -> None:
        connection.stream_data(next(streams), ASKED, fin=True)
        answer(origin)

    return one, lambda: ledger.tally.details.responses.get("2xx", 0)


def http2_path() -> tuple[Callable[[], None], Callable[[], int]]:
    """The same over HTTP/2, from the bytes that come out of TLS to those that go into it: its engine counts too."""
    exchanges, origin, ledger = serving()
    accept = cast(Any, Acceptor(exchanges, LOG, lambda _: None, lambda *_: None)).accept
    connection = Http2Connection(
        H2Engine(), Owner(accept, lambda: None, lambda _: None, print), on_pong=lambda: None, on_leaving=print
    )
    connection.begin(Dropped())
    connection.received(PREFACE + header(0, SETTINGS, 0, 0))
    connection.received(header(4, WINDOW_UPDATE, 0, 0) + CREDIT.to_bytes(4, "big"))
    encoder = hpack.Encoder()
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"bench.example"),
        (b":path", b"/small"),
        *((name.lower().encode(), value) for name, value in HEADERS),
    ]
    # One that is in no table, as with each request it is another.
    head = [hpack.NeverIndexedHeaderTuple(*field) if field[0] == b"cf-ray" else field for field in fields]
    blocks = itertools.chain([encoder.encode(head)], itertools.repeat(encoder.encode(head)))
    streams = iter(range(1, 1 << 31, 2))

    def one() -> None:
        block = next(blocks)
        connection.received(header(len(block), HEADERS_FRAME, END_HEADERS | END_STREAM, next(streams)) + block)
        answer(origin)
        connection.has_room()

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
        "the same over HTTP/2, with its engine": http2_path()[0],
    }.items():
        print(f"{what}: {microseconds(act):.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
