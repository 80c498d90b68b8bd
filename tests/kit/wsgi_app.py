"""A WSGI application to put behind the tunnel (under gunicorn): tells what it was asked."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

VOLATILE = (
    *("HTTP_CF_", "HTTP_CDN_", "HTTP_X_FORWARDED_"),
    *("HTTP_CONNECTION", "HTTP_UPGRADE", "HTTP_TRANSFER_ENCODING"),
)
"""What an edge adds, and what is of one hop."""


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    told = {
        name: value
        for name, value in environ.items()
        if (name.startswith("HTTP_") and not name.startswith(VOLATILE)) or name in ("REQUEST_METHOD", "RAW_URI")
    }
    text = json.dumps([told, len(body), hashlib.sha256(body).hexdigest()], sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [text]
