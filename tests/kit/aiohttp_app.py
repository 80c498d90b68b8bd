"""An aiohttp application to put behind the tunnel; prints its port."""

import asyncio
import hashlib

from aiohttp import web


async def everything(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    if request.path == "/nothing":
        return web.Response(status=204)
    if request.path == "/big" and request.method != "HEAD":
        response = web.StreamResponse(headers={"X-Path": request.path})
        response.enable_compression()
        await response.prepare(request)
        for _ in range(10):
            await response.write(b"0123456789" * 1000)
        return response
    return web.json_response([request.method, request.raw_path, len(body), hashlib.sha256(body).hexdigest()])


async def main() -> None:
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", everything)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
