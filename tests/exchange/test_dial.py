"""How origins are dialled as their rules have it, with real servers and sockets."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.bus.addresses import HostPort
from actors.bus.routes import Origin, hosts
from actors.exchange import reach
from actors.exchange.backend import OriginError
from actors.exchange.dial import Dialler, keep_alive
from actors.exchange.http1 import NO_HEAD, Body, RequestHead
from actors.exchange.origin import OriginConnection
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Kind, Request
from actors.local_edge.certificates import Authority, Certificates, make_certificates, server_context
from tests.exchange.test_router import Counted
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE


async def test_no_connection_leads_to_an_address_that_is_closed() -> None:
    """However it is called: it is what was reached that counts."""
    async with scripted(hello) as port, scripted(hello) as other:
        for name in ("127.0.0.1", "localhost", "0.0.0.0", "::ffff:127.0.0.1"):
            for bound in ("127.0.0.1", "0.0.0.0"):
                closed = HostPort(bound, port)
                dialler = Dialler("it", hosts(name), port, connect_timeout=5, keep_alive_period=0, closed=closed)
                with pytest.raises(OriginError, match="this tunnel's own inspector") as refused:
                    await dialler.tcp(nobodys)
                assert refused.value.status == 502
        for closed in (HostPort("127.0.0.1", port), HostPort("127.0.0.2", other), HostPort("::1", other)):
            dialler = Dialler("it", ("127.0.0.1",), other, connect_timeout=5, keep_alive_period=0, closed=closed)
            (await dialler.tcp(nobodys)).close()


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def nobodys() -> OriginConnection:
    """A connection that nobody keeps."""
    return OriginConnection(_Nobody())


GET = RequestHead(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET", Body.NONE, 0, upgrade=False)


def asked(host: str = "a.example") -> Request:
    return Request(Kind.HTTP, b"GET", b"/", host.encode(), ())


class Names:
    """A TLS server that notes by which names it is asked for."""

    def __init__(self, certificates: Certificates, folder: Path) -> None:
        self.asked: list[str | None] = []
        self.context = server_context(certificates, folder)
        self.context.sni_callback = self._note

    def _note(self, _: object, name: str | None, __: object) -> None:
        self.asked.append(name)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await read_head(reader):
                writer.write(answer(b"ok"))
        writer.close()


@contextlib.asynccontextmanager
async def tls_server(names: Names, *, path: Path | None = None) -> AsyncIterator[int]:
    """A server of TCP, or at a socket of this machine; yields its port."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # handshakes that fail, as they shall
    if path is None:
        server: Any = await asyncio.start_server(names.serve, "127.0.0.1", 0, ssl=names.context)
    else:
        server = await asyncio.start_unix_server(names.serve, path, ssl=names.context)
    async with server:
        yield 0 if path is not None else server.sockets[0].getsockname()[1]


async def connected(pool: OriginPool, host: str = "a.example") -> OriginConnection:
    async with asyncio.timeout(PATIENCE):
        return await pool.connect(asked(host), NO_HEAD)


async def reached(origin: Origin, host: str = "a.example") -> str:
    """Why not; nothing if it is."""
    pool = OriginPool(origin)
    try:
        connection = await connected(pool, host)
    except OriginError as error:
        return str(error)
    finally:
        pool.close()
    connection.begin(_Nobody(), NO_HEAD, raw=True)
    connection.abort()
    await asyncio.sleep(0)
    return ""


class _Nobody:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


# --- times ---


