"""Exchanges as they are driven: between two real engines and a real origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from actors.bus.routes import Origin, all_to
from actors.exchange import reasons
from actors.exchange.backend import Target
from actors.exchange.exchange import Exchange
from actors.exchange.exchanges import Exchanges
from actors.exchange.journal import Journal
from actors.exchange.ledger import Counting, Ledger
from actors.exchange.observers import Observed, Observer, Observers
from actors.exchange.router import Router
from actors.processes.tasks import Tasks
from actors.quic_worker.connection import Stream
from actors.quic_worker.pushes import refuse_all
from actors.quic_worker.streams import IncomingStream
from actors.wire.connect import ConnectionType, ConnectRequest, HeadReader, encode_request
from tests.kit.origins import answer, scripted
from tests.kit.recorder import Recorder
from tests.quic_worker.test_connection import Pair


class Endings(Observer):
    """Notes that an exchange has ended."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def ended(self, exchange: Observed) -> None:
        self.event.set()


class Bench:
    """A worker's rooms from the connection to the origin, without the worker."""

    def __init__(self, port: int) -> None:
        self.log = CapturingLogger()
        self.faults: list[BaseException] = []
        self.streams: list[Stream] = []
        self.tasks = Tasks(self.faults.append)
        self.router = Router(all_to(Origin(host="127.0.0.1", port=port)))
        journal = Journal(self.log, url="https://a.trycloudflare.com", all_requests=True)
        ledger = Ledger(tunnel_id="t", slot=0, generation=1)
        endings = Endings()
        self.ended = endings.event
        self.running = Exchanges(self.router, Observers(Counting(ledger), journal, endings), self.tasks, at_once=9)
        self.pair = Pair(self._accept)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._fault(context))

    def _accept(self, stream: Stream) -> None:
        stream.handler = IncomingStream(stream, self.running, refuse_all, self.log)

    def _fault(self, context: dict[str, Any]) -> None:
        self.faults.append(context["exception"])

    def open(self, method: str) -> Recorder:
        """Send the head of a request, and no FIN."""
        recorder = Recorder(self.pair.server.open_stream(Recorder))
        self.streams.append(recorder.stream)
        metadata = (("HttpMethod", method.encode()), ("HttpHost", b"a.example"))
        recorder.stream.write(encode_request(ConnectRequest("https://a.example/", ConnectionType.HTTP, metadata)))
        self.pair.settle()
        return recorder

    def more(self, recorder: Recorder, data: bytes, *, fin: bool = False) -> None:
        recorder.stream.write(data, fin=fin)
        self.pair.settle()

    async def status(self, recorder: Recorder) -> int:
        """Wait for the end of the exchange; return the status that the visitor got."""
        await self.ended.wait()
        self.pair.settle()
        head = HeadReader().feed_response(bytes(recorder.data))
        assert head is not None
        return int(dict(head.metadata)["HttpStatus"])

    def warnings(self) -> list[dict[str, Any]]:
        return [call.kwargs for call in self.log.calls if call.method_name == "warning"]


class Heard:
    """An origin that notes all that it gets, and answers when it is told to."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.changed = asyncio.Event()
        self.answers = asyncio.Event()
        self.left = asyncio.Event()
        self.left.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.left.clear()
        answering = asyncio.create_task(self._answer(writer))  # noqa: TID251 - awaited below
        while data := await reader.read(65536):
            self.data += data
            self.changed.set()
        self.answers.set()
        await answering
        writer.close()
        self.left.set()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        await self.answers.wait()
        writer.write(answer(b"ok"))

    async def until(self, text: bytes) -> None:
        while text not in self.data:
            self.changed.clear()
            await self.changed.wait()


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[tuple[Bench, Heard]]:
    heard = Heard()
    async with scripted(heard.serve) as port, asyncio.timeout(30):
        made = Bench(port)
        try:
            yield made, heard
        finally:
            for stream in made.streams:
                stream.reset()
            made.pair.settle()
            await made.running.idle()
            await made.tasks.cancel()
            made.router.close()
            await heard.left.wait()


async def test_body_that_comes_after_its_head_is_passed_on_in_chunks() -> None:
    async with bench() as (made, heard):
        visitor = made.open("PATCH")
        made.more(visitor, b"hello")
        await heard.until(b"5\r\nhello\r\n")
        made.more(visitor, b" world", fin=True)
        await heard.until(b"6\r\n world\r\n0\r\n\r\n")
        heard.answers.set()
        assert await made.status(visitor) == 200
        assert b"\r\nTransfer-Encoding: chunked\r\n" in heard.data
        assert not made.running


@pytest.mark.parametrize(("method", "field"), [("PUT", b"Content-Length: 0\r\n"), ("MKCOL", b"")])
async def test_fin_alone_means_that_there_is_none(method: str, field: bytes) -> None:
    async with bench() as (made, heard):
        visitor = made.open(method)
        assert not heard.data
        made.more(visitor, b"", fin=True)
        await heard.until(b"\r\n\r\n")
        heard.answers.set()
        assert await made.status(visitor) == 200
        assert heard.data == b"%b / HTTP/1.1\r\nHost: a.example\r\n%b\r\n" % (method.encode(), field)


async def test_body_of_a_get_that_comes_too_late_is_no_silent_loss() -> None:
    async with bench() as (made, heard):
        visitor = made.open("GET")
        await heard.until(b"\r\n\r\n")
        made.more(visitor, b"late", fin=True)
        assert await made.status(visitor) == 411
        assert [warning["reason"] for warning in made.warnings()] == ["no_length"]
        assert b"late" not in heard.data


async def test_visitor_that_leaves_while_nobody_knows_what_comes_leaves_nothing() -> None:
    async with bench() as (made, heard):
        visitor = made.open("POST")
        visitor.stream.reset()
        made.pair.settle()
        await made.ended.wait()
        assert not made.running
        assert not heard.data
        requests = [call.kwargs["reason"] for call in made.log.calls if call.args == ("request",)]
        assert requests == [reasons.VISITOR_LEFT.label]


async def test_origin_that_is_not_there_is_warned_of_with_what_to_try() -> None:
    made = Bench(port=1)
    async with asyncio.timeout(30):
        visitor = made.open("GET")
        assert await made.status(visitor) == 502
    (warning,) = made.warnings()
    assert warning["reason"] == "origin_refuses"
    assert "--port" in warning["hint"]


async def test_fault_at_the_start_of_an_exchange_costs_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not count as running for ever, which would hold up the end of the worker."""

    def broken(self: Exchange, target: Target) -> None:
        raise ZeroDivisionError

    async with bench() as (made, heard):
        with monkeypatch.context() as patched:
            patched.setattr(Exchange, "_go", broken)
            made.open("GET")
        assert [type(fault) for fault in made.faults] == [ZeroDivisionError]
        assert not made.running
        made.ended.clear()
        visitor = made.open("GET")
        await heard.until(b"\r\n\r\n")
        heard.answers.set()
        assert await made.status(visitor) == 200
