"""The guard with all real processes: nobody gets past it, and whoever may come comes, over either transport."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
from websockets.exceptions import InvalidStatus

from actors import TunnelManager
from actors.exchange.holding import MAX_HELD_BODIES, MAX_OF_ONE_VISITOR
from tests.guard.test_webhooks import ALL, Example
from tests.kit.guard_breakers import HOOK, RULES, SECRETS, SLACK, TOKEN, Try, basic, over_http2, signed, tries
from tests.kit.named import HOSTNAME, named_tunnel
from tests.kit.origins import answer, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE
from tests.kit.queries import ask
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow

PROTOCOLS = ("quic", "http2")

ENDED = 2.0
"""Seconds that an answer may take to end: a refusal has ended at once."""


class Seen:
    """An origin that answers everything with "canary", and what reached it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            self.heads.append(head)
            length = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b":0")
            self.bodies.append(await reader.readexactly(int(length.partition(b":")[2])))
            writer.write(answer(b"canary"))


def secrets(folder: Path, **contents: str) -> dict[str, Path]:
    made = {}
    for name, content in contents.items():
        made[name] = folder / name
        made[name].touch(0o600)
        made[name].write_text(content)
    return made


@contextlib.asynccontextmanager
async def ruled(state: Path, folder: Path, port: int, protocol: str) -> AsyncIterator[Tunnel]:
    """A tunnel with a guard for each hostname of `RULES`."""
    secrets(folder, **SECRETS)
    (folder / "rules.yml").write_text(RULES.format(origin=f"http://127.0.0.1:{port}", folder=folder))
    async with tunnel(None, state, "--config", folder / "rules.yml", "--protocol", protocol) as made:
        yield made


async def metrics(made: Tunnel) -> str:
    """What Prometheus would read."""
    endpoint = json.loads((made.state / "tunnel.json").read_text())["metrics_endpoint"]
    return (await ask(endpoint, b"prometheus")).decode()


