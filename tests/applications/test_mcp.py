"""MCP over streamable HTTP, with the official SDK on both sides. Its server refuses hosts that are not its own."""

from pathlib import Path

import pytest

from tests.applications.kit import Environment, behind_tunnel, pip_installed, said_by, served
from tests.kit.origins import free_port

SERVER = """
import sys
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("adder")

@server.tool()
async def add(a: int, b: int, context: Context) -> int:
    await context.report_progress(1, 2)
    return a + b

server.run("streamable-http", port=int(sys.argv[1]))
"""
CLIENT = """
import asyncio, sys
from mcp import Client, ClientSession
from mcp.client.streamable_http import streamable_http_client

async def main():
    async with streamable_http_client(sys.argv[1]) as (read, write, *_), ClientSession(read, write) as session:
        print((await session.initialize()).server_info.name)
        print([tool.name for tool in (await session.list_tools()).tools])

        async def progress(done, of, message):
            print(f"{done} of {of}")

        print((await session.call_tool("add", {"a": 40, "b": 2}, progress_callback=progress)).content[0].text)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    (folder / "server.py").write_text(SERVER)
    (folder / "client.py").write_text(CLIENT)
    return pip_installed(folder, "mcp<3")


async def test_tool_is_called(environment: Environment, folder: Path, state: Path, *, tls: bool) -> None:
    port, python = free_port(), environment.program()
    async with (
        served(port, python, folder / "server.py", str(port), cwd=folder),
        behind_tunnel(port, state, "--host-header", "rewrite", tls=tls) as public,
    ):
        said = await said_by(python, folder / "client.py", public, f"{public.local}/mcp")
    assert said == ["adder", "['add']", "1.0 of 2.0", "42"]


async def test_host_is_refused_without_the_flag(environment: Environment, folder: Path, state: Path) -> None:
    port, python = free_port(), environment.program()
    async with (
        served(port, python, folder / "server.py", str(port), cwd=folder) as server,
        behind_tunnel(port, state, tls=True) as public,
    ):
        with pytest.raises(AssertionError):
            await said_by(python, folder / "client.py", public, f"{public.local}/mcp")
        assert any("421 Misdirected Request" in line for line in server.stdout + server.stderr)
