"""Origins of every kind: TLS, Unix sockets, connections kept and lost, slow ones, too many at once."""

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from actors.local_edge.certificates import make_certificates
from tests.kit.origins import answer, closing, read_head, scripted
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request on a connection with the head that it saw."""
    while True:
        head = await read_head(reader)
        writer.write(answer(b"" if head.startswith(b"HEAD") else head))


async def test_host_is_the_visitor_s_unless_another_is_asked_for(state: Path) -> None:
    async with scripted(hello) as port:
        async with tunnel(port, state) as made:
            assert f"Host: {made.host}\r\n" in (await made.visitor.get("/")).text
        async with tunnel(port, state, "--host-header", "rewrite") as made:
            own = {"X-Forwarded-Host": "forged", "Origin": f"https://{made.host}"}
            seen = (await made.visitor.get("/", headers=own)).text
            assert f"Host: localhost:{port}\r\n" in seen
            assert f"Origin: http://localhost:{port}\r\n" in seen
            assert "x-forwarded-host" not in seen.lower()
            assert made.host not in seen
            assert (
                "Origin: https://evil.example"
                in (await made.visitor.get("/", headers={"Origin": "https://evil.example"})).text
            )
        async with tunnel(port, state, "--host-header", "rewrite", "--forwarded-host") as made:
            seen = (await made.visitor.get("/", headers=own | {"Origin": f"https://{made.host}"})).text
            assert f"Host: localhost:{port}\r\nX-Forwarded-Host: {made.host}\r\n" in seen
            assert f"Origin: https://{made.host}\r\n" in seen
            assert "forged" not in seen
        async with tunnel(None, state, "--host-header", "app.test", url=f"http://localhost:{port}") as made:
            assert "Host: app.test\r\n" in (await made.visitor.get("/")).text


async def test_origin_that_listens_on_ipv6_alone(state: Path) -> None:
    server = await asyncio.start_server(closing(hello), "::1", 0)
    port = server.sockets[0].getsockname()[1]
    async with tunnel(port, state) as made:
        for _ in range(3):
            assert (await made.visitor.get("/")).status_code == 200
    server.close()


async def test_unix_socket(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    server = await asyncio.start_unix_server(closing(hello), path)
    async with tunnel(None, state, url=f"unix:{path}") as made:
        assert (await made.visitor.get("/x")).text.startswith("GET /x HTTP/1.1")
    server.close()
    path.unlink(missing_ok=True)
    async with tunnel(None, state, url=f"unix:{path}") as made:
        missing = await made.visitor.get("/")
        assert missing.status_code == 502
        assert str(path) in missing.text


async def test_tls(state: Path, tmp_path: Path) -> None:
    made_certificates = make_certificates(("app.test",))
    (tmp_path / "ca.pem").write_bytes(made_certificates.authority_pem)
    key = made_certificates.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(key + made_certificates.certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "key.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await hello(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(closing(serve), "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trusting: list[str | Path] = ["--origin-ca", tmp_path / "ca.pem", "--origin-server-name", "app.test"]
    async with tunnel(None, state, *trusting, url=url) as made:
        assert (await made.visitor.get("/")).status_code == 200
    async with tunnel(None, state, "--no-tls-verify", url=url) as made:
        assert (await made.visitor.get("/")).status_code == 200
    async with tunnel(None, state, url=url) as made:
        refused = await made.visitor.get("/")
        assert refused.status_code == 502
        assert "TLS" in refused.text
        assert "CERTIFICATE_VERIFY_FAILED" in refused.text
    server.close()


async def test_connections_are_kept_for_what_may_be_repeated(state: Path) -> None:
    connections: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen: list[bytes] = []
        connections.append(seen)
        while True:
            head = await read_head(reader)
            seen.append(head.split(b" ")[0])
            if b"content-length: 5" in head.lower():
                await reader.readexactly(5)
            writer.write(answer(b"" if seen[-1] == b"HEAD" else b"ok"))

    async with scripted(serve) as port, tunnel(port, state) as made:
        for method in ("GET", "GET", "HEAD", "POST", "GET"):
            body = b"hello" if method == "POST" else None
            assert (await made.visitor.request(method, "/", content=body)).status_code == 200
        connections.remove([])  # the supervisor's own look at the start
        # An origin may have left a body unread, or may send one after the head of a HEAD.
        assert connections == [[b"GET", b"GET", b"HEAD"], [b"POST"], [b"GET"]]


async def test_request_on_a_connection_that_was_just_closed_is_repeated_once(state: Path) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer(b"first"))
        heads.append(await read_head(reader))  # and closes, as a server does whose patience has just ended

    async with scripted(serve) as port, tunnel(port, state) as made:
        assert (await made.visitor.get("/1")).text == "first"
        assert (await made.visitor.get("/2")).text == "first"
        assert [head.split(b" ")[1] for head in heads] == [b"/1", b"/2", b"/2"]
        assert (await made.totals())["streams"] == 2


async def test_what_comes_after_a_response_reaches_nobody(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ")[1]
            writer.write(answer(path) + (answer(b"smuggled") if path == b"/two" else b""))

    async with scripted(serve) as port, tunnel(port, state) as made:
        for path in ("/one", "/two", "/three", "/two", "/four"):
            assert (await made.visitor.get(path)).text == path


async def test_origin_that_does_not_answer_in_time(state: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in await read_head(reader):
            await reader.read()
        writer.write(answer(b"ok"))

    async with scripted(serve) as port, tunnel(port, state, "--origin-response-timeout", "0.3") as made:
        for method in ("GET", "POST"):  # the POST has a body of no bytes
            late = await made.visitor.request(method, "/slow")
            assert late.status_code == 504
            assert "0.3 s" in late.text
        assert (await made.visitor.get("/quick")).text == "ok"


async def test_too_many_at_once_get_503_and_the_others_do_not_suffer(state: Path) -> None:
    go_on = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        arrived.release()
        await go_on.wait()
        writer.write(answer(b"ok"))

    async with scripted(serve) as port, tunnel(port, state, "--max-streams", 20) as made:
        async with asyncio.TaskGroup() as tasks:
            served = [tasks.create_task(made.visitor.get("/")) for _ in range(20)]
            async with asyncio.timeout(PATIENCE):
                for _ in range(20):
                    await arrived.acquire()
            for _ in range(5):
                refused = await made.visitor.get("/")
                assert refused.status_code == 503
                assert "too many" in refused.text
            go_on.set()
        assert [task.result().text for task in served] == ["ok"] * 20
        assert (await made.visitor.get("/")).text == "ok"


async def test_more_than_the_engine_s_128_streams_at_once(state: Path) -> None:
    """Row L2: 400 at once, every one answered while all the others wait."""
    arrived = 0
    everybody = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await read_head(reader)
        arrived += 1
        if arrived == 400:
            everybody.set()
        await everybody.wait()
        writer.write(answer(b"ok"))

    async with scripted(serve) as port, tunnel(port, state) as made:
        made.visitor._transport._pool._max_connections = 1000  # type: ignore[attr-defined]
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(made.visitor.get("/")) for _ in range(400)]
        assert [task.result().text for task in answers] == ["ok"] * 400


@pytest.mark.parametrize("phase", ["head", "connect", "upload", "response"])
async def test_streams_taken_back_at_every_phase_leave_nothing(state: Path, phase: str) -> None:
    """Row O3, the short form: 300 streams a phase, and the worker is as it was."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        if phase == "response":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await reader.read()

    requests: dict[str, dict[str, Any]] = {
        "head": {"raw": "0a36cd12a13e3031"},
        "connect": {"dest": "https://x/", "metadata": [["HttpMethod", "GET"], ["HttpHost", "x"]]},
        "upload": {
            "dest": "https://x/",
            "metadata": [["HttpMethod", "POST"], ["HttpHost", "x"], ["HttpHeader:Content-Length", "99"]],
            "body": "part",
        },
        "response": {"dest": "https://x/", "metadata": [["HttpMethod", "GET"], ["HttpHost", "x"]]},
    }
    timeout = 0.0 if phase == "connect" else 0.05
    async with scripted(serve) as port, tunnel(port, state) as made:
        (worker,) = made.process.actors("worker")
        await made.open_stream(**requests[phase], fin=False, timeout=timeout)
        before = worker.num_fds()
        for _ in range(10):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(30):
                    tasks.create_task(made.open_stream(**requests[phase], fin=False, timeout=timeout))
        # The last of them end a moment after their RESET: what is asked is that they end.
        await made.process.until(lambda: worker.num_fds() <= before + 2)
        await made.process.until(
            lambda: any(e["type"] == "stats" and not e["streams_in_flight"] for e in made.process.events()[-1:])
        )
        (again,) = made.process.actors("worker")
        assert again.pid == worker.pid


ONE_AFTER_THE_OTHER = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET
    log_message = lambda *_: None

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""It hears nobody else before the connection that it serves has ended."""


async def test_server_of_one_connection_after_the_other_serves_two(state: Path) -> None:
    async with running([sys.executable, "-c", ONE_AFTER_THE_OTHER]) as process:
        port = int(await process.first_line())
        async with tunnel(port, state, connections=2) as made:
            for _ in range(3):
                for method in ("GET", "POST", "GET"):
                    body = b"hello" if method == "POST" else None
                    assert (await made.visitor.request(method, "/", content=body)).text == "ok"
        async with tunnel(port, state, "--origin-keep-alive", 0, connections=2) as made:
            async with asyncio.TaskGroup() as tasks:
                answers = [tasks.create_task(made.visitor.get("/")) for _ in range(20)]
            assert [answer.result().text for answer in answers] == ["ok"] * 20
