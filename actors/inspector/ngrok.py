"""ngrok's agent API, as far as other programs read it: which tunnels there are, what came, send it again. Pure.

Its shapes are those of ngrok's documentation. What is masked stays so: these programs have no token.
"""

import base64
import datetime
from collections.abc import Sequence
from typing import Any, Final

from actors.bus.inspection import Field
from actors.inspector import raw
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded
from actors.inspector.views import View, response_fields, summary, text_of
from actors.web.http_server import phrase

NAME: Final = "command_line"
"""What ngrok calls a tunnel that was asked for on the command line."""


def status(serves: bool, version: str) -> View:
    """How the agent is."""
    return {"status": "online" if serves else "connecting", "agent_version": version, "uri": "/api/status"}


def tunnels(urls: list[str], origin: str, counted: int) -> list[View]:
    """One for each public address. `counted`: requests so far."""
    found = []
    for number, url in enumerate(urls):
        name = NAME if not number else f"{NAME}-{number + 1}"
        rates = {"rate1": 0, "rate5": 0, "rate15": 0, "p50": 0, "p90": 0, "p95": 0, "p99": 0}
        found.append(
            {
                "name": name,
                "ID": name,
                "uri": f"/api/tunnels/{name}",
                "public_url": url,
                "proto": url.partition("://")[0],
                "config": {"addr": _address(origin), "inspect": True},
                "metrics": {"conns": {"count": counted, "gauge": 0} | rates, "http": {"count": counted} | rates},
            }
        )
    return found


def _address(origin: str) -> str:
    return origin if "://" in origin or not origin or origin.startswith("unix") else f"http://{origin}"


def captured(entry: Recorded, masks: Masks) -> View:
    """One request with its response."""
    about = summary(entry)
    began = datetime.datetime.fromtimestamp(entry.received, datetime.UTC)
    response: dict[str, Any] = {}
    if entry.status is not None:
        head = raw.response_head(entry, masks, unmasked=False)
        response = {
            "status": f"{entry.status} {phrase(entry.status)}".strip(),
            "status_code": entry.status,
            "proto": "HTTP/1.1",
            "headers": _headers(response_fields(entry), masks),
            "raw": _base64(head + bytes(entry.response.data)),
        }
    head = raw.request_head(entry, masks, unmasked=False)
    return {
        "uri": f"/api/requests/http/{entry.id}",
        "id": entry.id,
        "tunnel_name": NAME,
        "remote_addr": about["visitor"],
        "start": began.isoformat().replace("+00:00", "Z"),
        "duration": round((about["seconds"] or 0.0) * 1e9),
        "request": {
            "method": about["method"],
            "proto": "HTTP/1.1",
            "headers": _headers([(b"Host", entry.head.host), *entry.head.fields], masks),
            "uri": about["target"],
            "raw": _base64(head + bytes(entry.request.data)),
        },
        "response": response,
    }


def _headers(fields: Sequence[Field], masks: Masks) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value, _ in masks.shown(fields, unmasked=False):
        found.setdefault(text_of(name), []).append(text_of(value))
    return found


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def error(status: int, message: str) -> View:
    """Why there is no answer."""
    return {"error_code": 100, "status_code": status, "msg": message, "details": {}}
