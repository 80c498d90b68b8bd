"""The front's certificates, as clients with the strictest rules of today see them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.local_edge.certificates import Authority
from actors.local_edge.front_tls import front_tls

NAME = "a-b-c-d.localhost"


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """A server with such certificates; its port, and a client's context that trusts their authority alone."""
    authority = Authority()

    def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0, ssl=front_tls(authority, folder))
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    async with server:
        yield server.sockets[0].getsockname()[1], trusting


@pytest.mark.parametrize("name", [NAME, NAME.upper(), "e-f-g-h.localhost", "localhost", "127.0.0.1"])
async def test_every_name_of_the_front_is_certified(name: str, tmp_path: Path) -> None:
    async with served(tmp_path) as (port, trusting):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
        assert await reader.read() == b"x"
        writer.close()
    assert list(tmp_path.iterdir()) == [], "no key stays in a file"


@pytest.mark.parametrize("name", ["example.com", "a.b.localhost"])
async def test_no_other_name_is(name: str, tmp_path: Path) -> None:
    async with served(tmp_path) as (port, trusting):
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=name)
