"""Origins and visitors that misbehave: each harms its own request alone."""

import asyncio
import contextlib
import hashlib
import os
import random
import struct
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.kit.origins import BLOCK, answer, pattern_hash, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.tunnel import tunnel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BROKEN_HEADS = {
    "no answer": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "garbage": b"\x00\x01\x02\r\n\r\n",
    "bare LF in a value": b"HTTP/1.1 200 OK\r\nX: a\nb\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "space before the first field": b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "flood of interim responses": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + answer(b"ok"),
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000,
    "unasked upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "status that is none": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
}
BROKEN_BODIES = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "chunk cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
}
for chunk_size in (b"0x5", b"+5", b"-5", b"5_0", b"\x0b5", b"f" * 17, b""):
    BROKEN_BODIES[f"chunk size {chunk_size!r}"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n%b\r\nabcde\r\n0\r\n\r\n" % chunk_size
    )


@pytest.mark.parametrize("responses", [BROKEN_HEADS, BROKEN_BODIES], ids=["heads", "bodies"])
async def test_broken_responses(state: Path, responses: dict[str, bytes]) -> None:
    """Row O1, V15: 502 before the head, RESET after it, and the connection is not used again."""
    table = list(responses.values())

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ")[1]
            if path == b"/good":
                writer.write(answer(b"good"))
                continue
            writer.write(table[int(path[1:])])
            await writer.drain()
            return

    async with scripted(origin) as port, tunnel(port, state) as made:
        for number, name in enumerate(responses):
            request = {"dest": f"https://x/{number}", "metadata": [["HttpMethod", "GET"], ["HttpHost", "x"]]}
            answered = await made.open_stream(**request)
            if responses is BROKEN_HEADS:
                assert answered["ended"] == "fin", name
                assert b"502" in bytes.fromhex(answered["data"]), name
            else:
                assert answered["ended"] == "reset", name
            assert (await made.visitor.get("/good")).text == "good", name


async def test_way_to_the_origin_that_breaks_or_crumbles(state: Path) -> None:
    """A reset in the middle of a body is no whole response to the visitor; small segments change nothing."""
    size = 1_000_000
    async with uvicorn_origin() as origin, TcpProxy(origin) as way, tunnel(way.port, state) as made:
        way.reset_after = size // 2
        with contextlib.suppress(httpx.TransportError):
            # A reset also takes what was not read yet: if that was all, even the head, the tunnel answers.
            assert (await made.visitor.get(f"/down/{size}")).status_code == 502
        way.reset_after, way.slice = None, 700
        response = await made.visitor.get(f"/down/{size}")
        assert len(response.content) == size
        assert hashlib.sha256(response.content).hexdigest() == pattern_hash(size)


async def test_slow_and_silent_origins_hold_only_their_own_requests(state: Path) -> None:
    forever = asyncio.Event()

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await read_head(reader)).split(b" ")[1]
        if path == b"/drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na")
        if path in (b"/drip", b"/silent"):
            await forever.wait()
        writer.write(answer(b"quick"))

    async with scripted(origin) as port, tunnel(port, state, "--grace-period", "0") as made:
        made.visitor._transport._pool._max_connections = 1000  # type: ignore[attr-defined]
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(made.visitor.get(path)) for path in ("/drip", "/silent") * 30]
            for _ in range(50):
                assert (await made.visitor.get("/quick")).text == "quick"
            assert not any(task.done() for task in held)
            for task in held:
                task.cancel()
        forever.set()


async def test_each_chunk_leaves_at_once(state: Path) -> None:
    """An event stream is not gathered: the origin sends the next one only when the last has arrived."""
    arrived = asyncio.Event()

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"9\r\ndata: 1\n\n\r\n")
            async with asyncio.timeout(PATIENCE):
                await arrived.wait()
            arrived.clear()
        writer.write(b"0\r\n\r\n")

    async with scripted(origin) as port, tunnel(port, state) as made:
        count = 0
        async with made.visitor.stream("GET", "/") as response:
            async for part in response.aiter_raw():
                assert part == b"data: 1\n\n"
                count += 1
                arrived.set()
        assert count == 20


