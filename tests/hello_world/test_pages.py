"""What the page of --hello-world offers, without a tunnel before it."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode

from actors.hello_world import __main__ as hello_world
from actors.web.pages import serving
from tests.kit.processes import PATIENCE


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    async with (
        serving(hello_world.make_pages(), "127.0.0.1", 0, stop_timeout=0.1) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as client,
    ):
        yield client, f"ws://{host}:{port}/ws"


async def test_page_and_uptime() -> None:
    async with served() as (client, _):
        page = await client.get("/")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "It works." in page.text
        assert (await client.get("/uptime")).json()["seconds"] >= 0
        assert (await client.get("/ws")).status_code == 404, "without an upgrade there is nothing"


async def test_body_comes_back_as_it_was_sent() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a" * 100_000
        yield b"b" * 100_000

    async with served() as (client, _):
        plain = await client.post("/echo", content=b"hello", headers={"Content-Type": "text/x-mine"})
        assert (plain.text, plain.headers["Content-Type"]) == ("hello", "text/x-mine")
        assert plain.headers["Content-Length"] == "5"
        chunked = await client.put("/echo", content=parts())
        assert chunked.content == b"a" * 100_000 + b"b" * 100_000
        assert (await client.get("/echo")).content == b""


async def test_events_come_until_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hello_world, "SSE_INTERVAL", 0.0)
    async with served() as (client, _), client.stream("GET", "/sse") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        got = ""
        async for text in answer.aiter_text():
            got += text
            if "data: 3\n\n" in got:
                break
        assert got.startswith("data: 1\n\ndata: 2\n\ndata: 3\n\n")


async def test_messages_come_back_and_goodbyes_are_answered() -> None:
    async with served() as (_, url):
        async with connect(url, max_size=None, compression=None) as socket:
            await socket.send("grüße")
            assert await socket.recv() == "grüße"
            await socket.send(bytes(3_000_000))
            assert await socket.recv() == bytes(3_000_000)
            await socket.send(["in ", "three ", "parts"])
            assert await socket.recv() == "in three parts"
            await (await socket.ping(b"there?"))
        assert socket.close_code == 1000


async def test_what_is_no_websocket_frame_is_told() -> None:
    async with served() as (_, url), connect(url, compression=None) as socket:
        await socket.send("first")
        assert await socket.recv() == "first"
        socket.transport.write(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
        with pytest.raises(ConnectionClosedError):
            await socket.recv()
        assert socket.close_code == 1007
