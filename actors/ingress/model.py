"""What a configuration says, once it is read and its defaults are filled in: rules, services, and how origins are
spoken to. Pure.

The names of fields in files and in JSON are the Go client's (`name=`).
"""

import msgspec

from actors.bus.routes import DEFAULT_CONNECT_TIMEOUT, DEFAULT_KEEP_ALIVE_PERIOD, EVERY_HOST, IpRule
from actors.bus.tally import Message
from actors.guard.wanted import GuardWanted
from actors.ingress.patterns import Pattern


class AccessRequest(Message, frozen=True):
    """Who may come: `access` of an `originRequest`."""

    required: bool = False
    team_name: str = msgspec.field(default="", name="teamName")
    audiences: tuple[str, ...] = msgspec.field(default=(), name="audTag")
    environment: str = ""
    """`fed`: the government's."""


class OriginRequest(Message, frozen=True):
    """How an origin is spoken to. The defaults are the Go client's; times are in seconds, and 0 sets no limit."""

    connect_timeout: float = msgspec.field(default=DEFAULT_CONNECT_TIMEOUT, name="connectTimeout")
    tls_timeout: float = msgspec.field(default=10.0, name="tlsTimeout")
    keep_alive_period: float = msgspec.field(default=DEFAULT_KEEP_ALIVE_PERIOD, name="tcpKeepAlive")
    """Between the kernel's probes of an idle connection."""
    no_happy_eyeballs: bool = msgspec.field(default=False, name="noHappyEyeballs")
    keep_alive_timeout: float = msgspec.field(default=90.0, name="keepAliveTimeout")
    """For which an idle connection is kept."""
    keep_alive_connections: int = msgspec.field(default=100, name="keepAliveConnections")
    """How many idle connections are kept."""
    host_header: str = msgspec.field(default="", name="httpHostHeader")
    server_name: str = msgspec.field(default="", name="originServerName")
    match_sni_to_host: bool = msgspec.field(default=False, name="matchSNItoHost")
    ca_pool: str = msgspec.field(default="", name="caPool")
    """A file of this machine with roots that are trusted beside the system's."""
    no_tls_verify: bool = msgspec.field(default=False, name="noTLSVerify")
    disable_chunked_encoding: bool = msgspec.field(default=False, name="disableChunkedEncoding")
    bastion_mode: bool = msgspec.field(default=False, name="bastionMode")
    proxy_address: str = msgspec.field(default="127.0.0.1", name="proxyAddress")
    """Has no effect; nor has `proxy_port`."""
    proxy_port: int = msgspec.field(default=0, name="proxyPort")
    proxy_type: str = msgspec.field(default="", name="proxyType")
    ip_rules: tuple[IpRule, ...] = msgspec.field(default=(), name="ipRules")
    http2_origin: bool = msgspec.field(default=False, name="http2Origin")
    access: AccessRequest = AccessRequest()


class WarpRouting(Message, frozen=True):
    """For private networks, which are not carried here: it is read, shown, and without effect."""

    connect_timeout: float = msgspec.field(default=5.0, name="connectTimeout")
    max_active_flows: int = msgspec.field(default=0, name="maxActiveFlows")
    keep_alive_period: float = msgspec.field(default=30.0, name="tcpKeepAlive")


class Http(Message, frozen=True, tag="http"):
    """An HTTP server. A service's text is what a rule says, in the form in which it is reported."""

    tls: bool
    host: str
    port: int
    text: str

    def __str__(self) -> str:
        return self.text


class Unix(Message, frozen=True, tag="unix"):
    """An HTTP server on a socket of this machine."""

    path: str
    tls: bool = False

    def __str__(self) -> str:
        return f"{'unix+tls' if self.tls else 'unix'}:{self.path}"


class Status(Message, frozen=True, tag="status"):
    """Nothing but this status."""

    status: int

    def __str__(self) -> str:
        return f"http_status:{self.status}"


class HelloWorld(Message, frozen=True, tag="hello_world"):
    """The page of our own."""

    def __str__(self) -> str:
        return "hello_world"


class Tcp(Message, frozen=True, tag="tcp"):
    """A TCP service, over WebSocket."""

    scheme: str
    host: str
    port: int
    """0: the scheme has none that is usual, and none was given."""
    text: str

    def __str__(self) -> str:
        return self.text


class Bastion(Message, frozen=True, tag="bastion"):
    """Wherever the visitor says, by TCP."""

    def __str__(self) -> str:
        return "bastion"


class Socks(Message, frozen=True, tag="socks"):
    """Wherever the visitor says, by SOCKS."""

    def __str__(self) -> str:
        return "socks-proxy"


Service = Http | Unix | Status | HelloWorld | Tcp | Bastion | Socks


class Rule(Message, frozen=True):
    """One rule, with all that is inherited filled in."""

    service: Service
    hostname: str = ""
    punycode: str = ""
    """The hostname as it stands in DNS, where that is another text."""
    path: str = ""
    request: OriginRequest = OriginRequest()
    guard: GuardWanted | None = None
    """Who may come, where this machine's own rule says something else than the flags. Nothing that is pushed does."""
    pattern: Pattern | None = None
    """Of the path, compiled: the next configuration has mostly the same ones, and finds them."""


class Configuration(Message, frozen=True):
    """A whole configuration that is valid. Without rules, every request gets 503."""

    rules: tuple[Rule, ...] = ()
    request: OriginRequest = OriginRequest()
    """What rules inherit."""
    warp_routing: WarpRouting = WarpRouting()

    @property
    def hostnames(self) -> tuple[str, ...]:
        """The hostnames that its rules name, each once, in their order."""
        return tuple(dict.fromkeys(rule.hostname for rule in self.rules if rule.hostname not in EVERY_HOST))

    @property
    def has_hello_world(self) -> bool:
        """Whether the page of our own is needed."""
        return any(isinstance(rule.service, HelloWorld) for rule in self.rules)
