"""Visitors who come again and again while a test does harm."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from tests.kit.origins import pattern_hash
from tests.kit.processes import PATIENCE
from tests.kit.tunnel import Tunnel

SIZE = 20_000
"""Bytes of a body: several datagrams, and quickly done."""


@dataclass
class Visits:
    """How they ended."""

    whole: int = 0
    """Status 200, and the body as it was sent."""
    refused: list[int] = field(default_factory=list)
    """Another status: nothing of the origin's was in it."""
    broken: list[str] = field(default_factory=list)
    """Broken off on the way, as a visitor could see."""

    def reached(self, whole: int) -> bool:
        """Whether so many got all of it by now."""
        return self.whole >= whole


async def visit(made: Tunnel, visits: Visits, number: int) -> None:
    """One request: a download or an upload, checked to the last byte."""
    try:
        if number % 2:
            response = await made.visitor.get(f"/down/{SIZE}")
            right = hashlib.sha256(response.content).hexdigest() == pattern_hash(SIZE)
        else:
            body = os.urandom(SIZE)
            response = await made.visitor.post("/up", content=body)
            right = response.status_code != 200 or response.json()["sha256"] == hashlib.sha256(body).hexdigest()
    except httpx.TransportError as error:
        visits.broken.append(type(error).__name__)
        return
    if response.status_code != 200:
        visits.refused.append(response.status_code)
        return
    assert right, "a whole response with another body"
    visits.whole += 1


@contextlib.asynccontextmanager
async def visitors(made: Tunnel, count: int = 10) -> AsyncIterator[Visits]:
    """`count` visitors at once, each with one request after the other, until the block is left."""
    visits, over = Visits(), asyncio.Event()

    async def come_again(number: int) -> None:
        while not over.is_set():
            await visit(made, visits, number)
            if made.process.process.returncode is not None:
                return

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(come_again(number))
        try:
            yield visits
        finally:
            over.set()


async def echoed_after_upgrade(edge: str, name: str) -> None:
    """A visitor of the edge's front `edge` (a URL) says hello to `/socket` of `name`, hears it, and both ends end."""
    host, port = edge.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /socket HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
    writer.close()
