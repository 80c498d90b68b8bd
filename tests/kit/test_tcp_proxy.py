"""Each fault of the bad way to an origin, with plain connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.kit.origins import scripted
from tests.kit.processes import PATIENCE
from tests.kit.tcp_proxy import TcpProxy

SAID = b"0123456789" * 100


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def proxied_echo() -> AsyncIterator[TcpProxy]:
    async with scripted(_echo) as port, TcpProxy(port) as proxy, asyncio.timeout(PATIENCE):
        yield proxy


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_relays_both_ways_to_the_end() -> None:
    async with proxied_echo() as proxy, connected(proxy) as (reader, writer):
        writer.write(SAID)
        writer.write_eof()
        assert await reader.read(-1) == SAID
        assert proxy.relayed_bytes == len(SAID)


async def test_slices_leave_the_bytes_as_they_are() -> None:
    async with proxied_echo() as proxy, connected(proxy) as (reader, writer):
        proxy.slice, proxy.latency, proxy.bandwidth = 7, 0.01, 1_000_000
        writer.write(SAID)
        assert await reader.readexactly(len(SAID)) == SAID


@pytest.mark.parametrize(("latency", "bandwidth", "comes"), [(3600.0, None, 0), (0.0, 1 / 3600, 1)])
async def test_latency_and_bandwidth(latency: float, bandwidth: float | None, comes: int) -> None:
    """An hour for anything, or an hour after each byte: nothing has to be measured."""
    async with proxied_echo() as proxy, TcpProxy(proxy.upstream) as quick, connected(proxy) as (reader, writer):
        proxy.latency, proxy.bandwidth, proxy.slice = latency, bandwidth, 1
        writer.write(SAID)
        assert await reader.readexactly(comes) == SAID[:comes]
        async with connected(quick) as (other_reader, other_writer):
            other_writer.write(SAID)
            assert await other_reader.readexactly(len(SAID)) == SAID
        assert proxy.relayed_bytes == comes


async def test_reset() -> None:
    async with proxied_echo() as proxy, connected(proxy) as (reader, writer):
        proxy.reset_after, proxy.slice = 500, 100
        writer.write(SAID)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(len(SAID))
        assert proxy.relayed_bytes == 500


async def test_stop_takes_connections_and_relays_nothing() -> None:
    async with proxied_echo() as proxy:
        proxy.stop()
        async with connected(proxy) as (reader, writer):
            writer.write(SAID)
            nothing = asyncio.create_task(reader.readexactly(1))  # noqa: TID251 - awaited below
            async with connected(proxy):
                assert not nothing.done()
            proxy.go_on()
            assert await nothing + await reader.readexactly(len(SAID) - 1) == SAID


async def test_refuse_and_listen_again() -> None:
    async with proxied_echo() as proxy, connected(proxy) as (reader, writer):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(SAID)
        assert await reader.readexactly(len(SAID)) == SAID
        await proxy.listen()
        async with connected(proxy) as (again, other):
            other.write(b"again")
            assert await again.readexactly(5) == b"again"


async def test_origin_that_is_gone_is_a_reset() -> None:
    async with scripted(_echo) as port:
        gone = port
    async with TcpProxy(gone) as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
