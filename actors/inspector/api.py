"""What the inspector answers: the page, its API, and the part of ngrok's agent API that other programs read.

docs/inspector.md has the API in words.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from actors.bus.inspection import Field
from actors.inspector import assets, views
from actors.inspector.bodies import OCTETS, CannotDecode, decoded, type_of
from actors.inspector.door import Door
from actors.inspector.edits import CannotReplay, Edits, read_edits
from actors.inspector.feed import Feeds
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded, Store
from actors.inspector.views import View
from actors.web.http_server import HttpConnection, Request, Responder
from actors.web.pages import Answer, Asked, Handler, Pages, Route, Serve, answered, parameters_of

CONTENT_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
    b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

SECURITY: Final = (
    (b"Content-Security-Policy", CONTENT_POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cache-Control", b"no-store"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
)
"""What every answer has: nothing from elsewhere is loaded, and nothing of here is framed, kept or read elsewhere."""

SANDBOX: Final = ((b"Content-Security-Policy", b"sandbox; default-src 'none'"),)
"""What a body of a user's has besides: whatever it is, it is only looked at."""

DEFAULT_LIMIT: Final = 100
"""Exchanges in an answer, if nobody says how many."""

GUESS_PAUSE: Final = 1.0
"""Seconds until a wrong password is refused: nobody who mistyped minds, and whoever tries many does."""

MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""Of a request to the API: an edited body of 1 MiB, in base64."""


class Source(Protocol):
    """Where all that is known comes from."""

    store: Store

    def status(self) -> View:
        """How the tunnel is, and the inspector."""

    def urls(self) -> list[str]:
        """The tunnel's public addresses."""

    def replay(self, entry: Recorded, edits: Edits) -> Coroutine[Any, Any, str]:
        """Send it again; the id of the new exchange. Raises: CannotReplay."""


class Rules(NamedTuple):
    """Who may see what."""

    door: Door
    masks: Masks
    token: str


def as_json(value: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(msgspec.json.encode(value), status, "application/json; charset=utf-8")


def failed(message: str, status: int) -> Answer:
    """An answer that says why there is none."""
    return as_json({"error": message}, status)


async def in_turns(entries: Iterable[Recorded], tell: Callable[[Recorded], View]) -> list[msgspec.Raw]:
    """What is told of each, as JSON. Each has a turn of its own: strangers say how much there is to tell, and neither
    workers nor the supervisor must wait for all of it."""
    told = []
    for entry in entries:
        told.append(msgspec.Raw(msgspec.json.encode(tell(entry))))
        await asyncio.sleep(0)
    return told


NO_TOKEN: Final = failed("to see what is masked needs the inspector's token", 403)


class Api:
    """The endpoints of our own API."""

    def __init__(self, source: Source, rules: Rules) -> None:
        self._source = source
        self._store = source.store
        self._rules = rules

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", "/api/status", self._status),
            Route("GET", "/api/exchanges", self._list),
            Route("DELETE", "/api/exchanges", self._clear),
            Route("GET", "/api/exchanges/{id}", self._one(self._details)),
            Route("GET", "/api/exchanges/{id}/request/body", self._one(self._request_body)),
            Route("GET", "/api/exchanges/{id}/response/body", self._one(self._response_body)),
            Route("POST", "/api/exchanges/{id}/replay", self._one(self._replay)),
        ]

    async def _status(self, asked: Asked) -> Answer:
        return as_json(self._source.status())

    async def _list(self, asked: Asked) -> Answer:
        store, parameters = self._store, asked.parameters
        try:
            wanted = views.Wanted(parameters, self._rules.masks)
            limit = views.count_of(parameters, "limit", DEFAULT_LIMIT, store.max_exchanges)
        except ValueError as error:
            return failed(str(error), 400)
        before = store.get(parameters.get("before", ""))
        sequence = store.sequence  # what changes from here on may not be in the list: whoever follows is told of it
        found: list[View] = []
        for entry in store.newest():
            if len(found) >= limit:
                break
            if (before is None or entry.order < before.order) and entry in wanted:
                found.append(views.summary(entry))
            await asyncio.sleep(0)  # see in_turns
        return as_json({"exchanges": found, "dropped": store.dropped, "sequence": sequence})

    async def _clear(self, asked: Asked) -> Answer:
        self._store.clear()
        return Answer(b"", 204)

    def _one(self, answer: Callable[[Recorded, Asked], Coroutine[Any, Any, Answer]]) -> Handler:
        async def handler(asked: Asked) -> Answer:
            if (entry := self._store.get(asked.names["id"])) is None:
                return failed(f"there is no exchange {asked.names['id'][:50]}, or it is not kept any more", 404)
            return await answer(entry, asked)

        return handler

    def unmasks(self, asked: Asked) -> bool | None:
        """Whether what is masked is to be shown; None: it is, and must not be."""
        parameters = asked.parameters
        if parameters.get("unmasked") != "1":
            return False
        return self._rules.door.has_token(asked.fields, parameters.get("token", "")) or None

    async def _details(self, entry: Recorded, asked: Asked) -> Answer:
        if (unmasked := self.unmasks(asked)) is None:
            return NO_TOKEN
        return as_json(views.details(entry, self._rules.masks, unmasked=unmasked))

    async def _request_body(self, entry: Recorded, asked: Asked) -> Answer:
        return _body(bytes(entry.request.data), entry.head.fields, asked)

    async def _response_body(self, entry: Recorded, asked: Asked) -> Answer:
        return _body(bytes(entry.response.data), views.response_fields(entry), asked)

    async def _replay(self, entry: Recorded, asked: Asked) -> Answer:
        try:
            return as_json({"id": await self._source.replay(entry, read_edits(asked.body))}, 202)
        except CannotReplay as error:
            return failed(str(error), error.status)


