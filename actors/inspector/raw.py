"""Heads and bodies as the bytes of HTTP/1.1 that programs want of them. Pure."""

from collections.abc import Sequence

from actors.bus.inspection import Field
from actors.inspector.masks import Masks, shown_target
from actors.inspector.store import Recorded
from actors.inspector.views import response_fields
from actors.web.http_server import phrase


def request_head(entry: Recorded, masks: Masks, *, unmasked: bool) -> bytes:
    """The head of a request as a visitor would have sent it over HTTP/1.1."""
    head = entry.head
    has_host = any(name.lower() == b"host" for name, _ in head.fields)
    fields = head.fields if has_host else [(b"Host", head.host), *head.fields]
    line = b"%b %b HTTP/1.1" % (head.method, shown_target(head.target, unmasked=unmasked) or b"/")
    return _head(line, fields, masks, unmasked=unmasked)


def response_head(entry: Recorded, masks: Masks, *, unmasked: bool) -> bytes:
    """The head of its response; empty if there is none."""
    if (status := entry.status) is None:
        return b""
    line = f"HTTP/1.1 {status} {phrase(status)}".encode()
    return _head(line, response_fields(entry), masks, unmasked=unmasked)


def _head(line: bytes, fields: Sequence[Field], masks: Masks, *, unmasked: bool) -> bytes:
    shown = masks.shown(fields, unmasked=unmasked)
    return b"\r\n".join([line, *(b"%b: %b" % (name, value) for name, value, _ in shown), b"", b""])
