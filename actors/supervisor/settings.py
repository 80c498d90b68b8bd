"""What was asked for, checked."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors import DEFAULT_GRACE_PERIOD, DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS
from actors.bus.addresses import HostPort
from actors.bus.inspection import DEFAULT_BODY_BYTES
from actors.bus.messages import ProtocolWish, Transport
from actors.bus.routes import Origin
from actors.supervisor.discovery import IpVersion
from actors.supervisor.guards import NO_GUARDS, Guards
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL, USER_AGENT
from actors.supervisor.proxies import DIRECTLY, ProxyRules
from actors.supervisor.publisher import EventsFormat
from actors.supervisor.token import OwnTunnel
from actors.supervisor.vocabulary import Limits

if TYPE_CHECKING:  # most tunnels have no rules
    from actors.ingress.allowed import Allowed
    from actors.ingress.model import Configuration

DEFAULT_MAX_STREAMS: Final = 1000
"""Requests that one connection serves at once; the edge's own cap for the whole tunnel is 200."""

DEFAULT_KEEP_FOR: Final = 24 * 3600.0
"""Seconds after its last use for which a tunnel is kept. How long the service keeps one without connections is unknown,
and a try costs a registration."""


QUICK_CONNECTIONS: Final = 2
"""Connections of a quick tunnel, if nobody says how many."""

OWN_CONNECTIONS: Final = 4
"""Those of a tunnel of one's own: as the Go client's."""


INSPECTOR: Final = HostPort("127.0.0.1", 4040)
"""Where it is: programs look for a tunnel's agent there."""


@dataclass(frozen=True)
class Inspecting:
    """What was asked for of the inspector."""

    http: HostPort = INSPECTOR
    may_move: bool = True
    """Whether the next free port will do."""
    body_limit: int = DEFAULT_BODY_BYTES
    mask: tuple[str, ...] = ()
    """Names of fields beside those that are always masked."""
    password: str = field(default="", repr=False)
    """Empty: none is asked for."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False, compare=False)
    """One per start."""


@dataclass(frozen=True)
class Settings:
    """The whole of a supervisor's configuration. Times are in seconds."""

    origin: Origin | None
    """Where all requests go, if `--port` or `--url` says it."""
    hello_world: bool = False
    """They go to a page of our own."""
    configuration: "Configuration | None" = None
    """They go where these rules of a local file say."""
    tunnel: OwnTunnel | None = None
    """The tunnel of `run`; None: one is asked for. The secret shows in no repr."""
    region: str = ""
    """Of the edge; empty: all."""
    remote_services: "Allowed | None" = None
    """What rules may reach that the service pushes; None: what is usual."""
    guards: Guards = NO_GUARDS
    """Who may come."""
    expires: float | None = None
    """Seconds after which the tunnel ends; None: nobody said."""
    warnings: tuple[str, ...] = ()
    """What the user should know of what was asked for, before anything is done."""
    local_edge: bool = False
    local_edge_tls: bool = False
    as_cloudflare: bool = False
    """The local edge imitates the service's limits."""
    connections: int = QUICK_CONNECTIONS
    one_per_address: bool = False
    """No more of them than the edge has addresses: nobody named their number."""
    service_url: str = DEFAULT_SERVICE_URL
    edges: tuple[tuple[str, int], ...] = ()
    """Addresses of the edge; none: discover them."""
    edge_ip_version: IpVersion = "auto"
    edge_ca: Path | None = None
    timeout: float = DEFAULT_HANDSHAKE_TIMEOUT
    grace_period: float = DEFAULT_GRACE_PERIOD
    max_streams: int = DEFAULT_MAX_STREAMS
    transport: Transport = field(default_factory=Transport)
    protocol: ProtocolWish = "auto"
    proxies: ProxyRules = DIRECTLY
    """What HTTPS_PROXY and its kin say: for HTTP/2."""
    max_reconnect_attempts: int = MAX_RECONNECT_ATTEMPTS
    renew: bool = False
    """Ask for another tunnel when the service drops this one."""
    keep_for: float | None = None
    """Keep the tunnel in the state folder, and take it from there within so many seconds after its last use; None: it
    ends with this supervisor."""
    probe: bool = False
    """Fetch the public URL now and then."""
    spare: bool = True
    """Keep a worker ready that takes over a lost connection."""
    state_folder: Path | None = None
    """Of the state files; None: a private one, which goes with the run folder."""
    state_folder_is_usual: bool = False
    """Whether the user did not name it: if another tunnel holds it, this one takes a folder beside it."""
    user_agent: str = USER_AGENT
    lifeline: bool = False
    """End with stdin: it is held by the program that started this one."""
    owner: int = 0
    """End with this process: the number of the program that the tunnel belongs to; 0: there is none."""
    events_endpoint: str | None = None
    metrics_endpoint: str | None = None
    curve_files: tuple[Path, Path] | None = None
    """Our secret key, and the folder with the keys of all who may come in: they guard the tcp:// ones of these two;
    programs of this machine get ipc endpoints then. Read by the supervisor alone, after its children were forked."""
    metrics_http: HostPort | None = None
    inspecting: Inspecting | None = None
    """Show requests to whoever looks at the inspector's page; None: nobody does."""
    events_format: EventsFormat = "msgpack"
    json: bool = False
    qr: bool = False
    """On a terminal, show the URL as a QR code too."""
    log_requests: bool = False
    log_level: str = "info"
    log_json: bool = False

    @property
    def limits(self) -> Limits:
        """What of it the policy keeps to."""
        return Limits(
            self.connections,
            self.timeout,
            self.max_reconnect_attempts,
            self.renew,
            self.spare,
            self.transport.engine,
            # Python's TLS over TCP cannot be told to take no other key exchange.
            "quic" if self.transport.post_quantum else self.protocol,
            self.proxies.proxy is not None,
            self.tunnel is not None,
            self.one_per_address,
        )

    @property
    def origin_ports(self) -> tuple[int, ...]:
        """Ports that are said to be origins', whether anything listens there or not."""
        rules = self.configuration.rules if self.configuration is not None else ()
        said = [self.origin, *(rule.service for rule in rules)]
        return tuple(port for each in said if (port := getattr(each, "port", 0)))

    @property
    def has_rules(self) -> bool:
        """Whether it is said here where requests go; else the service is to say it."""
        return self.origin is not None or self.hello_world or self.configuration is not None

    @property
    def takes_configuration(self) -> bool:
        """Whether the service may push rules."""
        return self.tunnel is not None and not self.has_rules

    @property
    def helpers(self) -> tuple[str, ...]:
        """The actors beside the workers without which nothing begins."""
        has_page = self.hello_world or (self.configuration is not None and self.configuration.has_hello_world)
        wanted = {
            "metrics": True,
            "inspector": self.inspecting is not None,
            "hello_world": has_page,
            "local_edge": self.local_edge,
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)
