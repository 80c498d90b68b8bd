"""The tunnel through a proxy that others wrote: squid, with user and password."""

import base64
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.origins import free_port, uvicorn_origin
from tests.kit.processes import PATIENCE, Process, local_edge, python, running, supervisor
from tests.kit.tunnel import Tunnel

SQUID = shutil.which("squid", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
HELPER = Path("/usr/lib/squid/basic_ncsa_auth")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.row("N4"),
    pytest.mark.local_edge_only("the proxy leads to it over TCP"),
    pytest.mark.skipif(SQUID is None or not HELPER.exists(), reason="squid is not installed (apt-get install squid)"),
]

SECRET = "correct horse: battery%staple"
ENCODED = "correct%20horse%3A%20battery%25staple"

CONFIGURATION = """\
http_port 127.0.0.1:{port}
auth_param basic program {helper} {folder}/users
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
cache deny all
pid_filename {folder}/squid.pid
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
coredump_dir {folder}
shutdown_lifetime 0 seconds
"""


@contextlib.contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """A folder that squid can write to as the user that it becomes, which those of pytest do not let in."""
    with tempfile.TemporaryDirectory(prefix="squid-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            user = pwd.getpwnam("proxy")
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder


@contextlib.asynccontextmanager
async def squid() -> AsyncIterator[tuple[int, Path]]:
    """A squid that lets `tunnel` in by its password; yields its port and its log."""
    assert SQUID is not None
    port = free_port()
    with folder_of_its_own() as folder:
        made = subprocess.run(["openssl", "passwd", "-apr1", SECRET], capture_output=True, text=True, check=True)
        (folder / "users").write_text(f"tunnel:{made.stdout}")
        (folder / "squid.conf").write_text(CONFIGURATION.format(port=port, folder=folder, helper=HELPER))
        async with running([SQUID, "-N", "-d", "1", "-f", folder / "squid.conf"]) as process:
            await process.until(lambda: any("Accepting HTTP" in line for line in process.stderr))
            yield port, folder / "access.log"


@contextlib.asynccontextmanager
async def tunnel_through(proxy: str, state: Path, *arguments: str, **more: str) -> AsyncIterator[Tunnel]:
    """A tunnel of a supervisor that has this proxy in its environment; UDP does not pass."""
    async with local_edge() as edge, uvicorn_origin() as port:
        reach = ["--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"], "--json"]
        env = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "", "no_proxy": "", **more}
        async with httpx.AsyncClient(base_url=edge["admin"], timeout=PATIENCE) as admin:
            await admin.post("/network", json={"udp": "silent"})
        async with supervisor("--port", port, *reach, "--connections", 1, *arguments, state=state, env=env) as process:
            assigned = await process.event("assigned")
            made = Tunnel(process, edge, assigned["url"], state)
            async with made.visitor, made.admin:
                yield made


def check_secret(process: Process) -> None:
    """The password is in no log, event or command line."""
    words = [SECRET, ENCODED, base64.b64encode(f"tunnel:{SECRET}".encode()).decode()]
    told = [*process.stdout, *process.stderr]
    for child in process.descendants():
        told += child.cmdline()
    assert not [line for line in told for word in words if word in line]


@pytest.mark.parametrize("wish", ["auto", "http2"])
async def test_requests_pass_through_it(wish: str, state: Path) -> None:
    async with (
        squid() as (port, log),
        tunnel_through(f"http://tunnel:{ENCODED}@127.0.0.1:{port}", state, "--protocol", wish) as made,
    ):
        await made.process.event("registered", protocol="http2")
        response = await made.visitor.post("/echo", content=bytes(1_000_000))
        assert response.json()["size"] == 1_000_000
        check_secret(made.process)
        for path in state.rglob("*"):
            assert SECRET.encode() not in path.read_bytes()
        assert await made.process.stop() == 0
        assert f"CONNECT {made.edge['edge']}" in log.read_text()


async def test_wrong_password_is_said_without_it(state: Path) -> None:
    async with (
        squid() as (port, _),
        tunnel_through(f"http://tunnel:{ENCODED}x@127.0.0.1:{port}", state, "--protocol", "http2") as made,
    ):
        ended = await made.process.event("connection_ended")
        assert "407" in ended["message"]
        assert f"127.0.0.1:{port}" in ended["message"]
        check_secret(made.process)


async def test_exempt_edge_is_reached_without_it(state: Path) -> None:
    async with (
        squid() as (port, log),
        tunnel_through(
            f"http://tunnel:{ENCODED}@127.0.0.1:{port}", state, NO_PROXY="localhost,127.0.0.0/8", no_proxy=""
        ) as made,
    ):
        await made.process.event("registered", protocol="http2")
        assert (await made.visitor.get("/")).status_code == 200
        assert "CONNECT" not in (log.read_text() if log.exists() else "")


async def test_doctor_looks_through_it(state: Path) -> None:
    async with squid() as (port, _), local_edge() as edge:
        reach = ("--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"])
        env = {"HTTPS_PROXY": f"http://tunnel:{ENCODED}@127.0.0.1:{port}", "NO_PROXY": "", "no_proxy": ""}
        env["https_proxy"] = env["HTTPS_PROXY"]
        async with running(python("actors.tools.doctor", "--json", "--state-dir", state, *reach), env=env) as process:
            assert await process.wait() == 0
            findings = {finding["check"]: finding for finding in json.loads(process.stdout[0])}
            assert f"through 127.0.0.1:{port}" in findings[f"HTTP/2 {edge['edge']}"]["found"]
            check_secret(process)
