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
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidStatus

from actors.local_edge.certificates import make_certificates, server_context
from tests.exchange.test_access_keys import Issuer
from tests.kit.origins import answer, free_port, read_head, scripted, until_listening
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import Tunnel, tunnel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRANSPORTS = pytest.mark.parametrize("protocol", ["quic", "http2"])


@contextlib.asynccontextmanager
async def ruled(
    folder: Path, protocol: str, *rules: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Tunnel]:
    """A quick tunnel with these rules, each in the YAML of one line."""
    config = folder / "config.yml"
    config.write_text("ingress:\n" + "".join(f"  - {rule}\n" for rule in rules))
    state = folder / "state"
    state.mkdir()
    async with tunnel(None, state, "--config", config, "--protocol", protocol, env=env) as made:
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


@TRANSPORTS
async def test_socks_to_what_it_may_reach(tmp_path: Path, protocol: str) -> None:
    async with scripted(echo) as port, scripted(echo) as other:
        allowed = f"ipRules: [{{prefix: 127.0.0.1/32, ports: [{port}], allow: true}}]"
        async with ruled(tmp_path, protocol, f"{{service: socks-proxy, originRequest: {{{allowed}}}}}") as made:
            for wanted, answered in ((port, 0), (other, 2)):
                async with made.socket("/", compression=None) as socket:
                    await socket.send(b"\5\1\0")
                    assert await received(socket, 2) == b"\5\0"
                    await socket.send(b"\5\1\0\1\x7f\0\0\1" + wanted.to_bytes(2, "big"))
                    assert (await received(socket, 10))[1] == answered
                    if not answered:
                        await socket.send(b"hello")
                        assert await received(socket, 5) == b"hello"


@contextlib.asynccontextmanager
async def team(folder: Path, issuer: Issuer) -> AsyncIterator[dict[str, str]]:
    """The keys of a team, at its own name, by way of a proxy; yields what a supervisor's environment says of it."""
    name = "team.cloudflareaccess.com"
    certificates = make_certificates((name,))
    (folder / "roots.pem").write_bytes(certificates.authority_pem)
    issuer.url = f"https://{name}"

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await read_head(reader)).startswith(f"CONNECT {name}:443 ".encode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.start_tls(server_context(certificates, folder))
        await issuer.serve(reader, writer)

    async with scripted(connect) as port:
        proxy, direct = f"http://127.0.0.1:{port}", "127.0.0.1"
        proxied = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": direct, "no_proxy": direct}
        yield {"SSL_CERT_FILE": str(folder / "roots.pem"), **proxied}


@TRANSPORTS
async def test_who_has_a_token_of_the_team_is_let_in(tmp_path: Path, protocol: str) -> None:
    issuer = Issuer()
    access = "access: {required: true, teamName: team, audTag: [ours]}"
    async with scripted(echo) as port, team(tmp_path, issuer) as env:
        rules = (f"{{service: tcp://127.0.0.1:{port}, originRequest: {{{access}}}}}",)
        async with ruled(tmp_path, protocol, *rules, env=env) as made:
            good = {"Cf-Access-Jwt-Assertion": issuer.token()}
            for _ in range(2):
                async with made.socket("/", compression=None, additional_headers=good) as socket:
                    await socket.send(b"hello")
                    assert await received(socket, 5) == b"hello"
            for claims, status in (({"aud": ["theirs"]}, 403), ({"exp": 1}, 502)):
                bad = {"Cf-Access-Jwt-Assertion": issuer.token(**claims)}
                with pytest.raises(InvalidStatus, match=str(status)):
                    await made.socket("/", additional_headers=bad)
    assert issuer.asked == [b"/cdn-cgi/access/certs"]


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
    if os.geteuid() == 0:  # whoever else runs it needs none
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


@TRANSPORTS
async def test_what_answers_by_itself(tmp_path: Path, protocol: str) -> None:
    """Each status for every method and for WebSockets; and none of it costs more than its own request."""
    statuses = (200, 204, 304, 418, 503, 599, 999, 100, 101)
    rules = [f"{{path: ^/{status}$, service: http_status:{status}}}" for status in statuses]
    async with ruled(tmp_path, protocol, *rules, "{service: http_status:404}") as made:
        for status in statuses:
            expected = status if status >= 200 else 502
            for method in ("GET", "HEAD", "POST", "PROPFIND"):
                response = await made.visitor.request(method, f"/{status}", content=b"x" if method == "POST" else None)
                assert (response.status_code, response.content if expected == status else b"") == (expected, b"")
            with pytest.raises(InvalidHandshake):
                await made.socket(f"/{status}")
        assert (await made.visitor.get("/else")).status_code == 404
        await made.visitor.get("/", headers={"Host": "management.argotunnel.com"})
        assert len(await made.connections()) == 1


@TRANSPORTS
async def test_origin_without_chunks_and_one_that_is_protected(tmp_path: Path, protocol: str) -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await read_head(reader)
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
                heard.append(head + await reader.readexactly(int(length.partition(b": ")[2])))
                writer.write(answer(b"ok"))

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 50_000):
            yield bytes(50_000)

    async with scripted(serve) as port:
        service = f"service: http://127.0.0.1:{port}"
        access = "access: {required: true, teamName: team, audTag: [ours]}"
        async with ruled(
            tmp_path,
            protocol,
            f"{{path: ^/closed, {service}, originRequest: {{{access}}}}}",
            f"{{path: ^/tcp, service: tcp://127.0.0.1:{port}, originRequest: {{{access}}}}}",
            f"{{{service}, originRequest: {{disableChunkedEncoding: true}}}}",
        ) as made:
            for path in ("/closed", "/tcp"):
                assert (await made.visitor.post(path, content=pieces(100_000))).status_code == 403
                assert (await made.visitor.post(path, content=b"x" * 2_000_000)).status_code == 403
                with pytest.raises(InvalidStatus, match="403"):
                    await made.socket(path)
                broken = {"Cf-Access-Jwt-Assertion": "nonsense"}
                assert (await made.visitor.get(path, headers=broken)).status_code == 502
            assert heard == []
            assert (await made.visitor.post("/", content=pieces(600_000))).status_code == 200
            assert b"transfer-encoding" not in heard[0].lower()
            assert len(heard[0].partition(b"\r\n\r\n")[2]) == 600_000
            assert (await made.visitor.post("/", content=pieces(2_000_000))).status_code == 413
            assert (await made.visitor.post("/", content=b"x" * 2_000_000)).status_code == 200
            assert len(heard) == 2
