"""The image's command lines, as Kubernetes runs them: user 10001, a root that is read-only, no capability."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.kit.container import GIVEN, in_the_image, secret_volume, user
from tests.kit.machine import needs_root
from tests.kit.operations import FOLDER
from tests.kit.origins import answer, free_port, read_head, scripted
from tests.kit.processes import PATIENCE, Process, local_edge, running

pytestmark = [needs_root, pytest.mark.slow]


class Pod:
    """A container that runs, and the probes that its manifest asks for."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    async def probe(self, client: httpx.AsyncClient, path: str) -> int:
        """The status that the kubelet sees; 0: nothing answers."""
        try:
            return (await client.get(f"http://127.0.0.1:{self.port}{path}")).status_code
        except httpx.TransportError:
            return 0

    async def until(self, client: httpx.AsyncClient, path: str, status: int) -> None:
        """Wait until a probe gets that answer."""
        async with asyncio.timeout(PATIENCE):
            while await self.probe(client, path) != status:
                await asyncio.sleep(0.05)  # as the kubelet asks again and again


def container(manifest: str) -> dict[str, Any]:
    """The one container of a Deployment."""
    deployment, *_ = yaml.safe_load_all((FOLDER / manifest).read_text())
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


@contextlib.asynccontextmanager
async def pod(folder: Path, name: str, arguments: list[str], edge: dict[str, str], **said: str) -> AsyncIterator[Pod]:
    """A pod with these arguments; the edge of the test, and what is `said` besides, come by the environment."""
    given, port = folder / "given", free_port()
    given.mkdir(exist_ok=True)
    shutil.copy(edge["ca"], given / "ca.pem")
    environment = {"EDGE": edge["edge"], "EDGE_CA": f"{GIVEN}/ca.pem", "CONNECTIONS": "1", "JSON": "1", **said}
    prefixed = {f"TUNNEL_SUPERVISOR_{name}": value for name, value in environment.items()}
    command = in_the_image(arguments, root=folder / name, given=given, port=port, environment=prefixed)
    async with running(command) as process:
        yield Pod(process, port)


def confined(process: Process) -> None:
    """Nothing of it is anybody but the image's user, has a capability, or could get one."""
    for one in (psutil.Process(process.process.pid), *process.descendants()):
        try:
            lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between, as half of each fork of the nursery's does
        status = dict(line.split(":", 1) for line in lines)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(user())}
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"


async def serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_head(reader)
        writer.write(answer(b"from the application"))


async def test_quick_tunnel_of_the_manifest(tmp_path: Path) -> None:
    async with scripted(serves) as port, local_edge() as edge, httpx.AsyncClient(timeout=PATIENCE) as client:
        arguments = [
            word.replace("http://my-application:8080", f"http://127.0.0.1:{port}")
            for word in container("kubernetes.yaml")["args"]
        ]
        async with pod(tmp_path, "pod", arguments, edge, SERVICE_URL=edge["api"]) as made:
            url = (await made.process.event("registered"))["url"]
            confined(made.process)
            await made.until(client, "/ready", 200)
            assert await made.probe(client, "/healthcheck") == 200
            assert (await client.get(edge["http"])).text == "from the application"
            inside = Path(f"/proc/{made.process.process.pid}/root/var/lib/tunnel-supervisor/state")
            assert (inside / "tunnel.url").read_text().strip() == url
            assert await made.process.stop() == 0
            assert "Traceback" not in "\n".join(made.process.stderr)


@contextlib.asynccontextmanager
async def own_tunnel(folder: Path) -> AsyncIterator[tuple[dict[str, str], httpx.AsyncClient, dict[str, Any]]]:
    """An edge, its admin, and a tunnel of one's own there, whose token is where the manifest's Secret is to be."""
    async with local_edge() as edge, httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE) as admin:
        made = (await admin.post("/tunnels", json={"hostnames": ["app.example"], "remotely_managed": True})).json()
        secret_volume(folder / "given" / "secret", "token", made["token"], group=user())
        yield edge, admin, made


def token_arguments() -> list[str]:
    """What the manifest says, with the Secret where a test mounts it."""
    (mount,) = [one for one in container("kubernetes-token.yaml")["volumeMounts"] if one["name"] == "token"]
    return [word.replace(mount["mountPath"], f"{GIVEN}/secret") for word in container("kubernetes-token.yaml")["args"]]


async def test_replica_is_ready_once_it_has_rules(tmp_path: Path) -> None:
    async with (
        scripted(serves) as port,
        own_tunnel(tmp_path) as (edge, admin, tunnel),
        httpx.AsyncClient(timeout=PATIENCE) as client,
        pod(tmp_path, "pod", token_arguments(), edge) as made,
    ):
        await made.process.event("registered")
        confined(made.process)
        await made.until(client, "/healthcheck", 200)
        assert await made.probe(client, "/ready") == 503
        push = {"version": 1, "config": {"ingress": [{"service": f"http://127.0.0.1:{port}"}]}}
        (answered,) = (await admin.post(f"/tunnels/{tunnel['id']}/push", json=push)).json()
        assert (answered["latestAppliedVersion"], answered["err"]) == (1, "")
        await made.until(client, "/ready", 200)
        assert (await client.get(edge["http"], headers={"Host": "app.example"})).text == "from the application"
        assert await made.process.stop() == 0
        assert tunnel["token"] not in "\n".join(made.process.stderr + made.process.stdout)


async def test_replicas_are_rolled_without_a_failed_request(tmp_path: Path) -> None:
    """Three pods with one token, and one after the other is replaced, as maxSurge 1 and maxUnavailable 0 have it.

    Their rules are a file's, as of a ConfigMap: an edge may send requests to a new replica before it has pushed any.
    """
    arguments = [*token_arguments(), f"--config={GIVEN}/rules.yml"]
    async with (
        scripted(serves) as port,
        own_tunnel(tmp_path) as (edge, _, _),
        httpx.AsyncClient(timeout=PATIENCE) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        (tmp_path / "given" / "rules.yml").write_text(f"ingress:\n  - service: http://127.0.0.1:{port}\n")

        async def start(number: int) -> Pod:
            made = await stack.enter_async_context(pod(tmp_path, f"pod{number}", arguments, edge))
            await made.until(client, "/ready", 200)
            return made

        pods = [await start(number) for number in range(3)]
        statuses: list[int] = []
        rolled = False

        async def visit() -> None:
            async with httpx.AsyncClient(base_url=edge["http"], headers={"Host": "app.example"}) as visitor:
                while not rolled:
                    statuses.append((await visitor.get("/", timeout=PATIENCE)).status_code)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(visit())
            for number in range(3, 6):
                pods.append(await start(number))
                assert await pods.pop(0).process.stop() == 0
            rolled = True
        assert set(statuses) == {200}
        for made in pods:
            assert await made.process.stop() == 0
