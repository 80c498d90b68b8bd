"""Tunnels of one's own, by token, with all real processes before the edge."""

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from actors import Tunnel, TunnelManager
from actors.errors import RefusedByEdge, UsageError
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, Process, local_edge, python, running, supervisor

pytestmark = pytest.mark.slow

APP, API, OTHER = "app.example.com", "api.example.com", "other.example.com"


class Edge:
    """An edge that knows a tunnel of somebody's own."""

    def __init__(self, endpoints: dict[str, str], folder: Path) -> None:
        self.endpoints = endpoints
        self.id = ""
        self.secret = secrets.token_bytes(32)
        said = {
            "a": secrets.token_hex(16),
            "t": "11111111-2222-4333-8444-555555555555",
            "s": base64.b64encode(self.secret).decode(),
        }
        self.id = said["t"]
        self.token = base64.b64encode(json.dumps(said).encode()).decode()
        self.file = folder / "token"
        self.file.write_text(self.token + "\n")
        self.file.chmod(0o600)
        self.credentials = folder / "credentials.json"
        theirs = {"AccountTag": said["a"], "TunnelSecret": said["s"], "TunnelID": self.id}
        self.credentials.write_text(json.dumps(theirs))
        self.credentials.chmod(0o600)
        self.admin = httpx.AsyncClient(base_url=endpoints["admin"], timeout=PATIENCE)
        self.visitor = httpx.AsyncClient(base_url=endpoints["http"], timeout=PATIENCE)

    @property
    def reach(self) -> list[str]:
        """The flags that lead to it."""
        return ["--edge", self.endpoints["edge"], "--edge-ca", self.endpoints["ca"]]

    async def get(self, host: str, path: str = "/") -> httpx.Response:
        return await self.visitor.get(path, headers={"Host": host})


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Edge]:
    async with local_edge() as endpoints:
        made = Edge(endpoints, tmp_path)
        async with made.admin, made.visitor:
            known = {"token": made.token, "hostnames": [APP, API, OTHER]}
            (await made.admin.post("/tunnels", json=known)).raise_for_status()
            yield made


