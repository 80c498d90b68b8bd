"""`python -m actors.hello_world`: the page of `--hello-world`, as a child of the supervisor.

/ the page · /uptime JSON · /echo gives a body back · /sse an event a second · /ws echoes WebSocket messages
"""

import asyncio
import time
from importlib import resources
from typing import Final

from aiohttp import WSMsgType, web

from actors.bus.messages import HelloWorldOrders
from actors.processes import lifeline, log
from actors.processes.child import serve_until_told

SSE_INTERVAL: Final = 1.0
"""Seconds between events."""

MAX_WEBSOCKET_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of a message that is echoed."""

STOP_TIMEOUT: Final = 1.0
"""Seconds for open requests at the end: the tunnel has drained by then."""

_COPY_BYTES: Final = 64 * 1024


def make_app() -> web.Application:
    """The pages."""
    started = time.monotonic()
    text = resources.files("actors.hello_world").joinpath("page.html").read_text(encoding="utf-8")

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    async def uptime(request: web.Request) -> web.Response:
        return web.json_response({"seconds": time.monotonic() - started})

    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": request.content_type})
        response.content_length = request.content_length
        await response.prepare(request)
        async for part in request.content.iter_chunked(_COPY_BYTES):
            await response.write(part)
        return response

    async def sse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        number = 0
        while True:
            number += 1
            await response.write(f"data: {number}\n\n".encode())
            await asyncio.sleep(SSE_INTERVAL)

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(max_msg_size=MAX_WEBSOCKET_MESSAGE)
        await response.prepare(request)
        async for message in response:
            if message.type is WSMsgType.TEXT:
                await response.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await response.send_bytes(message.data)
        return response

    app = web.Application()
    app.add_routes(
        [
            web.get("/", page),
            web.get("/uptime", uptime),
            web.route("*", "/echo", echo),
            web.get("/sse", sse),
            web.get("/ws", websocket),
        ]
    )
    return app


async def _main(orders: HelloWorldOrders) -> None:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)
    runner = web.AppRunner(make_app(), access_log=None, shutdown_timeout=STOP_TIMEOUT)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await serve_until_told(orders, {"http": f"127.0.0.1:{runner.addresses[0][1]}"})
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_main(lifeline.read_orders(HelloWorldOrders)))
