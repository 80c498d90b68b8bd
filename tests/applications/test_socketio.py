"""Socket.IO: the official client in a page, by long polling and by WebSocket, to python-socketio, which compares Origin
with the address that it takes for its own."""

import asyncio
from pathlib import Path

import pytest

from tests.applications.kit import (
    Environment,
    Public,
    behind_tunnel,
    npm_installed,
    opened,
    pip_installed,
    said_by,
    served,
)
from tests.kit.origins import free_port

SERVER = """
import sys
import socketio, uvicorn

# A client that polls waits for the next ping before it ends.
server = socketio.AsyncServer(async_mode="asgi", ping_interval=2)

@server.on("ask")
async def ask(sid, data):
    await server.emit("told", data[::-1], to=sid)
    return len(data)

folder = sys.argv[2]
files = {"/": f"{folder}/page.html", "/socket.io.js": f"{folder}/node_modules/socket.io-client/dist/socket.io.js"}
uvicorn.run(socketio.ASGIApp(server, static_files=files), port=int(sys.argv[1]))
"""
PAGE = """<!doctype html><title>Socket.IO</title><script src="/socket.io.js"></script>
<p id="polling"></p><p id="websocket"></p><p id="upgraded"></p>
<script>
for (const [name, transports] of Object.entries({
  polling: ["polling"], websocket: ["websocket"], upgraded: ["polling", "websocket"],
})) {
  const socket = io({ transports, forceNew: true })
  const show = (text) => { document.getElementById(name).textContent += text + " " }
  socket.on("connect_error", (error) => show(error))
  socket.on("connect", async () => {
    const engine = socket.io.engine
    if (name == "upgraded" && engine.transport.name != "websocket")
      await new Promise((done) => engine.once("upgrade", done))
    socket.on("told", (text) => show(`${engine.transport.name}: ${text}`))
    socket.emit("ask", "drawer".repeat(20000), (length) => show(length))
  })
}
</script>
"""
CLIENT = """
import asyncio, ssl, sys
import aiohttp, socketio

async def main(url, transport):
    trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(connector=trusting) as http:
        client = socketio.AsyncClient(http_session=http)
        await client.connect(url, transports=[transport])
        print(client.transport(), await client.call("ask", "drawer"))
        await client.disconnect()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    (folder / "server.py").write_text(SERVER)
    (folder / "client.py").write_text(CLIENT)
    return pip_installed(folder, "python-socketio", "aiohttp", "uvicorn[standard]")


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    project = npm_installed(folder, "socket.io-client")
    (project / "page.html").write_text(PAGE)
    return project


async def test_events_both_ways(
    environment: Environment, folder: Path, project: Path, state: Path, tmp_path: Path, *, tls: bool
) -> None:
    port, python = free_port(), environment.program()
    async with (
        served(port, python, folder / "server.py", str(port), project, cwd=folder),
        behind_tunnel(port, state, tls=tls) as public,
    ):
        await asyncio.to_thread(look, public, tmp_path)
        for transport in ("polling", "websocket"):
            assert await said_by(python, folder / "client.py", public, public.local, transport) == [f"{transport} 6"]


def look(public: Public, folder: Path) -> None:
    with opened(public, "/", folder) as page:
        for element, transport in (("polling", "polling"), ("websocket", "websocket"), ("upgraded", "websocket")):
            page.element(f"#{element}", "120000")
            assert page.element(f"#{element}", f"{transport}: reward").text.count("reward") == 20_000
