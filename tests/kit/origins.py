"""Origins to put behind the tunnel: real servers, and one that does what a test tells it."""

import asyncio
import contextlib
import hashlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import Process, running

BLOCK = bytes(range(256)) * 256
"""64 KiB."""


def pattern_hash(size: int) -> str:
    """SHA-256 of the first `size` bytes of `BLOCK` repeated."""
    digest = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        digest.update(BLOCK)
    digest.update(BLOCK[: size % len(BLOCK)])
    return digest.hexdigest()


def free_port() -> int:
    """A port for a server that cannot be asked which one it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def closing(serve: Serve) -> Serve:
    """`serve`, which need not know that a client may leave: each connection is closed however it ends. Not every Python
    does so by itself, after an error."""

    async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await serve(reader, writer)
            finally:
                writer.close()

    return closed


@contextlib.asynccontextmanager
async def scripted(serve: Serve) -> AsyncIterator[int]:
    """An origin on a raw socket: `serve` is called with each connection, and cut off at the end. Yields its port."""
    running: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running[task] = writer
        with contextlib.suppress(asyncio.CancelledError):
            await closing(serve)(reader, writer)
        del running[task]

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in running.items():
            task.cancel()
            writer.transport.abort()
        if running:
            await asyncio.wait(list(running))


async def _port_of(process: Process, before: str, after: str) -> int:
    line = await process.until(
        lambda: next((line for line in process.stdout + process.stderr if before in line and after in line), None)
    )
    return int(str(line).split(before, 1)[1].split(after, 1)[0])


@contextlib.asynccontextmanager
async def uvicorn_origin(app: str = "asgi_app") -> AsyncIterator[int]:
    """An `app` of this folder under uvicorn."""
    command = [sys.executable, "-m", "uvicorn", f"tests.kit.{app}:app", "--port", "0", "--http", "h11"]
    async with running(command, cwd=Path(__file__).parents[2]) as process:
        yield await _port_of(process, "http://127.0.0.1:", " ")


@contextlib.asynccontextmanager
async def http_server_origin(folder: Path) -> AsyncIterator[int]:
    """`python3 -m http.server` over `folder`."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), "0"]
    async with running(command) as process:
        yield await _port_of(process, "port ", " ")


@contextlib.asynccontextmanager
async def nginx_origin(folder: Path, port: int) -> AsyncIterator[int]:
    """nginx over `folder/www`, which also takes uploads by PUT."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    config = folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr; user root;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{
                listen 127.0.0.1:{port}; root {folder}/www; client_max_body_size 0;
                location /up/ {{ dav_methods PUT; create_full_put_path on; }}
            }}
        }}
        """
    )
    async with running([nginx, "-c", str(config), "-p", str(folder), "-e", "stderr"]) as process:
        await until_listening(port, process)
        yield port


async def until_listening(port: int, process: Process) -> None:
    """Wait until something accepts connections on a port of this machine."""
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert process.process.returncode is None, process.stderr
            await asyncio.sleep(0.02)  # there is no event to wait for: a foreign server says nothing
            continue
        writer.close()
        return
    raise AssertionError(f"nothing listens on {port}")


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A request's head."""
    return await reader.readuntil(b"\r\n\r\n")


def answer(body: bytes = b"", status: str = "200 OK", **fields: Any) -> bytes:
    """A response with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
