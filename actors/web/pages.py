"""Small pages: a handler is told what was asked, and returns the whole answer. Metrics, readiness, admin endpoints."""

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from actors.processes.tasks import Tasks
from actors.web.http_server import HttpConnection, Request, Responder

MAX_BODY_BYTES: Final = 1024 * 1024
"""Of a request: it is held in memory, and the longest that is sent by tests has a fifth of it."""

IDLE_TIMEOUT: Final = 75.0
"""Seconds for a request to come, head and body, from the last answer on; and for that to be taken. Scrapers keep a
connection for a minute between two requests, and a client that says nothing must not be kept for ever."""

Serve = Callable[[HttpConnection, Request], Responder]


def parameters_of(query: str) -> dict[str, str]:
    """What a query says, by name; the last of several."""
    return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))


class Asked(NamedTuple):
    """A request, complete."""

    method: str
    path: str
    names: dict[str, str]
    """What stands in the path for the `{names}` of the route."""
    body: bytes
    query: str = ""
    """What stands behind `?`."""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    """The request's."""

    @property
    def parameters(self) -> dict[str, str]:
        """What the query says, by name; the last of several."""
        return parameters_of(self.query)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; {} if there is none.

        Raises:
            ValueError: it is something else.
        """
        value = json.loads(self.body) if self.body else {}
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")
        return value


class Answer(NamedTuple):
    """What is answered."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    fields: tuple[tuple[bytes, bytes], ...] = ()


def text(said: str, status: int = 200) -> Answer:
    """An answer in plain text."""
    return Answer(said.encode(), status)


def as_json(value: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(value).encode(), status, "application/json; charset=utf-8")


Handler = Callable[[Asked], Awaitable[Answer]]


class Route(NamedTuple):
    """What answers a method at a path: `/connections/{id}/drop`."""

    method: str
    path: str
    handler: Handler

    def match(self, path: str) -> dict[str, str] | None:
        """What stands for the names in it; None if `path` is another one."""
        wanted, found = self.path.split("/"), path.split("/")
        if len(wanted) != len(found):
            return None
        names = {}
        for expected, part in zip(wanted, found, strict=True):
            if expected.startswith("{") and part:
                names[expected.strip("{}")] = urllib.parse.unquote(part)
            elif expected != part:
                return None
        return names


class Pages:
    """Serves the routes; HEAD wherever there is GET."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        fields: tuple[tuple[bytes, bytes], ...] = (),
        max_body: int = MAX_BODY_BYTES,
    ) -> None:
        """`fields`: what every answer has besides. `max_body`: bytes of a request's body that are taken."""
        self.routes: Final = tuple(routes)
        self._fields = fields
        self._max_body = max_body
        self._tasks = Tasks(self._fault)

    def __call__(self, client: HttpConnection, request: Request) -> Responder:
        return _Exchange(client, request, self._answer, self._tasks, self._fields, self._max_body)

    async def _answer(self, request: Request, body: bytes) -> Answer:
        path, _, query = request.target.decode("latin-1").partition("?")
        method = "GET" if request.method == "HEAD" else request.method
        allowed = []
        for route in self.routes:
            names = route.match(path)
            if names is not None and route.method == method:
                return await route.handler(Asked(method, path, names, body, query, tuple(request.fields)))
            if names is not None:
                allowed += ["GET", "HEAD"] if route.method == "GET" else [route.method]
        if allowed:
            said = ", ".join(allowed)
            return text(f"this path takes {said}\n", 405)._replace(fields=((b"Allow", said.encode()),))
        return text("there is no such page\n", 404)

    def _fault(self, error: BaseException) -> None:
        told = {"message": "fault in a page", "exception": error}
        asyncio.get_running_loop().call_exception_handler(told)


