"""Exchanges as HTTP Archive 1.2, which browsers' developer tools and many programs read. Pure."""

import base64
import datetime
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

from actors.bus.inspection import Field
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded
from actors.inspector.views import View, response_fields, summary, text_of, value_of
from actors.web.http_server import phrase

UNKNOWN: Final = -1
"""What HAR has where something is not known, or does not apply."""


MAX_PAIRS: Final = 1000
"""Parameters of a query, or cookies of a field, that are taken apart: the longest there can be would become a hundred
times as long. The whole is in the URL, and in the field."""


def archive(entries: Sequence[Any], version: str) -> View:
    """All of these, in their order: each is an `entry_of`."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "tunnel-supervisor", "version": version},
            "entries": entries,
        }
    }


def entry_of(entry: Recorded, masks: Masks, *, unmasked: bool) -> View:
    """One exchange."""
    about = summary(entry, unmasked=unmasked)
    seconds = about["seconds"] or 0.0
    began = datetime.datetime.fromtimestamp(entry.received, datetime.UTC)
    made: View = {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": _milliseconds(seconds),
        "request": _request(entry, about, masks, unmasked=unmasked),
        "response": _response(entry, masks, unmasked=unmasked),
        "cache": {},
        "timings": _timings(entry, seconds),
        "_id": entry.id,
    }
    remarks = [about["error"], f"replay of {entry.replay_of}" if entry.replay_of else "", _cut(entry)]
    if comment := "; ".join(filter(None, remarks)):
        made["comment"] = comment
    if entry.conversation is not None:
        made["_resourceType"] = "websocket"
        made["_webSocketMessages"] = [
            {
                "type": "send" if each.side == "visitor" else "receive",
                "time": entry.received + each.at,
                "opcode": {"text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}[each.kind],
                "data": _text(bytes(each.data)) if each.kind == "text" else base64.b64encode(each.data).decode(),
            }
            for each in entry.conversation.messages
        ]
    return made


def _cut(entry: Recorded) -> str:
    if entry.conversation is not None or (entry.request.is_complete and entry.response.is_complete):
        return ""
    return "bodies were cut off where --inspect-body ends"


def _request(entry: Recorded, about: View, masks: Masks, *, unmasked: bool) -> View:
    fields = entry.head.fields
    query = "&".join(about["target"].partition("?")[2].split("&", MAX_PAIRS)[:MAX_PAIRS])
    made: View = {
        "method": about["method"],
        "url": f"https://{about['host']}{about['target']}",
        "httpVersion": "HTTP/1.1",
        "cookies": _cookies(fields, b"cookie", masks, unmasked=unmasked),
        "headers": _headers(fields, masks, unmasked=unmasked),
        "queryString": [
            {"name": name, "value": value} for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True)
        ],
        "headersSize": UNKNOWN,
        "bodySize": entry.request.size,
    }
    if entry.request.data:
        made["postData"] = {
            "mimeType": value_of(fields, b"content-type"),
            **_content(bytes(entry.request.data), "_encoding"),
        }
    return made


def _response(entry: Recorded, masks: Masks, *, unmasked: bool) -> View:
    fields, status = response_fields(entry), entry.status
    content: View = {
        "size": entry.response.size,
        "mimeType": value_of(fields, b"content-type") or "x-unknown",
        **(_content(bytes(entry.response.data), "encoding") if entry.response.data else {}),
    }
    return {
        "status": status or 0,
        "statusText": phrase(status) if status is not None else "",
        "httpVersion": "HTTP/1.1",
        "cookies": _cookies(fields, b"set-cookie", masks, unmasked=unmasked),
        "headers": _headers(fields, masks, unmasked=unmasked),
        "content": content,
        "redirectURL": value_of(fields, b"location"),
        "headersSize": UNKNOWN,
        "bodySize": entry.response.size,
    }


def _content(data: bytes, encoding: str) -> dict[str, str]:
    """A body as text; in base64, and saying so, if it is none."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(data).decode(), encoding: "base64"}


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _headers(fields: Sequence[Field], masks: Masks, *, unmasked: bool) -> list[dict[str, str]]:
    shown = masks.shown(fields, unmasked=unmasked)
    return [{"name": text_of(name), "value": text_of(value)} for name, value, _ in shown]


def _cookies(fields: Sequence[Field], name: bytes, masks: Masks, *, unmasked: bool) -> list[dict[str, str]]:
    if masks.hides(name) and not unmasked:
        return []
    found = []
    for key, value in fields:
        if key.lower() != name:
            continue
        pairs = [text_of(value).partition(";")[0]] if name == b"set-cookie" else text_of(value).split(";", MAX_PAIRS)
        for pair in pairs[:MAX_PAIRS]:
            label, _, content = pair.strip().partition("=")
            found.append({"name": label, "value": content})
    return found


def _timings(entry: Recorded, seconds: float) -> dict[str, Any]:
    reached = entry.reached.after if entry.reached is not None else None
    first = entry.answered.after if entry.answered is not None else None
    connected = reached if reached is not None else 0.0
    begun = first if first is not None else max(seconds, connected)
    return {
        "blocked": UNKNOWN,
        "dns": UNKNOWN,
        "connect": _milliseconds(connected) if reached is not None else UNKNOWN,
        "ssl": UNKNOWN,
        "send": 0,
        "wait": _milliseconds(max(0.0, begun - connected)),
        "receive": _milliseconds(max(0.0, seconds - begun)),
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