@contextlib.asynccontextmanager
async def greeting(text: str) -> AsyncIterator[int]:
    """An origin that says `text`."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(text.encode()))

    async with scripted(greet) as port:
        yield port


def shown(process: Process) -> bytes:
    """All that other processes could see of it and its children."""
    found = b""
    for each in [process.process.pid, *(child.pid for child in process.descendants())]:
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found += Path(f"/proc/{each}/{name}").read_bytes()
    return found


def said(process: Process) -> str:
    return "\n".join([*process.stdout, *process.stderr])


async def readiness(process: Process, *, connections: int) -> httpx.Response:
    """What `/ready` answers once it has heard of so many connections."""
    address = (await process.logged("metrics over HTTP"))["address"]
    async with httpx.AsyncClient(base_url=address.removesuffix("/metrics")) as client:
        while (ready := await client.get("/ready")).json()["readyConnections"] != connections:
            assert process.process.returncode is None
        return ready


async def test_token_run_registers_four_connections_and_serves(own: Edge, state: Path) -> None:
    async with greeting("it is me") as port:
        flags: list[str | int | Path] = [
            "run",
            "--token-file",
            own.file,
            *own.reach,
            "--connections",
            4,
            "--port",
            port,
        ]
        async with supervisor(*flags, "--json", "--metrics-http", "127.0.0.1:0", state=state) as process:
            await process.event("registered", connections=4)
            assert (await own.get(APP, "/x")).text == "it is me"
            registered = (await own.admin.get("/connections")).json()
            assert sorted(each["index"] for each in registered) == [0, 1, 2, 3]
            first = await process.event("registered", connections=1)
            assert (first["slot"], first["url"], first["tunnel_id"]) == (0, "", own.id)
            told = json.loads((state / "tunnel.json").read_text())
            assert (told["url"], told["serves"], told["rules"], told["connections"]) == ("", True, 1, 4)
            assert not (state / "tunnel.url").exists()
            assert own.token.encode() not in shown(process)
            ready = await readiness(process, connections=4)
            assert (ready.status_code, ready.json()["rules"]) == (200, 1)
            async with running(python("actors.tools.status", "--state-dir", state)) as looking:
                assert await looking.wait() == 0
            assert looking.stdout[0] == f"tunnel {own.id}"
            assert await process.stop() == 0
            assert (await own.admin.get("/connections")).json() == []
            assert own.token not in said(process)
            assert base64.b64encode(own.secret).decode() not in said(process)
            assert [event["type"] for event in process.events()][-1] == "stopped"
        assert list(state.glob("tunnel.[ju]*")) == []


async def test_token_in_the_environment_is_nobody_else_s(own: Edge, state: Path) -> None:
    flags: list[str | int | Path] = ["run", *own.reach, "--connections", 2, "--hello-world", "--json"]
    async with supervisor(*flags, state=state, env={"TUNNEL_TOKEN": own.token}) as process:
        await process.event("registered", connections=2)
        visible = shown(process)
        assert b"tunnel-" in visible or b"actors" in visible, "there was something to be seen"
        assert own.token.encode() not in visible
        for worker in process.actors("worker"):  # a replacement, which the nursery forks
            worker.kill()
        await process.event("connecting", generation=2)
        assert own.token.encode() not in shown(process)
        assert await process.stop() == 0
        assert own.token not in said(process)


async def test_token_in_argv_works_and_is_warned_about(own: Edge, state: Path) -> None:
    flags: list[str | int | Path] = [
        "run",
        "--token",
        own.token,
        *own.reach,
        "--connections",
        1,
        "--hello-world",
        "--json",
    ]
    async with supervisor(*flags, state=state) as process:
        await process.event("registered", connections=1)
        await process.logged("every user of this machine can read it")
        for child in process.descendants():
            assert own.token not in " ".join(child.cmdline())
        assert await process.stop() == 0
        assert own.token not in said(process)


async def test_without_rules_it_is_registered_and_answers_503(own: Edge, state: Path) -> None:
    flags: list[str | int | Path] = [
        "run",
        "--credentials-file",
        own.credentials,
        *own.reach,
        "--connections",
        1,
        "--json",
    ]
    async with supervisor(*flags, "--metrics-http", "127.0.0.1:0", state=state) as process:
        told = await process.event("state", state="registered")
        assert (told["serves"], told["rules"], told["url"]) == (False, 0, "")
        assert (await own.get(APP)).status_code == 503
        ready = await readiness(process, connections=1)
        assert (ready.status_code, ready.json()["rules"]) == (503, 0)
        async with running(python("actors.tools.status", "--state-dir", state)) as looking:
            assert await looking.wait() == 1
        assert "rules        none yet" in looking.stdout
        assert await process.stop() == 0


async def test_rules_of_a_file_say_where_requests_go(own: Edge, state: Path, tmp_path: Path) -> None:
    """A Go user's file as it is: the credentials that it names, hostnames, paths, a page of our own, a status."""
    async with greeting("app") as app, greeting("api") as api:
        rules = tmp_path / "config.yml"
        rules.write_text(
            f"tunnel: {own.id}\ncredentials-file: {own.credentials}\nloglevel: info\ningress:\n"
            f"  - hostname: {APP}\n    path: ^/api/\n    service: http://127.0.0.1:{api}\n"
            f"  - hostname: {APP}\n    service: http://127.0.0.1:{app}\n"
            f"  - hostname: {API}\n    service: hello_world\n"
            "  - service: http_status:418\n"
        )
        flags: list[str | int | Path] = ["run", "--config", rules, *own.reach, "--connections", 2, "--json"]
        async with supervisor(*flags, state=state) as process:
            await process.event("registered", connections=2)
            applied = await process.event("configuration_applied")
            assert (applied["version"], applied["rules"], applied["hostnames"]) == (-1, 4, [APP, API])
            assert (await own.get(APP, "/api/x")).text == "api"
            assert (await own.get(APP, "/")).text == "app"
            assert "hello" in (await own.get(API)).text.lower()
            assert (await own.get(OTHER)).status_code == 418
            assert json.loads((state / "tunnel.json").read_text())["hostnames"] == [APP, API]
            assert await process.stop() == 0


async def test_quick_tunnel_routes_by_path_with_such_a_file(state: Path, tmp_path: Path) -> None:
    async with greeting("app") as app, greeting("api") as api, local_edge() as endpoints:
        rules = tmp_path / "rules.yml"
        rules.write_text(
            f"ingress:\n  - path: ^/api/\n    service: http://127.0.0.1:{api}\n  - service: http://127.0.0.1:{app}\n"
        )
        flags: list[str | int | Path] = [
            "--config",
            rules,
            "--service-url",
            endpoints["api"],
            "--edge",
            endpoints["edge"],
        ]
        async with supervisor(*flags, "--edge-ca", endpoints["ca"], "--json", state=state) as process:
            told = await process.event("state", state="registered")
            async with httpx.AsyncClient(base_url=endpoints["http"], timeout=PATIENCE) as visitor:
                host = {"Host": httpx.URL(told["url"]).netloc.decode()}
                assert (await visitor.get("/api/x", headers=host)).text == "api"
                assert (await visitor.get("/", headers=host)).text == "app"
            assert await process.stop() == 0


