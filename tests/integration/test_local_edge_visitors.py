"""The local edge towards visitors: the scheme it says, its own address, TLS, and the limits of the service."""

import asyncio
import contextlib
import json
import shutil
import ssl
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from actors.local_edge.limits import UNLIMITED, Limits
from actors.local_edge.service import local_edge as in_this_process
from tests.kit.origins import answer, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE, Process, local_edge, running, supervisor
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def echo_of_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the request's head; `/moved` redirects to the name in Host."""
    head = await read_head(reader)
    host = head.lower().split(b"\r\nhost: ")[1].split(b"\r\n")[0].decode()
    scheme = head.lower().split(b"\r\nx-forwarded-proto: ")[1].split(b"\r\n")[0].decode()
    if head.startswith(b"GET /moved "):
        writer.write(answer(status="302 Found", Location=f"{scheme}://{host}/there"))
    else:
        writer.write(answer(head))
    await writer.drain()


@contextlib.asynccontextmanager
async def visited(port: int, state: Path, *arguments: str) -> AsyncIterator[tuple[Process, dict[str, str]]]:
    """A tunnel over a local edge in the same command; its process, and what `tunnel.json` says once it serves."""
    flags = ("--local-edge", "--connections", "1", "--json", *arguments)
    async with supervisor("--port", port, *flags, state=state) as process:
        await process.event("state", serves=True)
        yield process, json.loads((state / "tunnel.json").read_text())


async def test_visitor_cannot_say_what_the_edge_says(state: Path) -> None:
    forged = {"X-Forwarded-Proto": "https", "Cf-Visitor": '{"scheme":"https"}', "Cf-Connecting-Ip": "192.0.2.1"}
    async with scripted(echo_of_head) as port, tunnel(port, state) as made:
        seen = (await made.visitor.get("/", headers=forged)).text.lower()
    assert seen.count("x-forwarded-proto: http\r\n") == seen.count("x-forwarded-proto") == 1
    assert seen.count('cf-visitor: {"scheme":"http"}\r\n') == seen.count("cf-visitor") == 1
    assert seen.count("cf-connecting-ip: 127.0.0.1\r\n") == seen.count("cf-connecting-ip") == 1


@pytest.mark.parametrize("tls", [False, True])
async def test_local_address_is_a_visit_to_the_public_name(state: Path, *, tls: bool) -> None:
    scheme = "https" if tls else "http"
    async with (
        scripted(echo_of_head) as port,
        visited(port, state, *(["--local-edge-tls"] if tls else [])) as (process, told),
    ):
        public, local = urllib.parse.urlsplit(told["url"]), told["local_url"]
        assert (public.scheme, local) == (scheme, f"{scheme}://127.0.0.1:{public.port}")
        starting = await process.event("starting")
        assert (starting["local_url"], starting["local_ca"]) == (local, told["local_ca"])
        assert bool(told["local_ca"]) is tls
        verify = ssl.create_default_context(cafile=told["local_ca"]) if tls else True
        async with httpx.AsyncClient(base_url=local, verify=verify, trust_env=False) as client:
            own = {"Origin": local, "Referer": f"{local}/page"}
            seen = (await client.get("/", headers=own)).text.lower()
            assert f"\r\nhost: {public.netloc}\r\n" in seen
            assert f"\r\norigin: {told['url']}\r\n" in seen
            assert f"\r\nreferer: {told['url']}/page\r\n" in seen
            assert f"\r\nx-forwarded-proto: {scheme}\r\n" in seen
            assert f'\r\ncf-visitor: {{"scheme":"{scheme}"}}\r\n' in seen
            foreign = (await client.get("/", headers={"Origin": "http://foreign.example"})).text
            assert "http://foreign.example" in foreign
            assert str((await client.get("/moved", follow_redirects=True)).url) == f"{local}/there"


async def test_local_address_of_several_tunnels_names_them(state: Path, tmp_path: Path) -> None:
    async with local_edge() as edge, httpx.AsyncClient(trust_env=False) as client:
        reach = ("--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"])
        asked = ("--hello-world", *reach, "--connections", 1, "--json")
        async with supervisor(*asked, state=state) as first, supervisor(*asked, state=tmp_path / "other") as second:
            urls = [(await process.event("registered"))["url"] for process in (first, second)]
            response = await client.get(edge["http"])
            assert response.status_code == 421
            assert all(url in response.text for url in urls)
            for url in urls:
                named = await client.get(edge["http"], headers={"Host": urllib.parse.urlsplit(url).netloc})
                assert named.status_code == 200
            await second.stop()
            assert (await client.get(edge["http"])).status_code == 200


async def test_tls_is_spoken_to_every_sort_of_client(state: Path) -> None:
    curl = shutil.which("curl")
    async with uvicorn_origin() as port, visited(port, state, "--local-edge-tls") as (_, told):
        trusting = ssl.create_default_context(cafile=told["local_ca"])
        local, public = (urllib.parse.urlsplit(told[key]) for key in ("local_url", "url"))
        for netloc, name in ((local.netloc, None), (public.netloc, public.hostname)):
            address = f"wss://{netloc}/ws"
            async with connect(address, ssl=trusting, host="127.0.0.1", server_hostname=name, proxy=None) as socket:
                await socket.send("text ✓")
                assert await socket.recv() == "text ✓"
        async with httpx.AsyncClient(base_url=told["local_url"], verify=trusting, trust_env=False) as client:
            uploaded = await client.post("/up", content=b"x" * 3_000_000)
            assert uploaded.json()["size"] == 3_000_000
        if curl is not None:
            reach = ["--resolve", f"{public.netloc}:127.0.0.1", "--noproxy", "*", "--cacert", told["local_ca"]]
            async with running([curl, "-sS", "--http2", *reach, f"{told['url']}/headers"]) as process:
                assert await process.wait() == 0, process.stderr
                assert ["x-forwarded-proto", "https"] in json.loads(await process.first_line())["fields"]