def deaf() -> socket.socket:
    """What accepts no connection: its queue is full."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(0)
    return made


async def test_connect_timeout_is_the_rule_s_own() -> None:
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(deaf())
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        error = await reached(Origin("127.0.0.1", listening.getsockname()[1], connect_timeout=0.05))
        assert error.endswith(": no answer within 0.05 s")


async def test_tls_timeout_is_another_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(serve) as port:
        origin = Origin("127.0.0.1", port, scheme="https", verify=False, tls_timeout=0.05)
        error = await reached(origin)
        assert error.endswith(": no TLS handshake within 0.05 s")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_limit(scheme: Any, tmp_path: Path) -> None:
    names = Names(make_certificates(("localhost",)), tmp_path)
    async with tls_server(names) as port:
        origin = Origin("127.0.0.1", port, scheme=scheme, verify=False, connect_timeout=0.0, tls_timeout=0.0)
        assert await reached(origin) == ""


# --- the connection ---


@pytest.mark.parametrize("period", [0.0, 0.2, 7.0, 90.0])
async def test_probes_of_the_kernel(period: float) -> None:
    with socket.socket() as made:
        keep_alive(made, period)
        assert bool(made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is bool(period)
        if period and hasattr(socket, "TCP_KEEPIDLE"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == max(1, round(period))


async def test_probes_as_the_rule_has_them() -> None:
    async with scripted(Counted(b"one").serve) as port:
        pool = OriginPool(Origin("127.0.0.1", port, keep_alive_period=77.0))
        connection = await connected(pool)
        assert connection._transport is not None
        made = connection._transport.get_extra_info("socket")
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
        connection.begin(_Nobody(), NO_HEAD, raw=True)
        connection.abort()


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_as_many_idle_connections_as_the_rule_says(count: int) -> None:
    one = Counted(b"one")
    async with scripted(one.serve) as port:
        pool = OriginPool(Origin("127.0.0.1", port, keep_alive=60.0, keep_alive_connections=count))
        made = [await connected(pool) for _ in range(7)]
        for connection in made:
            connection.begin(_Nobody(), GET)
        await one.until_heard(7)
        async with asyncio.timeout(PATIENCE):
            while not all(connection.reusable for connection in made):
                await asyncio.sleep(0)
        for connection in made:
            pool.release(connection)
        await one.until_open(count)
        pool.close()
        await one.until_open(0)


@pytest.mark.parametrize("beside", [True, False])
async def test_addresses_beside_each_other_or_one_after_the_other(
    beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "ATTEMPT_DELAY", 0.01)
    tried: list[str] = []
    ended: list[str] = []

    async def connected(self: Dialler, address: str) -> socket.socket:
        tried.append(address)
        try:
            if address == "127.0.0.2":
                await asyncio.Event().wait()
            made = socket.create_connection((address, self._port))
            made.setblocking(False)
            return made
        finally:
            ended.append(address)

    monkeypatch.setattr(Dialler, "_connected", connected)
    async with scripted(Counted(b"one").serve) as port:
        dial = Dialler("x", ("127.0.0.2", "127.0.0.1"), port, connect_timeout=0.4, keep_alive_period=0.0, beside=beside)
        connection = await dial.tcp(lambda: OriginConnection(_Nobody()))
        connection.begin(_Nobody(), NO_HEAD, raw=True)
        connection.abort()
        assert tried == ["127.0.0.2", "127.0.0.1"]
        await asyncio.sleep(0)
        assert ended == (["127.0.0.1", "127.0.0.2"] if beside else ["127.0.0.2", "127.0.0.1"])


# --- TLS ---


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Authority, Path]:
    authority = Authority()
    (tmp_path / "roots.pem").write_bytes(authority.pem)
    return authority, tmp_path / "roots.pem"


async def test_more_roots_are_believed_beside_the_system_s(
    roots: tuple[Authority, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, path = roots
    system = Authority()
    (tmp_path / "system.pem").write_bytes(system.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    for issuer, extra, instead, may in (
        (authority, path, None, True),
        (system, path, None, True),
        (Authority(), path, None, False),
        (system, None, path, False),
    ):
        names = Names(issuer.issue(("localhost",)), tmp_path)
        async with tls_server(names) as port:
            files: dict[str, Any] = {"extra_ca_file": extra and str(extra), "ca_file": instead and str(instead)}
            error = await reached(Origin("localhost", port, scheme="https", **files))
            assert (error == "") is may, error


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
async def test_roots_that_cannot_be_read_are_the_rule_s_own_failure(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    origin = Origin("localhost", 1, scheme="https", extra_ca_file=str(path))
    assert (await reached(origin)).startswith("cannot connect to https://localhost:1: ")


async def test_names_in_tls(roots: tuple[Authority, Path], tmp_path: Path) -> None:
    authority, path = roots
    names = Names(authority.issue(("own.example", "a.example", "*.b.example")), tmp_path)
    async with tls_server(names) as port:
        trusting: dict[str, Any] = {"scheme": "https", "extra_ca_file": str(path)}
        origin = Origin("127.0.0.1", port, **trusting)
        assert "CERTIFICATE_VERIFY_FAILED" in await reached(origin)
        assert await reached(Origin("127.0.0.1", port, server_name="own.example", **trusting)) == ""
        assert names.asked[-1] == "own.example"
        matching = Origin("127.0.0.1", port, server_name="own.example", match_sni_to_host=True, **trusting)
        for host, name in (("A.example:443", "a.example"), ("x.b.example", "x.b.example")):
            assert await reached(matching, host) == ""
            assert names.asked[-1] == name
        assert "Hostname mismatch" in await reached(matching, "c.example")
        for odd in ("a..example", "." + "x" * 70, "x" * 70 + ".example"):
            assert await reached(matching, odd) != ""


async def test_connection_made_for_one_name_serves_no_other(roots: tuple[Authority, Path], tmp_path: Path) -> None:
    authority, path = roots
    names = Names(authority.issue(("a.example", "b.example")), tmp_path)
    async with tls_server(names) as port:
        pool = OriginPool(
            Origin("127.0.0.1", port, "https", extra_ca_file=str(path), match_sni_to_host=True, keep_alive=60.0)
        )
        made = {}
        for host in ("a.example", "b.example"):
            made[host] = connection = await connected(pool, host)
            connection.begin(_Nobody(), GET)
            async with asyncio.timeout(PATIENCE):
                while not connection.reusable:
                    await asyncio.sleep(0)
        for connection in made.values():
            pool.release(connection)
        assert pool.reuse(asked("c.example"), GET) is None
        assert pool.reuse(asked("a.example"), GET) is made["a.example"]
        assert pool.reuse(asked("B.example"), GET) is made["b.example"]
        for connection in made.values():
            pool.release(connection)
        pool.close()


async def test_socket_of_this_machine_with_tls(roots: tuple[Authority, Path], tmp_path: Path) -> None:
    authority, path = roots
    names = Names(authority.issue(("a.example", "own.example")), tmp_path)
    where = tmp_path / "x.sock"
    async with tls_server(names, path=where):
        trusting: dict[str, Any] = {"scheme": "unix+tls", "path": str(where), "extra_ca_file": str(path)}
        assert await reached(Origin(**trusting)) == ""
        assert await reached(Origin(server_name="own.example", **trusting)) == ""
        assert names.asked == ["a.example", "own.example"]
        error = await reached(Origin(**trusting), "c.example")
        assert error.startswith(f"cannot connect to unix+tls:{where}: TLS failed: CERTIFICATE_VERIFY_FAILED")
        assert await reached(Origin(verify=False, **trusting), "c.example") == ""
    error = await reached(Origin(**trusting))
    assert error.startswith(f"cannot connect to unix+tls:{where}: ")


async def test_socket_that_speaks_no_tls(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "x.sock"):
        error = await reached(Origin(scheme="unix+tls", path=str(tmp_path / "x.sock")))
        assert "TLS failed" in error


async def test_sockets_of_what_was_not_reached_are_closed(recwarn: pytest.WarningsRecorder) -> None:

    for origin in (Origin("127.0.0.1", 1), Origin(scheme="unix", path="/no/such/socket")):
        assert await reached(origin)
    gc.collect()
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
