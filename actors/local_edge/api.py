"""The tunnel API: `POST /tunnel` gives the credentials of a new tunnel."""

import base64

from actors.local_edge.edge import EdgeRegistry
from actors.web.pages import Answer, Asked, Pages, Route, as_json


def make_api(registry: EdgeRegistry, domain: str, scheme: str = "http") -> Pages:
    """The API; tunnels get names under `domain` (`localhost:PORT` of the front), which speaks `scheme`."""

    async def create(asked: Asked) -> Answer:
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
        return as_json({"success": True, "result": result, "errors": []})

    return Pages([Route("POST", "/tunnel", create)])