async def test_tunnel_that_the_edge_does_not_know_ends_with_its_words(own: Edge, state: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    parts = {"a": "0" * 32, "t": own.id, "s": base64.b64encode(bytes(32)).decode()}
    stranger.write_text(base64.b64encode(json.dumps(parts).encode()).decode())
    stranger.chmod(0o600)
    flags: list[str | int | Path] = ["run", "--token-file", stranger, *own.reach, "--hello-world", "--json"]
    async with supervisor(*flags, state=state) as process:
        assert await process.wait() == 7
        failed = await process.event("start_failed")
        assert failed["reason"] == "refused"
        assert "Unauthorized" in failed["message"]
        assert "Was the tunnel deleted, or its token replaced?" in failed["message"]


@pytest.mark.parametrize("how", ["truncated", "not base64"])
async def test_token_that_is_none_is_refused_before_anything_is_dialled(own: Edge, state: Path, how: str) -> None:
    broken = own.token[:-8] if how == "truncated" else "?" + own.token
    async with supervisor("run", "--hello-world", state=state, env={"TUNNEL_TOKEN": broken}) as process:
        assert await process.wait() == 2
    assert "is no token" in said(process)
    assert own.token[8:30] not in said(process)


@pytest.mark.parametrize("given", ["text", "file", "credentials"])
async def test_python_runs_a_tunnel_of_one_s_own(own: Edge, given: str) -> None:
    async with greeting("from python") as port:
        if given == "credentials":
            manager = TunnelManager.from_credentials_file(own.credentials, port)
        else:
            manager = TunnelManager.from_token(own.token if given == "text" else own.file, port)
        assert own.token not in repr(manager)
        manager = manager.with_edge(own.endpoints["edge"]).with_edge_ca(own.endpoints["ca"]).with_connections(2)
        async with manager as handle:
            assert (handle.url, handle.tunnel_id, handle.serves) == ("", own.id, True)
            assert (handle.hostnames, handle.configuration_version) == ([], -1)
            assert (await own.get(APP)).text == "from python"
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    assert own.token not in " ".join(child.cmdline())
                    assert own.token not in " ".join(child.environ().values())


def test_python_takes_rules_and_says_what_is_wrong_with_them(own: Edge) -> None:
    all_rules = [{"hostname": APP, "service": "http_status:204"}, {"service": "http_status:404"}]
    rules: dict[str, Any] = {"ingress": all_rules}
    manager = TunnelManager.from_token(own.token).with_edge(own.endpoints["edge"]).with_edge_ca(own.endpoints["ca"])
    for given in (rules, json.dumps(rules)):
        with Tunnel(manager.with_connections(1).with_ingress(given)) as tunnel:
            assert tunnel.hostnames == [APP]
            assert httpx.get(own.endpoints["http"], headers={"Host": APP}).status_code == 204
            assert httpx.get(own.endpoints["http"], headers={"Host": OTHER}).status_code == 404
    with pytest.raises(UsageError, match="match all URLs"):
        Tunnel(manager.with_ingress({"ingress": all_rules[:1]})).start()
    with pytest.raises(UsageError, match="is no token"):
        Tunnel(TunnelManager.from_token("nonsense")).start()
    stranger = base64.b64encode(json.dumps({"a": "0" * 32, "t": own.id, "s": "A" * 43 + "="}).encode()).decode()
    refused = TunnelManager.from_token(stranger).with_edge(own.endpoints["edge"]).with_edge_ca(own.endpoints["ca"])
    with pytest.raises(RefusedByEdge, match="Unauthorized"):
        Tunnel(refused).start()


@pytest.mark.parametrize("protocol", ["quic", "http2"])
async def test_python_hears_of_rules_that_the_service_pushes(own: Edge, protocol: str) -> None:
    """It is up before there are any; then it has their hostnames and version, and serves."""
    manager = TunnelManager.from_token(own.token).with_edge(own.endpoints["edge"]).with_edge_ca(own.endpoints["ca"])
    async with manager.with_connections(2).with_protocol(protocol) as handle:
        assert (handle.state, handle.serves, handle.configuration_version) == ("registered", False, -1)
        assert (await own.get(APP)).status_code == 503
        rules = [{"hostname": APP, "service": "http_status:204"}, {"service": "http_status:404"}]
        push = {"version": 7, "config": {"ingress": rules}}
        answers = (await own.admin.post(f"/tunnels/{own.id}/push", json=push)).json()
        assert [(answer["latestAppliedVersion"], answer["err"]) for answer in answers] == [(7, "")] * len(answers)
        async with asyncio.timeout(PATIENCE):
            while not handle.serves:
                async for _ in handle.events():
                    break
        assert (handle.hostnames, handle.configuration_version) == ([APP], 7)
        assert (await own.get(APP)).status_code == 204