def _body(data: bytes, fields: Sequence[Field], asked: Asked) -> Answer:
    if asked.parameters.get("decoded") == "1":
        try:
            data = decoded(data, ",".join(views.text_of(value) for name, value in fields if name.lower() == _ENCODING))
        except CannotDecode as error:
            return failed(str(error), 422)
    kind = type_of(data)
    attached = ((b"Content-Disposition", b"attachment; filename=body"),) if kind == OCTETS else ()
    return Answer(data, content_type=kind, fields=(*SANDBOX, *attached))


_ENCODING: Final = b"content-encoding"


def make_serve(rules: Rules, feeds: Feeds, routes: Iterable[Route]) -> Serve:
    """The page, its events and `routes`, for whoever may come in."""
    files = assets.read_assets()
    index = assets.index(files, rules.token)

    async def page(asked: Asked) -> Answer:
        return Answer(index, content_type=assets.TYPES[".html"])

    async def asset(asked: Asked) -> Answer:
        if (found := files.get(asked.names["name"])) is None or asked.names["name"] == assets.INDEX:
            return failed("there is no such file", 404)
        return Answer(found.content, content_type=found.content_type)

    of_the_page = [Route("GET", "/", page), Route("GET", "/assets/{name}", asset)]
    pages = Pages([*of_the_page, *routes], fields=SECURITY, max_body=MAX_REQUEST_BYTES)

    def serve(client: HttpConnection, request: Request) -> Responder:
        path, _, query = request.target.decode("latin-1").partition("?")
        parameters = parameters_of(query)
        refusal = rules.door.refusal(request.method, path, request.fields, parameters.get("token", ""))
        if refusal is not None:
            answer = failed(refusal.message, refusal.status)._replace(fields=refusal.fields)
            return answered(client, answer, SECURITY, after=GUESS_PAUSE if refusal.is_guess else 0.0)
        if path == "/api/events" and request.method == "GET":
            if feeds.is_full:
                return answered(client, failed("too many listen already", 503), SECURITY)
            return feeds.open(client, list(SECURITY), _after(request, parameters))
        return pages(client, request)

    return serve


def _after(request: Request, parameters: dict[str, str]) -> int | None:
    """Which change somebody has heard of last; None: he says none."""
    said = [value.decode("latin-1") for value in request.values(b"last-event-id")] or [parameters.get("after", "")]
    return int(said[0]) if said[0].isascii() and said[0].isdecimal() and len(said[0]) < 20 else None
