"""The endpoints in the forms of others: ngrok's agent API, and HTTP Archive."""

import itertools
from typing import Final

import msgspec

from actors import __version__
from actors.inspector import har, ngrok
from actors.inspector.api import NO_TOKEN, Api, Rules, Source, as_json, in_turns
from actors.inspector.edits import CannotReplay, Edits
from actors.inspector.views import View, count_of
from actors.web.pages import Answer, Asked, Route

DEFAULT_LIMIT: Final = 50
"""Requests in an answer, if nobody says how many: ngrok's."""


class _Wish(msgspec.Struct):
    """What somebody wants to be sent again."""

    id: str = ""
    tunnel_name: str = ""


class Foreign:
    """Those endpoints."""

    def __init__(self, source: Source, rules: Rules, api: Api) -> None:
        self._source = source
        self._masks = rules.masks
        self._api = api

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", "/api/tunnels", self._tunnels),
            Route("GET", "/api/tunnels/{name}", self._tunnel),
            Route("POST", "/api/tunnels", self._no_more_tunnels),
            Route("DELETE", "/api/tunnels/{name}", self._no_more_tunnels),
            Route("GET", "/api/requests/http", self._requests),
            Route("GET", "/api/requests/http/{id}", self._request),
            Route("POST", "/api/requests/http", self._replay),
            Route("DELETE", "/api/requests/http", self._clear),
            Route("GET", "/api/har", self._har),
        ]

    def _all(self) -> list[View]:
        return ngrok.tunnels(self._source.urls(), self._source.status()["origin"], self._source.store.seen)

    async def _tunnels(self, asked: Asked) -> Answer:
        return as_json({"tunnels": self._all(), "uri": "/api/tunnels"})

    async def _tunnel(self, asked: Asked) -> Answer:
        for tunnel in self._all():
            if tunnel["name"] == asked.names["name"]:
                return as_json(tunnel)
        return _failed(404, "there is no tunnel of this name")

    async def _no_more_tunnels(self, asked: Asked) -> Answer:
        return _failed(501, "tunnels are begun and ended by tunnel-supervisor itself, not here")

    async def _requests(self, asked: Asked) -> Answer:
        try:
            limit = count_of(asked.parameters, "limit", DEFAULT_LIMIT, self._source.store.max_exchanges)
        except ValueError as error:
            return _failed(400, str(error))
        name = asked.parameters.get("tunnel_name", "")
        wanted = self._source.store.newest() if not name or name.startswith(ngrok.NAME) else iter(())
        found = await in_turns(itertools.islice(wanted, limit), lambda each: ngrok.captured(each, self._masks))
        return as_json({"uri": "/api/requests/http", "requests": found})

    async def _request(self, asked: Asked) -> Answer:
        if (entry := self._source.store.get(asked.names["id"])) is None:
            return _no_request(asked.names["id"])
        return as_json(ngrok.captured(entry, self._masks))

    async def _replay(self, asked: Asked) -> Answer:
        try:
            wish = msgspec.json.decode(asked.body, type=_Wish)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _failed(400, f"the body of this request makes no sense: {error}")
        if (entry := self._source.store.get(wish.id)) is None:
            return _no_request(wish.id)
        try:
            await self._source.replay(entry, Edits())
        except CannotReplay as error:
            return _failed(error.status, str(error))
        return Answer(b"", 204)

    async def _clear(self, asked: Asked) -> Answer:
        self._source.store.clear()
        return Answer(b"", 204)

    async def _har(self, asked: Asked) -> Answer:
        if (unmasked := self._api.unmasks(asked)) is None:
            return NO_TOKEN
        entries = await in_turns(
            self._source.store.oldest(), lambda each: har.entry_of(each, self._masks, unmasked=unmasked)
        )
        named = (b"Content-Disposition", b"attachment; filename=requests.har")
        return as_json(har.archive(entries, __version__))._replace(fields=(named,))


def _failed(status: int, message: str) -> Answer:
    return as_json(ngrok.error(status, message), status)


def _no_request(name: str) -> Answer:
    return _failed(404, f"there is no request {name[:50]}, or it is not kept any more")
