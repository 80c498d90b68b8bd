"""Services of TCP behind rules, carried by WebSockets over both transports: with a real sshd and a real ssh."""

import asyncio
import contextlib
import getpass
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from tests.kit.origins import free_port, scripted, until_listening
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRANSPORTS = pytest.mark.parametrize("protocol", ["quic", "http2"])


@contextlib.asynccontextmanager
async def ruled(folder: Path, protocol: str, *rules: str) -> AsyncIterator[Tunnel]:
    """A quick tunnel with these rules, each in the YAML of one line."""
    config = folder / "config.yml"
    config.write_text("ingress:\n" + "".join(f"  - {rule}\n" for rule in rules))
    state = folder / "state"
    state.mkdir()
    async with tunnel(None, state, "--config", config, "--protocol", protocol) as made:
        yield made


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def received(socket: ClientConnection, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(PATIENCE):
        while len(data) < size:
            message = await socket.recv()
            assert isinstance(message, bytes)
            data += message
    return data


@TRANSPORTS
async def test_bytes_both_ways(tmp_path: Path, protocol: str) -> None:
    async with (
        scripted(echo) as port,
        ruled(tmp_path, protocol, f"{{service: tcp://127.0.0.1:{port}}}") as made,
        made.socket("/", compression=None, max_size=None) as socket,
    ):
        block = os.urandom(1 << 20)
        for data in (b"hello", block):
            sending = asyncio.create_task(socket.send(data))  # noqa: TID251 - awaited below
            assert await received(socket, len(data)) == data
            await sending
        await (await socket.ping())


@pytest.fixture
async def sshd(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """A real sshd for this user; yields its port, and the key that it lets in."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh (apt-get install openssh-server)")
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        await asyncio.to_thread(subprocess.run, command, check=True)
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile {tmp_path}/sshd.pid\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    async with running([program, "-D", "-e", "-f", str(tmp_path / "sshd_config")]) as process:
        await until_listening(port, process)
        yield port, tmp_path / "user"


def ssh(made: Tunnel, key: Path, *command: str, fields: tuple[str, ...] = ()) -> list[str]:
    front = urllib.parse.urlsplit(made.edge["http"])
    proxy = [sys.executable, "-P", "-m", "tests.kit.access_client", f"ws://{made.host}/", str(front.hostname)]
    options = ("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR")
    return [
        *("ssh", "-F", "none", "-i", str(key)),
        *(word for option in options for word in ("-o", option)),
        *("-o", f"ProxyCommand=env PYTHONPATH={ROOT} {shlex.join([*proxy, str(front.port), *fields])}"),
        *(f"{getpass.getuser()}@example", *command),
    ]


@TRANSPORTS
@pytest.mark.parametrize("way", ["ssh", "bastion"])
async def test_ssh(tmp_path: Path, sshd: tuple[int, Path], protocol: str, way: str) -> None:
    port, key = sshd
    fields: tuple[str, ...] = ()
    service = f"ssh://127.0.0.1:{port}"
    if way == "bastion":
        service, fields = "bastion", (f"Cf-Access-Jump-Destination:ssh://127.0.0.1:{port}/",)
    async with ruled(tmp_path, protocol, f"{{service: {service}}}") as made:
        upload = os.urandom(3_000_000)
        command = ssh(made, key, "sha256sum; echo done; head -c 3000000 /dev/zero | sha256sum; exit 7", fields=fields)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE):
            out, errors = await process.communicate(upload)
        assert process.returncode == 7, errors
        assert out.decode().split() == [
            *(hashlib.sha256(upload).hexdigest(), "-", "done"),
            *(hashlib.sha256(bytes(3_000_000)).hexdigest(), "-"),
        ]