class _Exchange:
    """Gathers a request's body, and sends its answer."""

    def __init__(
        self,
        client: HttpConnection,
        request: Request,
        answer: Callable[[Request, bytes], Awaitable[Answer]],
        tasks: Tasks,
        fields: tuple[tuple[bytes, bytes], ...],
        max_body: int,
    ) -> None:
        self._client, self._request = client, request
        self._fields, self._max_body = fields, max_body
        self._make_answer, self._tasks = answer, tasks
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None

    def body_received(self, data: bytes) -> None:
        if self._task is None:
            self._body += data
            if len(self._body) > self._max_body:
                self._start(self._refuse())

    def body_ended(self) -> None:
        if self._task is None:
            self._start(self._respond())

    def visitor_lost(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._tasks.start(work, name="page")

    async def _respond(self) -> None:
        try:
            answer = await self._make_answer(self._request, bytes(self._body))
        except Exception:
            self._send(text("internal fault\n", 500))
            raise  # whoever holds the tasks has it logged
        self._send(answer)

    async def _refuse(self) -> None:
        self._send(text(f"the body has more than {self._max_body} bytes\n", 413))

    def _send(self, answer: Answer) -> None:
        _send(self._client, answer, self._fields)


def _send(client: HttpConnection, answer: Answer, more: tuple[tuple[bytes, bytes], ...]) -> None:
    fields = [
        (b"Date", formatdate(usegmt=True).encode()),  # RFC 9110 section 6.6.1: whoever has a clock says it
        (b"Content-Type", answer.content_type.encode()),
        (b"Content-Length", b"%d" % len(answer.body)),
        *more,
        *answer.fields,
    ]
    client.send_head(answer.status, fields)
    client.send_body(answer.body)
    client.end()


class _Unheard:
    """Answers, and passes over whatever else comes of the request."""

    def __init__(
        self, client: HttpConnection, answer: Answer, fields: tuple[tuple[bytes, bytes], ...], after: float
    ) -> None:
        self._timer = asyncio.get_running_loop().call_later(after, _send, client, answer, fields)

    def body_received(self, data: bytes) -> None: ...
    def body_ended(self) -> None: ...

    def visitor_lost(self) -> None:
        self._timer.cancel()

    def pause(self) -> None: ...
    def resume(self) -> None: ...


def answered(
    client: HttpConnection,
    answer: Answer,
    fields: tuple[tuple[bytes, bytes], ...] = (),
    *,
    after: float = 0.0,
) -> Responder:
    """Answer a request by its head, whatever else comes of it; with these fields besides, and so many seconds later."""
    return _Unheard(client, answer, fields, after)


class _PatientConnection(HttpConnection):
    """One whose client has `IDLE_TIMEOUT` for each request, and which knows whether one is being served."""

    def __init__(self, serve: Serve, connections: set["_PatientConnection"]) -> None:
        super().__init__(self._served)
        self._serve_page = serve
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self.answered = asyncio.Event()
        """No request is being served."""
        self.answered.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connections.discard(self)
        self._stop_waiting()
        self.answered.set()
        self.lost.set()

    def _served(self, client: HttpConnection, request: Request) -> Responder:
        self.answered.clear()
        return self._serve_page(client, request)

    def send_head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        super().send_head(status, fields)
        self._stop_waiting()  # an answer may take as long as it likes: a stream of events goes on

    def end(self) -> None:
        super().end()
        self.answered.set()
        self._wait()

    def hang_up(self) -> None:
        """Break the connection off; whoever serves a request on it is told that the client is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(IDLE_TIMEOUT, self.hang_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@contextlib.asynccontextmanager
async def serving(serve: Serve, host: str, port: int, *, stop_timeout: float) -> AsyncIterator[tuple[str, int]]:
    """Serve for the length of the block; yields the address as it came out.

    `stop_timeout`: seconds that requests in flight get at the end.

    Raises:
        OSError: the address cannot be bound.
    """
    connections: set[_PatientConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _PatientConnection(serve, connections), host, port)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stop_timeout):
                for connection in list(connections):
                    await connection.answered.wait()
        for connection in list(connections):
            connection.hang_up()
            await connection.lost.wait()
