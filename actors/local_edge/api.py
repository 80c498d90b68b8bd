"""The tunnel API: `POST /tunnel` gives the credentials of a new tunnel."""

import base64

from aiohttp import web

from actors.local_edge.edge import EdgeRegistry


def make_api(registry: EdgeRegistry, domain: str, scheme: str = "http") -> web.Application:
    """The API; tunnels get names under `domain` (`localhost:PORT` of the front), which speaks `scheme`."""

    async def create(request: web.Request) -> web.Response:
        tunnel = registry.new_tunnel(domain)
        registry.note("created", tunnel=str(tunnel.id), hostname=tunnel.hostname)
        result = {
            "id": str(tunnel.id),
            "name": tunnel.name,
            # With its scheme: https:// is put before a name that has none, and a front mostly speaks plain HTTP.
            "hostname": f"{scheme}://{tunnel.hostname}",
            "account_tag": tunnel.account_tag,
            "secret": base64.b64encode(tunnel.secret).decode(),
        }
        return web.json_response({"success": True, "result": result, "errors": []})

    app = web.Application()
    app.add_routes([web.post("/tunnel", create)])
    return app
