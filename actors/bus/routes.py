"""Where a tunnel's requests go: what the supervisor makes of ingress rules, and workers keep to. Pure.

An `Origin` is one of the destinations; the others answer by themselves, or carry bytes of TCP over WebSocket. A worker
knows no rules and no configuration, only these routes, in their order.
"""

from typing import Annotated, Final

import msgspec

from actors.bus.addresses import Port
from actors.bus.messages import Origin
from actors.bus.tally import Message, Seconds

DEFAULT_CONNECT_TIMEOUT: Final = 30.0
"""Seconds to connect to a TCP service: `connectTimeout` of the Go client."""

DEFAULT_KEEP_ALIVE_PERIOD: Final = 30.0
"""Seconds between the kernel's probes of an idle TCP connection: its `tcpKeepAlive`."""


class Status(Message, frozen=True, tag="status"):
    """Answers everything with this status, and nothing else."""

    status: Annotated[int, msgspec.Meta(ge=100, le=999)]

    def __str__(self) -> str:
        return f"http_status:{self.status}"


class Tcp(Message, frozen=True, tag="tcp"):
    """A TCP service, reached over WebSocket: the worker is the WebSocket's server."""

    host: str
    port: Port
    """0: it has none; a request fails."""
    name: str
    """As its rule has it, `ssh://127.0.0.1:22`."""
    connect_timeout: Seconds = DEFAULT_CONNECT_TIMEOUT
    keep_alive_period: Seconds = DEFAULT_KEEP_ALIVE_PERIOD

    def __str__(self) -> str:
        return self.name


class Bastion(Message, frozen=True, tag="bastion"):
    """TCP over WebSocket to wherever the visitor says (`Cf-Access-Jump-Destination`)."""

    connect_timeout: Seconds = DEFAULT_CONNECT_TIMEOUT
    keep_alive_period: Seconds = DEFAULT_KEEP_ALIVE_PERIOD

    def __str__(self) -> str:
        return "bastion"


class IpRule(Message, frozen=True):
    """Which addresses SOCKS may reach, or may not."""

    prefix: str
    """A network, as `10.0.0.0/8`."""
    ports: tuple[Port, ...] = ()
    """None: all."""
    allow: bool = False


class Socks(Message, frozen=True, tag="socks"):
    """SOCKS5 over WebSocket: the first rule that matches decides, and none refuses."""

    rules: tuple[IpRule, ...] = ()
    connect_timeout: Seconds = DEFAULT_CONNECT_TIMEOUT
    keep_alive_period: Seconds = DEFAULT_KEEP_ALIVE_PERIOD

    def __str__(self) -> str:
        return "socks-proxy"


Destination = Origin | Status | Tcp | Bastion | Socks


class Access(Message, frozen=True):
    """Who may come: whoever has a token of this issuer for one of these audiences."""

    issuer: str
    """`https://TEAM.cloudflareaccess.com`; empty: nobody's token is good."""
    audiences: tuple[str, ...]


class Route(Message, frozen=True, omit_defaults=True):
    """One rule: which requests, and where they go."""

    destination: Destination
    hostname: str = ""
    """Empty: every one. `*.example.com`: what ends in `.example.com`."""
    punycode: str = ""
    """The same, as it stands in DNS, where that differs; it matches too."""
    path: str = ""
    """A pattern of RE2, searched in the decoded path; empty: every one."""
    access: Access | None = None


class Routes(Message, frozen=True, omit_defaults=True):
    """All rules of a tunnel, the first that matches counts. A request that meets none gets 503."""

    routes: tuple[Route, ...] = ()
    version: int = -1
    """Of the remote configuration that they are; -1: there was none yet, or the rules are this machine's own."""

    @property
    def hostnames(self) -> list[str]:
        """Those that the rules name, each once."""
        return list(dict.fromkeys(route.hostname for route in self.routes if route.hostname))
