"""THE schema of the bus: everything that passes between two processes of this project.

    orders   parent → child, once, on the child's stdin
    Up       child → supervisor, and
    Down     supervisor → child, on the control socket (DEALER ↔ ROUTER)
    Report   workers and supervisor → metrics actor, on the delta socket (PUSH → PULL)
    Event    supervisor → anybody, on the event socket (PUB): see `events.py`

All are msgspec structs, told apart by a tag, sent as msgpack. Counts are checked when they are decoded: a negative
or oversized one is refused.

The two ends can be of two versions: where children are executed, they run the files as they are now, and an upgrade
may have changed them. So a field that the reader does not know is passed over, a new field gets a default, and
what no default can explain gets a new `SCHEMA_VERSION`.
"""

import ipaddress
from typing import Annotated, Final, Literal

import msgspec

from actors.bus.addresses import HostPort, joined
from actors.bus.routes import Routes
from actors.bus.tally import Count, Details, Gauges, Label, LifecycleCounts, Message, Seconds, Tally, Totals

SCHEMA_VERSION: Final = 1
"""Raised when a message changes so that an older reader would misread it. It comes before the orders (`lifeline.py`):
a child that knows another one says so, and ends."""

OTHER_VERSION_STATUS: Final = 64
"""The exit status of a child that cannot read its orders: the package was changed under the supervisor."""

MAX_MESSAGE_BYTES: Final = 128 * 1024
"""The largest message that our sockets take, those to our own children aside. The biggest is a `KnownCounts` of 16
tunnels: a test encodes it."""

MAX_CONTROL_BYTES: Final = 8 * 1024 * 1024
"""The largest message to or from a child. An edge pushes a configuration of up to 1 MiB; what becomes of it has some
five times as many bytes, if it is made of the shortest of rules: a test encodes it."""


class GenerationTally(Message, frozen=True):
    """The last known tally of one worker. Slot and generation name it for ever."""

    slot: Count
    generation: Count
    tally: Tally


class TunnelTally(Message, frozen=True):
    """What passed on one tunnel."""

    tunnel_id: Label
    ended: Tally
    """The sum of all generations that are not in `current`."""
    current: list[GenerationTally]
    """The newest generation of each slot, and all others that live: one that was replaced finishes what it has."""


# --- orders: parent → child, on stdin ------------------------------------------------------------------------------


class Credentials(Message, frozen=True):
    """A tunnel, and what proves to the edge that it is ours. The secret shows in no repr."""

    tunnel_id: str
    """A UUID."""
    url: str
    """The public address, without a slash at its end; empty: a tunnel of one's own, which has hostnames."""
    account_tag: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Credentials(tunnel_id={self.tunnel_id!r}, url={self.url!r}, secret=…)"


class EdgeAddress(Message, frozen=True):
    """One address of the edge: an IP literal and a port, UDP and TCP alike, with the region it belongs to.

    The host is a name where only a proxy can resolve it.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    region: str = ""

    @property
    def is_name(self) -> bool:
        """Whether the host is a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    def __str__(self) -> str:
        return joined(self.host, self.port)


Protocol = Literal["quic", "http2"]
"""What a connection to the edge speaks: QUIC over UDP, or HTTP/2 with TLS over TCP."""

ProtocolWish = Literal["auto", "quic", "http2"]
"""`--protocol`: what the user wants. Each connection then gets its `Protocol`."""

QuicEngine = Literal["aioquic", "picoquic"]
CongestionControl = Literal["bbr", "cubic", "reno"]


class Transport(Message, frozen=True):
    """How a worker speaks to the edge."""

    engine: QuicEngine = "aioquic"
    """Over QUIC."""
    congestion_control: CongestionControl = "bbr"
    """Over TCP it is a wish: the kernel may not have it."""
    post_quantum: bool = False
    """Whether to accept no other key exchange."""


