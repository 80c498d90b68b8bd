"""A fault in an exchange costs that exchange, from whichever side it comes. Faults are put in; the rest is real."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
import structlog

from actors.bus.routes import Origin, all_to
from actors.exchange import exchange, rewrite
from actors.exchange.exchange import Exchange
from actors.exchange.exchanges import Exchanges
from actors.exchange.journal import Journal
from actors.exchange.ledger import Counting, Ledger
from actors.exchange.observers import Observers
from actors.exchange.origin import OriginConnection
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Field, Kind, Request
from actors.exchange.response import ResponseReader
from actors.exchange.router import Router
from actors.processes.tasks import Tasks
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE

REQUEST = Request(Kind.HTTP, b"GET", b"/", b"x", ())


class Visitor:
    """Takes the response in the place of a transport (Responder)."""

    takes_trailers = False

    def __init__(self) -> None:
        self.id = 0
        self.sending = True
        self.status: int | None = None
        self.was_reset = False
        self.fails = False

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        self.write(body, fin=fin)
        self.status = status

    def accept(self) -> None: ...

    def refuse(self, message: str) -> None: ...

    def write(self, data: bytes, *, fin: bool = False) -> None:
        if self.fails:
            raise RuntimeError("in the stream")
        self.sending = not fin

    def end(self, trailers: Sequence[Field] = ()) -> None:
        self.write(b"", fin=True)

    def reset(self) -> None:
        self.was_reset = self.was_reset or self.sending
        self.sending = False

    def stop(self) -> None: ...

    def consumed(self, count: int) -> None: ...


class Worker:
    """What a worker has around its exchanges."""

    def __init__(self, origin: Origin) -> None:
        self.faults: list[BaseException] = []
        self.fatal: list[BaseException] = []
        self.tasks = Tasks(self.fatal.append)
        self.origin = origin
        self.router = Router(all_to(origin))
        self.ledger = Ledger(tunnel_id="t", slot=0, generation=1)
        journal = Journal(structlog.get_logger(), url="https://a.localhost", all_requests=False)
        self.exchanges = Exchanges(self.router, Observers(Counting(self.ledger), journal), self.tasks, at_once=9)

    async def ask(self, *, fails: bool = False) -> Visitor:
        """One request, to its end: it must not count as running for ever, which would hold up the worker's end."""
        visitor = Visitor()
        visitor.fails = fails
        self.exchanges.open(visitor, REQUEST).start(b"")
        async with asyncio.timeout(PATIENCE):
            await self.exchanges.idle()
        return visitor


@contextlib.asynccontextmanager
async def worker(**details: Any) -> AsyncIterator[Worker]:
    open_ = set[asyncio.Task[Any]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        while await read_head(reader):
            writer.write(answer(b"ok"))

    async with scripted(serve) as port:
        made = Worker(Origin(host="127.0.0.1", port=port, **details))
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: made.faults.append(context["exception"]))
        try:
            yield made
        finally:
            await made.tasks.cancel()
            made.router.close()
            if open_:
                await asyncio.wait(open_)
                await asyncio.sleep(0)


def raises(*_: Any, **__: Any) -> Any:
    raise RuntimeError("put in")


@contextlib.contextmanager
def fault_in(owner: Any, name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, raises)
        yield


async def healthy(made: Worker) -> None:
    """The next exchange is as if nothing had been."""
    assert (await made.ask()).status == 200
    assert made.fatal == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (OriginPool, "reuse"),
        (OriginPool, "connect"),
        (OriginConnection, "begin"),
        (rewrite, "build_request_head"),
        (ResponseReader, "feed"),
        (exchange, "response_fields"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_fault_before_the_answer_gives_502(owner: Any, name: str) -> None:
    async with worker() as made:
        with fault_in(owner, name):
            visitor = await made.ask()
        assert visitor.was_reset or visitor.status == 502
        assert name == "response_fields" or not visitor.was_reset
        assert len(made.faults) == 1
        await healthy(made)


@pytest.mark.parametrize("name", ["sent", "answered", "request_ended"])
async def test_fault_in_the_ledger_leaves_nothing(name: str) -> None:
    async with worker() as made:
        with fault_in(made.ledger, name):
            await made.ask()
        assert made.faults != []
        await healthy(made)


async def test_fault_in_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with worker(response_timeout=0.01) as made:
        answered: Callable[..., Any] = Exchange._answer
        calls = 0

        def once(self: Exchange, *arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RuntimeError("put in")
            answered(self, *arguments)

        monkeypatch.setattr(Exchange, "_answer", once)
        with fault_in(OriginConnection, "_received"):  # so that no answer ever comes
            visitor = await made.ask()
        assert visitor.was_reset or visitor.status == 502
        monkeypatch.undo()
        made.router.replace(all_to(msgspec.structs.replace(made.origin, response_timeout=0.0)))
        await healthy(made)


async def test_stream_that_fails_itself() -> None:
    async with worker() as made:
        visitor = await made.ask(fails=True)
        assert visitor.was_reset
        await healthy(made)