async def test_probe_finds_its_way_to_an_edge_with_tls(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actors.supervisor.visibility import probe

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with scripted(echo_of_head) as port, visited(port, state, "--local-edge-tls") as (_, told):
        assert await probe(told["url"], told["local_ca"]) is None
        assert "certificate" in str(await probe(told["url"])), "trusted by those who were told to"


# --- --as-cloudflare -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def limited(limits: Limits, port: int, state: Path, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A tunnel to `port` over an edge with these limits, and a visitor."""
    async with in_this_process(folder, limits=limits) as edge:
        reach = ("--service-url", edge.api, "--edge", edge.edge, "--edge-ca", edge.ca)
        async with supervisor("--port", port, *reach, "--connections", 1, "--json", state=state) as process:
            await process.event("registered")
            async with httpx.AsyncClient(base_url=edge.http, timeout=PATIENCE, trust_env=False) as client:
                yield client


async def test_as_many_in_flight_as_the_service_allows(state: Path, tmp_path: Path) -> None:
    arrived, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        arrived.release()
        await go_on.wait()
        writer.write(answer(b"done"))
        await writer.drain()

    async with (
        scripted(serve) as port,
        limited(UNLIMITED._replace(in_flight=3), port, state, tmp_path) as client,
        asyncio.TaskGroup() as group,
    ):
        asked = [group.create_task(client.get("/")) for _ in range(3)]
        for _ in asked:
            await arrived.acquire()
        over = await client.post("/", content=b"x" * 1000)
        assert (over.status_code, over.text.splitlines()[0]) == (429, "error code: 429")
        go_on.set()
        assert [(await one).text for one in asked] == ["done"] * 3
        for _ in range(5):  # what has ended is in flight no more
            assert (await client.get("/")).text == "done"


async def test_visitors_who_leave_are_in_flight_no_more(state: Path, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head.startswith(b"GET /hang "):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
            await reader.read()
        else:
            writer.write(answer(b"done"))

    async with scripted(serve) as port, limited(UNLIMITED._replace(in_flight=1), port, state, tmp_path) as client:
        for _ in range(3):
            async with client.stream("GET", "/hang") as response:
                assert response.status_code == 200
                assert (await client.get("/")).status_code == 429
            async with asyncio.timeout(PATIENCE):
                while (await client.get("/")).status_code == 429:  # until the edge has seen that its visitor left
                    await asyncio.sleep(0)


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_body_that_is_too_large_for_the_service(state: Path, tmp_path: Path) -> None:
    async with uvicorn_origin() as port, limited(UNLIMITED._replace(body_bytes=1000), port, state, tmp_path) as client:
        declared = await client.post("/up", content=b"x" * 1001)
        found_out = await client.post("/up", content=chunks(600, 600))
        assert [declared.status_code, found_out.status_code] == [413, 413]
        assert (await client.post("/up", content=b"x" * 1000)).json()["size"] == 1000
        assert (await client.post("/up", content=chunks(400, 600))).json()["size"] == 1000


async def test_answer_that_comes_too_late_for_the_service(state: Path, tmp_path: Path) -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head.startswith(b"GET /hang "):
            await reader.read()
            left.set()
        else:
            writer.write(answer(b"done"))

    async with (
        scripted(serve) as port,
        limited(UNLIMITED._replace(answer_timeout=0.5), port, state, tmp_path) as client,
    ):
        late = await client.get("/hang")
        assert (late.status_code, late.text.splitlines()[0]) == (524, "error code: 524")
        async with asyncio.timeout(PATIENCE):
            await left.wait()
        assert (await client.get("/")).text == "done"


async def test_event_streams_are_held_back_over_get_alone(state: Path, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()

    limits = UNLIMITED._replace(holds_event_streams=True)
    async with scripted(serve) as port, limited(limits, port, state, tmp_path) as client, asyncio.TaskGroup() as group:
        held = group.create_task(client.get("/"))
        async with client.stream("POST", "/") as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"data: 1\n\n", "POST streams"
            assert not held.done(), "and the GET, which came first, waits for its end"
            go_on.set()
            assert [part async for part in parts] == [b"data: 2\n\n"]
        assert (await held).text == "data: 1\n\ndata: 2\n\n"
        assert (await held).headers["content-type"] == "text/event-stream"


async def test_flags_of_the_edge_alone(tmp_path: Path) -> None:
    async with local_edge("--local-edge-tls", "--as-cloudflare") as edge:
        trusting = ssl.create_default_context(cafile=edge["ca"])
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as client:
            assert edge["http"].startswith("https://127.0.0.1:")
            assert (await client.get(edge["http"])).status_code == 530
            made = (await client.post(f"{edge['api']}/tunnel")).json()["result"]["hostname"]
            assert made.startswith("https://")
