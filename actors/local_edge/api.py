"""The tunnel API: `POST /tunnel` gives the credentials of a new tunnel."""

import base64

from aiohttp import web

from actors.local_edge.edge import EdgeRegistry


def make_api(registry: EdgeRegistry, domain: str) -> web.Application:
    """The API; tunnels get names under `domain` (`localhost:PORT` of the front)."""

    async def create(request: web.Request) -> web.Response:
        tunnel = registry.new_tunnel(domain)
        registry.note("created", tunnel=str(tunnel.id), hostname=tunnel.hostname)
        result = {
            "id": str(tunnel.id),
            "name": tunnel.name,
            # With its scheme: this front speaks plain HTTP, and https:// is put before a name that has none.
            "hostname": f"http://{tunnel.hostname}",
            "account_tag": tunnel.account_tag,
            "secret": base64.b64encode(tunnel.secret).decode(),
        }
        return web.json_response({"success": True, "result": result, "errors": []})

    app = web.Application()
    app.add_routes([web.post("/tunnel", create)])
    return app
