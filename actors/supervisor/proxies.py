"""The HTTP proxy that the environment names, and for which addresses of the edge it is meant. Pure.

QUIC passes no proxy. HTTP/2 does (CONNECT), and what lets no UDP out is often a network with a proxy. The variables are
those of curl and others: HTTPS_PROXY, else ALL_PROXY, and NO_PROXY, in capitals or not.
"""

import base64
import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from typing import Final, NamedTuple

from actors.bus.addresses import HostPort
from actors.bus.messages import EdgeAddress, Proxy

PROXY_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""The first that is set wins."""

EXEMPT_VARIABLES: Final = ("no_proxy", "NO_PROXY")

DEFAULT_PORT: Final = 80


class ProxyRules(NamedTuple):
    """What the environment says."""

    proxy: Proxy | None = None
    exempt: tuple[str, ...] = ()
    """What is reached without it: names, addresses, networks, or * for all; each with a port or without."""
    problem: str = ""
    """Why a proxy that is named cannot be used; empty: it can, or none is named. It quotes no credentials."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "ProxyRules":
        """Read the variables."""
        name = next((name for name in PROXY_VARIABLES if environment.get(name, "").strip()), None)
        if name is None:
            return cls()
        exempt = next((environment[each] for each in EXEMPT_VARIABLES if environment.get(each)), "")
        try:
            proxy = _parse(environment[name].strip())
        except ValueError as error:
            return cls(problem=f"{name} cannot be used for the tunnel: {error}")
        return cls(proxy, tuple(entry for entry in re.split(r"[,\s]+", exempt) if entry))

    def for_edge(self, edge: EdgeAddress) -> Proxy | None:
        """The proxy through which this address is reached; None: directly."""
        names = {edge.host.lower(), edge.region.lower()} - {""}
        if any(_matches(entry.lower(), name, edge.port) for entry in self.exempt for name in names):
            return None
        return self.proxy


DIRECTLY: Final = ProxyRules()
"""No proxy for anything."""


def _parse(text: str) -> Proxy:
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() != "http":
        raise ValueError(f"it is for {scheme.lower()[:10]}:// and only http:// is supported")
    try:
        parts = urllib.parse.urlsplit(text if separator else f"http://{text}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
        user, password = (urllib.parse.unquote_to_bytes(part or "") for part in (parts.username, parts.password))
    except ValueError:
        raise ValueError("it is no http://HOST:PORT") from None  # the cause would quote it
    if not host:
        raise ValueError("it is no http://HOST:PORT")
    secret = base64.b64encode(user + b":" + password).decode() if parts.username is not None else ""
    return Proxy(host, port, f"Basic {secret}" if secret else "")


def _matches(entry: str, name: str, port: int) -> bool:
    if entry == "*":
        return True
    try:
        entry, only = _with_port(entry)
    except ValueError:
        return False
    if only not in (None, port):
        return False
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    suffix = entry.removeprefix("*").removeprefix(".")
    return bool(suffix) and (name == suffix or name.endswith(f".{suffix}"))


def _with_port(entry: str) -> tuple[str, int | None]:
    """An entry without its port, and that; an IPv6 address stands in brackets if there is one."""
    if entry.count(":") == 1 or entry.startswith("["):
        if entry.endswith("]"):
            return entry.strip("[]"), None
        address = HostPort.parse(entry)
        return address.host, address.port
    return entry, None
