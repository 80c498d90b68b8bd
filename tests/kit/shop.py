"""An origin with all that a request and its answer can have, for whoever looks at them."""

import contextlib
import functools
import gzip
import json
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from actors.hello_world.__main__ import WebSocketEcho
from actors.web.http_server import HttpConnection, Request, Responder
from actors.web.pages import Answer, Asked, Pages, Route, as_json, serving

XML = b'<?xml version="1.0"?><order id="7"><customer>Ada</customer><items><item n="2"/></items></order>'


def png(width: int, height: int) -> bytes:
    """An image: colours that run into each other."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    across, down = range(width), range(height)
    rows = (b"".join(bytes((90 + 150 * x // width, 130, 210 - 120 * y // height)) for x in across) for y in down)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class Seen(NamedTuple):
    """A request that came."""

    line: str
    """Method and target."""
    fields: dict[str, str]
    """By name in lower case."""
    body: bytes


Serve = Callable[[Seen], Answer]


class Shop:
    """What it was asked, and what it answers now."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.is_mended = False
        """Whether the handler of webhooks knows what to do."""
        self.hostile = ""
        """What stands in the answer of /hostile, and in a field of it."""
        plain: dict[str, tuple[bytes, str, str]] = {
            "/": (b"open\n", "text/plain", ""),
            "/json": (
                b'{"number":12345678901234567890,"list":[1,null,true],"text":"gr\xc3\xbcn"}',
                "application/json",
                "",
            ),
            "/xml": (XML, "text/xml", ""),
            "/png": (png(120, 80), "image/png", ""),
            "/bytes": (bytes(range(256)) * 4, "application/octet-stream", ""),
            "/zipped": (gzip.compress(b'{"zipped": true}'), "application/json", "gzip"),
            "/long": (b"0123456789" * 20_000, "text/plain", ""),
        }
        self._pages: dict[tuple[str, str], Serve] = {
            ("GET", path): functools.partial(self._given, *answer) for path, answer in plain.items()
        }
        self._pages |= {("POST", "/hook"): self._hook, ("POST", "/hostile"): self._hostile}
        self._pages |= {(method, "/echo"): self._echo for method in ("GET", "POST", "PUT")}

    def serve(self, client: HttpConnection, request: Request) -> Responder:
        if request.upgrade:
            return WebSocketEcho(client, request)
        if request.target == b"/torn":
            client.abort()
        routes = [Route(method, path, self._answering(request, page)) for (method, path), page in self._pages.items()]
        return Pages(routes)(client, request)

    def _answering(self, request: Request, page: Serve) -> Callable[[Asked], Awaitable[Answer]]:
        async def answer(asked: Asked) -> Answer:
            fields = {name.decode().lower(): value.decode("latin-1") for name, value in request.fields}
            self.seen.append(Seen(f"{request.method} {request.target.decode()}", fields, asked.body))
            return page(self.seen[-1])

        return answer

    def _given(self, body: bytes, kind: str, coding: str, seen: Seen) -> Answer:
        return Answer(body, 200, kind, ((b"Content-Encoding", coding.encode()),) if coding else ())

    def _echo(self, seen: Seen) -> Answer:
        return Answer(
            seen.body, 200, seen.fields.get("content-type", "text/plain"), ((b"Set-Cookie", b"session=s3cret"),)
        )

    def _hook(self, seen: Seen) -> Answer:
        event = json.loads(seen.body)["type"]
        if self.is_mended:
            return as_json({"event": event, "handled": True, "took_ms": 12})
        return as_json({"error": "unknown event", "event": event, "handled": False}, 500)

    def _hostile(self, seen: Seen) -> Answer:
        return Answer(self.hostile.encode(), 200, seen.fields["x-answer-as"], ((b"X-Hostile", self.hostile.encode()),))


@contextlib.asynccontextmanager
async def shop() -> AsyncIterator[tuple[Shop, int]]:
    """One that is open; yields its port as well."""
    opened = Shop()
    async with serving(opened.serve, "127.0.0.1", 0, stop_timeout=1.0) as (_, port):
        yield opened, port