async def asked(made: Tunnel, host: str, path: str = "/", **options: Any) -> httpx.Response:
    given = options.pop("headers", {})
    return await made.visitor.request(options.pop("method", "GET"), path, headers={"Host": host, **given}, **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_gets_past_it(state: Path, tmp_path: Path, protocol: str) -> None:
    seen = Seen()
    table = list(tries(int(time.time())))
    assert len({each._replace(name="") for each in table}) >= 250, "that differ"
    through, silent = [], []
    async with scripted(seen.serve) as port, ruled(state, tmp_path, port, protocol) as made:
        for number, each in enumerate(table):
            got = await made.open_stream(**each.stream(), timeout=ENDED)
            text = bytes.fromhex(got["data"])
            if seen.heads:
                through.append((each.name, seen.heads[:]))
                seen.heads.clear()
            is_refused = any(word in text for word in (b"400", b"401", b"403", b"411", b"502", b"Unauthorized"))
            if b"canary" in text or (text and not is_refused):
                silent.append((each.name, text[:200]))
            for secret in SECRETS.values():
                assert secret.encode() not in text, each.name
            if number % 25 == 0:
                assert (await asked(made, "open.example", f"/canary/{number}")).text == "canary"
                assert [head.split(b"\r\n")[0] for head in seen.heads] == [b"GET /canary/%d HTTP/1.1" % number]
                seen.heads.clear()
        log = "\n".join(made.process.stderr)
        for secret in SECRETS.values():
            assert secret not in log
    assert through == []
    assert silent == []


@pytest.mark.local_edge_only("writes heads by their fields")
async def test_nobody_gets_past_it_by_what_http2_alone_has(state: Path, tmp_path: Path) -> None:
    seen = Seen()
    through = []
    async with scripted(seen.serve) as port, ruled(state, tmp_path, port, "http2") as made:
        for name, fields in over_http2():
            got = await made.open_stream(fields=fields, timeout=ENDED)
            if seen.heads or b"canary" in bytes.fromhex(got["data"]):
                through.append((name, seen.heads[:]))
                seen.heads.clear()
        fields = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "token.example")]
        await made.open_stream(fields=[*fields, ("authorization", f"Bearer {TOKEN}")])
        assert len(seen.heads) == 1, "whoever may come does"
        assert b"uthorization" not in seen.heads[0]
    assert through == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_whoever_may_come_comes(state: Path, tmp_path: Path, protocol: str) -> None:
    seen = Seen()
    body = b'{"a": 1}'
    stamp = str(int(time.time()))
    slack = "v0=" + hmac.new(SLACK.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    async with scripted(seen.serve) as port, ruled(state, tmp_path, port, protocol) as made:
        for host, path, options in (
            ("token.example", "/", {"headers": {"Authorization": f"Bearer {TOKEN}"}}),
            ("token.example", f"/?access_token={TOKEN}", {}),
            ("login.example", "/", {"headers": {"Authorization": basic(SECRETS["login"])}}),
            ("far.example", "/", {}),
            ("deny.example", "/administrator", {}),
            ("allow.example", "/public/x", {}),
            (
                "hook.example",
                "/",
                {"method": "POST", "content": body, "headers": {"X-Hub-Signature-256": signed(HOOK, body)}},
            ),
            (
                "slack.example",
                "/",
                {
                    "method": "POST",
                    "content": body,
                    "headers": {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": slack},
                },
            ),
        ):
            got = await asked(made, host, path, **options)
            assert (got.status_code, got.text) == (200, "canary"), host
        for head in seen.heads:
            assert TOKEN.encode() not in head
            assert b"Basic" not in head
        assert body in seen.bodies
        text = await metrics(made)
        assert "tunnel_guard_refused_total{" in text


ADMIN = (
    "/admin",
    "/admin%0a",
    "/admin%0d%0a",
    "/admin%250a",
    "/admin%C2%85",
    "/%61dmin%0A",
    "/admin%0a/",
    "//x/admin%0a",
)


@pytest.mark.parametrize("by", ["flag", "rules"])
async def test_starlette_s_path_with_a_newline(state: Path, tmp_path: Path, by: str) -> None:
    secrets(tmp_path, token=TOKEN)
    async with uvicorn_origin("admin_app") as port:
        async with httpx.AsyncClient() as direct:
            assert (await direct.get(f"http://127.0.0.1:{port}/admin%0a")).text == "canary", "to Starlette it is /admin"
        (tmp_path / "rules.yml").write_text(
            f"""
ingress:
  - {{path: "^/admin(/|$)", service: "http://127.0.0.1:{port}", guard: {{access-token-file: "{tmp_path}/token"}}}}
  - {{service: "http://127.0.0.1:{port}"}}
"""
        )
        flags = ("--deny-path", "/admin") if by == "flag" else ("--config", tmp_path / "rules.yml")
        async with tunnel(port if by == "flag" else None, state, *flags) as made:
            for path in ADMIN:
                got = await made.visitor.get(path)
                assert got.status_code in (401, 403), path
                assert "canary" not in got.text
            assert (await made.visitor.get("/")).text == "home"


@pytest.mark.parametrize("by", ["flag", "rules"])
async def test_paths_that_are_made_to_take_long_hold_nobody_up(state: Path, tmp_path: Path, by: str) -> None:
    """In the path and in the fields; one worker answers all of it, and is the same at the end."""
    secrets(tmp_path, token=TOKEN)
    async with uvicorn_origin() as port:
        (tmp_path / "rules.yml").write_text(
            f"""
ingress:
  - {{path: "^/admin(/|$)", service: "http://127.0.0.1:{port}", guard: {{access-token-file: "{tmp_path}/token"}}}}
  - {{service: "http://127.0.0.1:{port}"}}
"""
        )
        flags = ("--deny-path", "/admin") if by == "flag" else ("--config", tmp_path / "rules.yml")
        async with tunnel(port if by == "flag" else None, state, *flags, connections=1) as made:
            dots = "/" + "." * 6000 + "x"
            for _ in range(3):
                got = await made.visitor.get("/", headers=[("X-Original-Url", dots)] * 8)
                assert got.status_code == 403
                got = await made.visitor.get("/", headers=[("X_Original_Url", dots)])
                assert got.status_code in (200, 403)
                assert (await made.visitor.get("/" + "." * 8000 + "x")).status_code in (200, 403)
            assert (await made.visitor.get("/headers")).status_code == 200
            assert not any("heartbeat_missed" in line for line in made.process.stderr)


async def test_refusal_tells_nothing_and_the_metrics_do(state: Path, tmp_path: Path) -> None:
    made_of = secrets(tmp_path, token=TOKEN, hook=HOOK)
    flags = (
        "--access-token-file",
        made_of["token"],
        "--verify-webhook",
        f"github={made_of['hook']}",
        "--deny-path",
        "/x",
    )
    async with uvicorn_origin() as port, tunnel(port, state, *flags) as made:
        refused = [
            await made.visitor.get("/"),
            await made.visitor.get("/", headers={"Authorization": "Bearer x"}),
            await made.visitor.post("/", headers={"X-Hub-Signature-256": "sha256=0"}, content=b"x"),
        ]
        assert [each.status_code for each in refused] == [401, 401, 401]
        assert len({each.content for each in refused}) == 1
        names = [sorted(each.headers) for each in refused]
        assert names[0] == names[1]
        assert (await made.visitor.get("/%78")).text == "403 Forbidden\n"
        logged = await made.process.logged("guard_webhook_wrong")
        assert logged["error"] == "a webhook is not signed as github would"
        counted: dict[str, str] = {}
        wanted = {"login_absent": "1", "login_wrong": "1", "webhook_wrong": "1", "path": "1", "rate": "0"}
        async with asyncio.timeout(PATIENCE):
            while not wanted.items() <= counted.items():
                text = await metrics(made)
                lines = [line for line in text.splitlines() if line.startswith("tunnel_guard_refused_total{")]
                counted = {line.split('reason="')[1].split('"')[0]: line.split()[-1] for line in lines}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_webhooks_as_their_senders_sign_them(state: Path, tmp_path: Path, protocol: str) -> None:
    """As they are, changed, and (where the time is signed) years later, which is now; then as they would be now."""
    files: dict[str, list[str]] = {}
    for example in ALL:
        files.setdefault(example.sender, []).append(example.secret)
    made_of = secrets(tmp_path, **{sender: "\n".join(known) for sender, known in files.items()})
    flags = [f"--verify-webhook={sender}={path}" for sender, path in made_of.items()]
    seen = Seen()

    async def send(example: Example, body: bytes | None = None) -> bytes:
        fields = [("Content-Length", str(len(example.body if body is None else body))), *example.fields]
        metadata = [("HttpMethod", "POST"), ("HttpHost", example.host), *((f"HttpHeader:{k}", v) for k, v in fields)]
        text = (example.body if body is None else body).decode("latin-1")
        dest = f"https://{example.host}{example.target}"
        return bytes.fromhex((await made.open_stream(dest=dest, metadata=metadata, body=text))["data"])

    async with scripted(seen.serve) as port, tunnel(port, state, *flags, "--protocol", protocol) as made:
        for example in ALL:
            if example.sender != "telegram":  # which signs nothing
                assert b"401" in await send(example, example.body[:-1] + b"#"), example.sender
            assert seen.bodies == []
            is_late = bool(example.now)
            assert (b"401" if is_late else b"canary") in await send(example), example.sender
            assert seen.bodies == ([] if is_late else [example.body]), "byte for byte"
            seen.bodies.clear()
            if is_late:
                present = example.signed_at(int(time.time()))
                for _ in range(2):  # within five minutes it may be sent again, as the senders' own libraries have it
                    assert b"canary" in await send(present), example.sender
                assert seen.bodies == [example.body] * 2
                seen.bodies.clear()
        await made.process.logged("guard_webhook_late")
        await made.process.logged("guard_webhook_wrong")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_bodies_that_do_not_come_keep_no_webhook_out(state: Path, tmp_path: Path, protocol: str) -> None:
    made_of = secrets(tmp_path, hook=HOOK)
    visitors = [f"203.0.113.{number}" for number in range(MAX_HELD_BODIES // MAX_OF_ONE_VISITOR + 1)]
    seen = Seen()
    flags = ("--verify-webhook", f"github={made_of['hook']}", "--protocol", protocol, "--grace-period", "0")

    def post(address: str, signature: str, length: str, body: str, **more: Any) -> Coroutine[Any, Any, dict[str, Any]]:
        fields = (("X-Hub-Signature-256", signature), ("Content-Length", length))
        stream = Try("", "hook.example", fields=fields, body=body, method="POST", address=(address,)).stream()
        return made.open_stream(**stream, **more)

    async with (
        scripted(seen.serve) as port,
        tunnel(port, state, *flags, connections=1) as made,
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as tasks,
    ):
        slow = [
            tasks.create_task(post(visitor, "x", "10", "x", fin=False, timeout=PATIENCE))
            for visitor in visitors
            for _ in range(MAX_OF_ONE_VISITOR)
        ]
        for answered in itertools.islice(asyncio.as_completed(slow), MAX_OF_ONE_VISITOR):
            assert b"408" in bytes.fromhex((await answered)["data"]), "it makes room for the last"
        webhook = await post("198.51.100.7", signed(HOOK, b"{}"), "2", "{}")
        assert b"canary" in bytes.fromhex(webhook["data"])
        assert seen.bodies == [b"{}"]
        for task in slow:
            task.cancel()


async def test_browser_comes_by_a_link(state: Path, tmp_path: Path) -> None:
    made_of = secrets(tmp_path, token=f"{TOKEN}\nanother-token-of-chance\n")
    html = {"Accept": "text/html"}
    async with (
        uvicorn_origin() as port,
        tunnel(port, state, "--access-token-file", made_of["token"], "--banner") as made,
    ):
        led = await made.visitor.get(f"/headers?a=1&access_token={TOKEN}", headers=html)
        assert (led.status_code, led.headers["Location"]) == (303, "/headers?a=1")
        cookie = led.headers["Set-Cookie"].partition(";")[0]
        again = await made.visitor.get(f"/headers?access_token={TOKEN}", headers={**html, "Cookie": cookie})
        assert (again.status_code, again.headers["Location"]) == (303, "/headers")
        page = await made.visitor.get("/headers?a=1", headers={**html, "Cookie": cookie})
        assert "Before you go on" in page.text
        banner = page.headers["Set-Cookie"].partition(";")[0]
        got = await made.visitor.get("/headers?a=1", headers={**html, "Cookie": f"{cookie}; app=1; {banner}"})
        assert got.headers["Cloudflare-CDN-Cache-Control"] == "no-store", "or the edge gives it to others"
        fields = dict(got.json()["fields"])
        assert fields["cookie"] == "app=1"
        assert (await made.visitor.get("/", headers={**html, "Cookie": cookie[:-1] + "x"})).status_code == 401


async def test_login_by_bcrypt_and_over_a_websocket(state: Path, tmp_path: Path) -> None:
    made = bcrypt.hashpw(b"sesame", bcrypt.gensalt(6)).decode()
    made_of = secrets(tmp_path, login=f"ann:{made}\nbob:{made}\n")
    async with uvicorn_origin() as port, tunnel(port, state, "--auth-file", made_of["login"]) as made_tunnel:
        refused = await made_tunnel.visitor.get("/headers")
        assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
        good = {"Authorization": basic("bob:sesame")}
        for _ in range(3):
            got = await made_tunnel.visitor.get("/headers", headers=good)
            assert "authorization" not in dict(got.json()["fields"])
        for wrong in ("bob:sesam", "eve:sesame"):
            got = await made_tunnel.visitor.get("/headers", headers={"Authorization": basic(wrong)})
            assert got.status_code == 401
        async with made_tunnel.socket(additional_headers=good) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        with pytest.raises(InvalidStatus, match="401"):
            async with made_tunnel.socket():
                pass


@pytest.mark.parametrize("connections", [1, 2])
async def test_rate_of_one_visitor_over_all_connections(state: Path, connections: int) -> None:
    flags = ("--rate-limit", "1/h,burst=5")
    async with uvicorn_origin() as port, tunnel(port, state, *flags, connections=connections) as made:
        got = [await made.visitor.get("/headers") for _ in range(12)]
        assert sorted(each.status_code for each in got) == [200] * 5 + [429] * 7
        assert 0 < int(got[-1].headers["Retry-After"]) <= 3600


async def test_places_of_all_connections_and_of_a_worker_that_is_killed(state: Path) -> None:
    held, came = asyncio.Event(), asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if b"/slow" in await read_head(reader):
                came.release()
                await held.wait()
            writer.write(answer(b"done"))

    async with scripted(serve) as port, tunnel(port, state, "--max-in-flight", "2", connections=2) as made:

        @contextlib.asynccontextmanager
        async def full() -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
            """Both places are taken."""
            held.clear()
            async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE):
                slow = [tasks.create_task(made.visitor.get("/slow")) for _ in range(2)]
                for _ in slow:
                    await came.acquire()
                yield slow
                held.set()

        async with full() as slow:
            got = [await made.visitor.get("/") for _ in range(4)]
            assert {each.status_code for each in got} == {503}
            assert int(got[-1].headers["Retry-After"]) >= 1
        assert [task.result().text for task in slow] == ["done", "done"]
        assert (await made.visitor.get("/")).status_code == 200
        async with full():
            for worker in made.process.actors("worker"):
                worker.kill()
        await made.process.event("connection_ended")
        async with asyncio.timeout(PATIENCE):
            while (await made.visitor.get("/")).status_code != 200:
                await asyncio.sleep(0.05)


async def test_secret_in_a_variable_is_forgotten_and_is_in_no_process_s_sight(state: Path) -> None:
    async with (
        uvicorn_origin() as port,
        tunnel(port, state, "--access-token-file", "env:DOOR_TOKEN", env={"DOOR_TOKEN": TOKEN}) as made,
    ):
        assert (await made.visitor.get("/")).status_code == 401
        got = await made.visitor.get("/headers", headers={"Authorization": f"Bearer {TOKEN}"})
        assert got.status_code == 200
        pids = [made.process.process.pid, *(child.pid for child in made.process.descendants())]
        assert len(pids) >= 3
        for pid in pids:
            for name in ("environ", "cmdline"):
                assert TOKEN.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        assert TOKEN not in "\n".join([*made.process.stderr, *made.process.stdout])
        for file in [*state.rglob("*")]:
            assert not file.is_file() or TOKEN.encode() not in file.read_bytes()


async def test_from_python(tmp_path: Path) -> None:
    made_of = secrets(tmp_path, token=TOKEN)
    async with uvicorn_origin() as port:
        manager = TunnelManager(port).with_local_edge().with_access_token_file(made_of["token"]).with_deny_path("/x")
        async with manager as handle, httpx.AsyncClient(base_url=handle.local_url, timeout=PATIENCE) as visitor:
            good = {"Authorization": f"Bearer {TOKEN}"}
            assert (await visitor.get("/headers")).status_code == 401
            assert (await visitor.get("/headers", headers=good)).status_code == 200
            assert (await visitor.get("/%78", headers=good)).status_code == 403


async def test_rules_that_are_pushed_have_the_flags_guard(state: Path, tmp_path: Path) -> None:
    made_of = secrets(tmp_path, door=TOKEN)
    good = {"Host": HOSTNAME, "Authorization": f"Bearer {TOKEN}"}
    async with (
        uvicorn_origin() as port,
        named_tunnel(tmp_path) as edge,
        edge.replica(state, "--access-token-file", made_of["door"]),
    ):
        for version, path in ((1, ""), (2, "^/headers")):
            rule = {"service": f"http://127.0.0.1:{port}", "path": path, "guard": {"access-token-file": ""}}
            rules = [rule, {"service": "http_status:404"}] if path else [rule]
            await edge.push(version, {"ingress": rules})
            assert (await edge.get("/headers")).status_code == 401
            assert (await edge.visitor.get("/headers", headers=good)).status_code == 200


async def test_open_door_is_said_at_the_start(state: Path, tmp_path: Path) -> None:
    made_of = secrets(tmp_path, token=TOKEN)
    for flags, is_said in (((), True), (("--access-token-file", made_of["token"]), False)):
        async with tunnel(None, state, *flags) as made:
            said = [line for line in made.process.stderr if "--access-token-file FILE or --auth-file FILE" in line]
            assert len(said) == is_said


async def test_expires(state: Path) -> None:
    async with uvicorn_origin() as port, tunnel(port, state, "--expires", "2s") as made:
        assert await made.process.wait() == 0
        assert any("--expires" in line for line in made.process.stderr)
        assert made.process.events()[-1]["reason"] == "stopped"