class Proxy(Message, frozen=True):
    """An HTTP proxy through which the edge is reached over TCP (CONNECT). The credentials show in no repr."""

    host: str
    """A name, or an IP literal without brackets."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    authorization: str = ""
    """The value of Proxy-Authorization; empty: none."""

    def __str__(self) -> str:
        return joined(self.host, self.port)

    def __repr__(self) -> str:
        return f"Proxy({str(self)!r}, authorization=…)"


class Curve(Message, frozen=True):
    """What guards sockets that are offered to the network: see `curve.py`. The secret shows in no repr."""

    public: bytes
    secret: bytes
    clients: list[bytes]
    """The public keys of those who may come in."""

    def __repr__(self) -> str:
        return f"Curve(public={self.public!r}, secret=…, clients={self.clients!r})"


class ChildOrders(Message, frozen=True):
    """What every child needs to know."""

    identity: str
    """Its name on the control socket: `actor-slot.generation`."""
    control_endpoint: str
    log_level: str
    log_json: bool


class Inspection(Message, frozen=True):
    """What workers are to show of their requests, and to whom (`inspection.py`)."""

    endpoint: str
    body_limit: Count
    """Bytes of each body."""
    http: HostPort
    """Where the inspector serves: nothing of the tunnel may go there."""


class WorkerOrders(ChildOrders, frozen=True):
    """One connection to make: where to, for which tunnel, as which slot and generation."""

    slot: Annotated[int, msgspec.Meta(ge=0, le=255)]
    generation: Count
    credentials: Credentials
    edge: EdgeAddress
    edge_ca_file: str | None
    """Replaces the trust roots."""
    client_id: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    """One per supervisor: the edge tells connectors apart by it."""
    previous_attempts: Count
    replace_existing: bool
    routes: Routes
    """Where requests go, until a `Reroute` comes."""
    ingress: str
    """The same as the edge is told it: the JSON list of `updateLocalConfiguration`."""
    takes_configuration: bool
    """Whether the edge may push rules; what it pushes is the supervisor's affair."""
    max_streams: Annotated[int, msgspec.Meta(ge=1)]
    deltas_endpoint: str
    log_requests: bool
    transport: Transport
    protocol: Protocol = "quic"
    """What this connection speaks: the supervisor's choice for this generation."""
    proxy: Proxy | None = None
    """Where to go through, with `http2`; QUIC passes no proxy."""
    inspection: Inspection | None = None
    """None: nobody looks."""
    guard_file: str | None = None
    """What all workers of the tunnel count visitors in (`actors/guard/shared.py`); None: there is nothing to count."""


class SpareOrders(ChildOrders, frozen=True):
    """A worker that does its imports and then waits for its `WorkerOrders`, on stdin like these."""

    engine: QuicEngine


class MetricsOrders(ChildOrders, frozen=True):
    """The endpoints to serve at. What was counted before comes with `KnownCounts`, once the actor is up."""

    metrics_endpoint: str
    guarded_endpoint: str | None
    """Where to serve besides, for clients with a key of `curve`."""
    curve: Curve | None
    deltas_endpoint: str
    events_endpoint: str
    """Where the supervisor says whether the tunnel serves."""
    http: HostPort | None
    """Where to answer over HTTP as well."""
    connector_id: str
    """A UUID: what the edge tells connectors apart by."""


class LocalEdgeOrders(ChildOrders, frozen=True):
    """The local edge as a child of the supervisor; its ports are its own choice."""

    run_folder: str
    """Where its certificate goes."""
    tls: bool
    """Whether visitors speak TLS to it."""
    as_cloudflare: bool
    """Whether it imitates the service's limits."""
    tunnel: Credentials | None = None
    """One that it does not give away, and has to know: that of a token. Its URL is nothing to the edge."""


class InspectorOrders(ChildOrders, frozen=True):
    """The inspector. Token and password show in no repr."""

    endpoint: str
    """Where workers tell of exchanges."""
    events_endpoint: str
    """Where the supervisor says how the tunnel is."""
    http: HostPort
    """Where to serve; if it `may_move`, at the first port from there that is free, and else at any."""
    may_move: bool
    avoid: list[int]
    """Ports that it must leave to origins, which may not be up yet."""
    body_limit: Count
    mask: list[str]
    """Names of fields whose values are shown only on demand, in lower case."""
    token: str
    """For calls that change something, and for what is masked."""
    password: str
    """Who looks has to give it; empty: it is for this machine alone."""
    origin: str
    hostnames: list[str]
    """Those of the rules that are in force, for a tunnel of one's own."""

    def __repr__(self) -> str:
        return f"InspectorOrders(identity={self.identity!r}, http={self.http!r}, token=…, password=…)"


class HelloWorldOrders(ChildOrders, frozen=True):
    """The page of `--hello-world`."""


# --- control: child → supervisor -----------------------------------------------------------------------------------


class Ready(Message, frozen=True, tag="ready"):
    """The child is up. `endpoints` names what it bound, by purpose."""

    endpoints: dict[str, str] = msgspec.field(default_factory=dict)


