"""Where a tunnel's requests go: what the supervisor makes of ingress rules, and workers keep to. Pure.

An `Origin` is one of the destinations; the others answer by themselves, or carry bytes of TCP over WebSocket. A worker
knows no rules and no configuration, only these routes, in their order.
"""

from typing import Annotated, Final, Literal

import msgspec

from actors.bus.addresses import Port, joined
from actors.bus.guards import MAX_GUARDS, Guard
from actors.bus.tally import Count, Message, Seconds

DEFAULT_ORIGIN_KEEP_ALIVE: Final = 2.0
"""Seconds for which a connection to the origin may be idle: from one request of a page to the next. More saves next to
nothing on one machine, and costs small origins the thread or the socket that somebody else waits for."""

DEFAULT_ORIGIN_CONNECT_TIMEOUT: Final = 10.0
"""Seconds to connect to the origin, and as many for TLS: a visitor is waiting."""

DEFAULT_ORIGIN_IDLE_CONNECTIONS: Final = 2
"""Connections to the origin that may be idle: enough for one visitor after the other, and little for a small origin."""

DEFAULT_ORIGIN_KEEP_ALIVE_PERIOD: Final = 30.0
"""Seconds between the kernel's probes: a peer that vanished is noticed before a visitor is sent there."""

DEFAULT_CONNECT_TIMEOUT: Final = 30.0
"""Seconds to connect to a TCP service: `connectTimeout` of the Go client."""

DEFAULT_KEEP_ALIVE_PERIOD: Final = 30.0
"""Seconds between the kernel's probes of an idle TCP connection: its `tcpKeepAlive`."""


def hosts(host: str) -> tuple[str, ...]:
    """What to connect to for a host, one after the other.

    A server on `localhost` often listens on one of its two addresses; no resolver is asked for them.
    """
    return ("127.0.0.1", "::1") if host == "localhost" else (host,)


class Origin(Message, frozen=True, tag="origin", omit_defaults=True):
    """Where requests are forwarded to, and how."""

    host: str = ""
    port: Port = 0
    scheme: Literal["http", "https", "unix", "unix+tls"] = "http"
    path: str = ""
    """Of the socket, with `unix` and `unix+tls`."""
    host_header: str | None = None
    """What the origin gets as Host; None: what the visitor sent."""
    forwarded_host: bool = False
    """Whether it is told the public name as well, with `host_header`; else it is led to believe that it is at home."""
    refuse_twins: bool = False
    """Whether it takes X_A for X-A, so that a request with both must not reach it."""
    verify: bool = True
    """Whether its certificate is checked, with `https`."""
    ca_file: str | None = None
    """Whom to trust, instead of the system's roots."""
    extra_ca_file: str | None = None
    """Whom to trust as well, beside the system's roots."""
    server_name: str | None = None
    """The name in its certificate, where that is not `host`."""
    match_sni_to_host: bool = False
    """Whether the name in its certificate is the host that each request asks for; it wins over `server_name`."""
    response_timeout: Seconds = 0.0
    """Seconds for the head of a response; 0: as long as it takes."""
    connect_timeout: Seconds = DEFAULT_ORIGIN_CONNECT_TIMEOUT
    """Seconds to connect to it by TCP; 0: as long as it takes."""
    tls_timeout: Seconds = DEFAULT_ORIGIN_CONNECT_TIMEOUT
    """Seconds for TLS after that; 0: as long as it takes."""
    keep_alive: Seconds = DEFAULT_ORIGIN_KEEP_ALIVE
    """Seconds for which a connection to it may be idle; 0: each serves one request."""
    keep_alive_connections: Count = DEFAULT_ORIGIN_IDLE_CONNECTIONS
    """How many connections to it may be idle."""
    keep_alive_period: Seconds = DEFAULT_ORIGIN_KEEP_ALIVE_PERIOD
    """Seconds between the kernel's probes of an idle connection; 0: it sends none."""
    happy_eyeballs: bool = True
    """Whether its addresses of IPv4 and IPv6 are tried beside each other, where its name has both."""
    chunked: bool = True
    """Whether it takes bodies whose length is not known beforehand."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """What to connect to, one after the other."""
        return hosts(self.host)

    @property
    def authority(self) -> str:
        """Host and port, as they stand in a URL."""
        return joined(self.host, self.port)

    def __str__(self) -> str:
        if self.scheme in ("unix", "unix+tls"):
            return f"{self.scheme}:{self.path}"
        return f"https://{self.authority}" if self.scheme == "https" else self.authority

    @property
    def url(self) -> str:
        """As a URL."""
        return f"http://{self.authority}" if self.scheme == "http" else str(self)


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


EVERY_HOST: Final = ("", "*")
"""Hostnames of a rule that matches all."""


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
    guard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_GUARDS)] | None = None
    """Which of `Routes.guards` its requests have to pass; None: none."""


class Routes(Message, frozen=True, omit_defaults=True):
    """All rules of a tunnel, the first that matches counts. A request that meets none gets 503."""

    routes: tuple[Route, ...] = ()
    version: int = -1
    """Of the remote configuration that they are; -1: there was none yet, or the rules are this machine's own."""
    guards: tuple[Guard, ...] = ()
    """Those that routes name: many have the same one, which passes between processes once."""

    @property
    def only_origin(self) -> Origin | None:
        """The origin, if they name one alone."""
        origins = {route.destination for route in self.routes if isinstance(route.destination, Origin)}
        return origins.pop() if len(origins) == 1 else None

    @property
    def hostnames(self) -> list[str]:
        """Those that the rules name, each once."""
        return list(dict.fromkeys(route.hostname for route in self.routes if route.hostname not in EVERY_HOST))

    @property
    def begins_with_all(self) -> bool:
        """Whether the first route is for every request, so that no other is ever asked for."""
        return bool(self.routes) and self.routes[0].hostname in EVERY_HOST and not self.routes[0].path


def all_to(destination: Destination) -> Routes:
    """One route, for everything."""
    return Routes((Route(destination),))