async def test_websocket_frames_of_16_mib_and_close_codes(state: Path) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            if message == "close":
                await connection.close(4321, "as asked")
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with tunnel(port, state) as made:
            front = made.edge["http"].replace("http://", "ws://")
            async with connect(front, max_size=None, compression=None, open_timeout=PATIENCE) as socket:
                message = os.urandom(16 * 2**20)
                await socket.send(message)
                assert await socket.recv() == message
                await socket.send("close")
                await socket.wait_closed()
                assert (socket.close_code, socket.close_reason) == (4321, "as asked")


async def test_half_closed_tunnel_goes_on_in_the_other_direction(state: Path) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        said = await reader.read()
        writer.write(b"after your end: " + said)

    async with scripted(origin) as port, tunnel(port, state) as made:
        host, front_port = made.edge["http"].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(front_port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b"after your end: hello"
        writer.close()


@pytest.mark.quic_only("its streams have no raw bytes")
async def test_head_that_never_ends_gets_five_seconds(state: Path) -> None:
    """Row O3: 128 streams of one byte each; requests are served meanwhile."""
    async with tunnel(None, state) as made, asyncio.TaskGroup() as tasks:
        slow = [tasks.create_task(made.open_stream(raw="0a", fin=False, timeout=20)) for _ in range(128)]
        for _ in range(20):
            assert (await made.visitor.get("/uptime")).status_code == 200
        assert {(await task)["ended"] for task in slow} == {"reset"}


async def test_ten_thousand_visitors_who_leave_at_any_moment_leave_nothing(state: Path) -> None:
    """Row O3: the worker's descriptors and streams are what they were, and it is the same worker."""
    rng = random.Random(3)

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        whole = answer(BLOCK, Connection="close")
        writer.write(whole if head.startswith(b"GET") else b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.read()

    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(500)
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    async with scripted(origin) as port, tunnel(port, state) as made:
        (worker,) = made.process.actors("worker")
        host, front_port = made.edge["http"].removeprefix("http://").split(":")

        async def visit() -> None:
            _, writer = await asyncio.open_connection(host, int(front_port))
            whole = rng.choice((request, get))
            writer.write(whole[: rng.randrange(1, len(whole) + 1)])
            if rng.random() < 0.3:
                await writer.drain()
            writer.transport.abort()

        async def visit_and_read() -> None:
            reader, writer = await asyncio.open_connection(host, int(front_port))
            writer.write(get)
            await reader.read(rng.randrange(1, 5000))
            writer.transport.abort()

        async def many(count: int) -> None:
            for _ in range(count):
                await (visit() if rng.random() < 0.8 else visit_and_read())

        await many(20)
        before = worker.num_fds()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(many(500))
        latest = len(made.process.stdout)
        await made.process.until(
            lambda: any(
                event["type"] == "stats" and not event["streams_in_flight"] for event in made.process.events()[latest:]
            )
        )
        await made.process.until(lambda: worker.num_fds() <= before + 2)  # the last ones end a moment after
        assert worker.is_running()
        with pytest.raises(httpx.ReadTimeout):
            await made.visitor.post("/", timeout=0.2)


async def test_origin_that_resets_raw_tunnels_costs_no_worker(state: Path) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket = writer.get_extra_info("socket")
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    async with scripted(origin) as port, tunnel(port, state) as made:
        (worker,) = made.process.actors("worker")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(100):
                tasks.create_task(made.open_stream(dest="tcp://x", type="tcp", fin=True, timeout=1))
        assert worker.is_running()
        assert not [event for event in made.process.events() if event["type"] == "connection_ended"]


async def test_raw_tunnel_whose_origin_has_left_ends_soon(state: Path) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")

    async with scripted(origin) as port, tunnel(port, state) as made:
        host, front_port = made.edge["http"].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(front_port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 101")
        seen = len(made.process.stdout)
        await made.process.until(
            lambda: any(
                event["type"] == "stats" and not event["streams_in_flight"] for event in made.process.events()[seen:]
            )
        )
        writer.close()


async def test_origin_that_answers_without_reading_the_upload(state: Path) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"too large", "413 Content Too Large", Connection="close"))

    async with scripted(origin) as port, tunnel(port, state) as made:
        for _ in range(5):
            response = await made.visitor.post("/", content=bytes(8_000_000))
            assert (response.status_code, response.text) == (413, "too large")


async def test_uploads_in_turn_on_one_visitor_s_connection(state: Path) -> None:
    async with tunnel(None, state) as made:
        for size in (300_000, 500_000, 3_000_000) * 2:
            assert len((await made.visitor.post("/echo", content=bytes(size))).content) == size