class Registered(Message, frozen=True, tag="registered"):
    """The edge took the registration: requests may come."""

    location: str
    connection_id: str
    """A UUID of the edge's."""
    key_exchange: str
    """The TLS group that was agreed, by its registered name; empty where that is not told."""
    protocol: Protocol = "quic"


class Leaving(Message, frozen=True, tag="leaving"):
    """The edge wants to end this connection (GOAWAY): it sends no new requests, and waits for what runs.

    The worker serves what runs to its end. The supervisor starts a successor at once; this worker gets `Drain` when
    that one is registered.
    """

    reason: str = ""
    """In the edge's words, or its code's name."""


HEARTBEAT_INTERVAL: Final = 1.0
"""Seconds between two heartbeats of a child."""


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """Every second. The tally is that of the delta that was sent in the same tick."""

    tally: Tally = Tally()
    gauges: Gauges = Gauges()
    origin_failures: Count = 0
    """Requests of this worker so far for which the origin could not be reached."""
    recount: Count = 0
    """The number of the latest `Recount` that was asked of this worker: all that passed before it is in the tally."""


class Unregistered(Message, frozen=True, tag="unregistered"):
    """The edge knows that it shall send no new request on this connection."""

    acknowledged: bool
    """Whether the edge answered."""


class ConfigurationPushed(Message, frozen=True, tag="configuration_pushed"):
    """The edge pushed a configuration on a worker's connection. A `ConfigurationAnswered` is to follow."""

    number: Count
    """Of this worker's pushes."""
    version: int
    configuration: bytes
    """JSON, as it came."""


class Stopped(Message, frozen=True, tag="stopped"):
    """The child's last word."""

    reason: Label
    """A `WorkerEnd` of `actors.quic_worker.ends`, or `stopped`."""
    message: str = ""
    tally: Tally = Tally()
    """A worker's own; the metrics actor's: of the present tunnel."""
    retry_after: Seconds = 0.0
    """Seconds that the edge asked to wait before another try."""


Up = Ready | Registered | Heartbeat | Leaving | ConfigurationPushed | Unregistered | Stopped

# --- control: supervisor → child -----------------------------------------------------------------------------------


class Drain(Message, frozen=True, tag="drain"):
    """End in order. A worker unregisters first and lets streams in flight finish for up to `grace` seconds."""

    grace: Seconds


class KnownCounts(Message, frozen=True, tag="know"):
    """To the metrics actor, when it is up and once more at the end: all that the supervisor knows.

    Before the first one the actor answers no query: it would show counters that went backwards.
    """

    tunnels: list[TunnelTally]
    """The present one last."""
    lifecycle: LifecycleCounts
    lifecycle_sequence: Count


class Recount(Message, frozen=True, tag="recount"):
    """To a worker: report at once, and say so by a heartbeat with this number. To the supervisor: ask all workers."""

    number: Count


class Reroute(Message, frozen=True, tag="reroute"):
    """To a worker: requests that come from now on go by these routes."""

    routes: Routes


class ConfigurationAnswered(Message, frozen=True, tag="configuration_answered"):
    """To the worker that told of a push: what the edge is to be told of it."""

    number: Count
    version: int
    """What is in force now."""
    error: str = ""
    """Why the pushed one is not; empty if it is, or was before."""


Down = Drain | KnownCounts | Recount | Reroute | ConfigurationAnswered

# --- deltas: workers and supervisor → metrics actor ----------------------------------------------------------------


class StreamDelta(Message, frozen=True, tag="stream_delta"):
    """What passed since the last delta of this worker, and the running totals of its generation.

    The totals make a lost predecessor harmless, the sequence number a repeated one.
    """

    tunnel_id: Label
    slot: Count
    generation: Count
    sequence: Count
    delta: Totals
    totals: Totals
    details: Details = Details()
    gauges: Gauges = Gauges()

    @property
    def tally(self) -> Tally:
        """All running totals of the generation."""
        return Tally(self.totals, self.details)


class LifecycleReport(Message, frozen=True, tag="lifecycle"):
    """The supervisor's own counts, as totals; a higher sequence number replaces a lower one."""

    sequence: Count
    counts: LifecycleCounts


Report = StreamDelta | LifecycleReport

# --- codecs: one typed decoder per direction, made once ------------------------------------------------------------

encode = msgspec.msgpack.Encoder().encode
decode_up = msgspec.msgpack.Decoder(Up).decode
decode_down = msgspec.msgpack.Decoder(Down).decode
decode_report = msgspec.msgpack.Decoder(Report).decode

DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that decoding hostile bytes can raise: msgspec skips unknown nested values by recursion."""
