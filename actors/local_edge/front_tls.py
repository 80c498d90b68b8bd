"""TLS of the public front (`--local-edge-tls`): each public name gets a certificate of its own when it is asked for.

A wildcard would not do: browsers and OpenSSL take none directly under a top-level name such as `localhost`.
"""

import functools
import re
import ssl
from pathlib import Path
from typing import Final

from actors.local_edge.certificates import Authority, server_context

OWN_NAMES: Final = ("localhost", "127.0.0.1", "::1")
"""They are in every certificate: an address comes with no name to choose by."""

KNOWN_NAMES: Final = 256
"""Certificates that are kept: far more than tunnels are up at once. Each costs a millisecond to make."""

_PUBLIC_NAME: Final = re.compile(r"[a-z0-9-]{1,63}\.localhost")


def front_tls(authority: Authority, folder: Path) -> ssl.SSLContext:
    """The server's side of TLS. Keys pass through files in `folder`, which are gone at once."""

    @functools.lru_cache(maxsize=KNOWN_NAMES)
    def context_for(*names: str) -> ssl.SSLContext:
        context = server_context(authority.issue((*names, *OWN_NAMES)), folder)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None and _PUBLIC_NAME.fullmatch(name.lower()):
            connection.context = context_for(name.lower())

    context = context_for()
    context.sni_callback = choose
    return context
