"""What the supervisor tells the world, on the event socket (PUB) and with `--json` on stdout.

On the socket an event is two frames, topic and payload; the topic is the event's type. Every event carries `type`,
`seq` (rising by one within its type, so that a gap shows to a filtered subscriber too) and `time` (Unix seconds).
Events are lossy by nature: nobody waits for a slow subscriber. What must not be lost is counted (see metrics/).
"""

from typing import Final, TypeVar

import msgspec

from actors.bus.tally import Totals


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What all events have; the publisher sets both fields."""

    seq: int = 0
    time: float = 0.0


class Starting(Event, frozen=True, kw_only=True, tag="starting"):
    """The supervisor has its sockets and begins."""

    version: str
    pid: int
    origin: str
    events_endpoint: str
    metrics_endpoint: str
    local_url: str = ""
    """The local edge's other address, `http://127.0.0.1:PORT`, for programs that cannot resolve the name in the URL."""
    local_ca: str = ""
    """Path of the PEM file to trust it by, with `--local-edge-tls`."""
    inspector_url: str = ""
    """Where requests are shown, with `--inspect`: `http://127.0.0.1:4040`."""


class RateLimited(Event, frozen=True, kw_only=True, tag="rate_limited"):
    """The tunnel API refuses new tunnels for now; the next try is at `until`."""

    attempt: int
    attempts: int
    retry_after: float
    until: float


class OriginUnreachable(Event, frozen=True, kw_only=True, tag="origin_unreachable"):
    """Nothing listens where requests are to go. The tunnel is up all the same; requests get 502."""

    origin: str
    message: str


class OriginReachable(Event, frozen=True, kw_only=True, tag="origin_reachable"):
    """Something listens there again."""

    origin: str


class Assigned(Event, frozen=True, kw_only=True, tag="assigned"):
    """The API gave a tunnel, one was kept (`--keep`), or a token was read. It serves once a connection is up."""

    url: str
    """Empty for a tunnel of one's own (`run`), here and in all events: only the service knows its hostnames."""
    tunnel_id: str


MAX_TOLD_HOSTNAMES: Final = 200
"""Hostnames that an event names: so many of the longest stay within what our sockets take."""


class ConfigurationApplied(Event, frozen=True, kw_only=True, tag="configuration_applied"):
    """These rules say from now on where requests go."""

    version: int
    """Of the remote configuration; -1: the rules are this machine's own, or there are none yet."""
    rules: int
    """How many; 0: every request gets 503."""
    hostnames: list[str]
    """Those that the rules name, each once and as they have them (`*.example.com` too); at most 200."""


class ConfigurationRefused(Event, frozen=True, kw_only=True, tag="configuration_refused"):
    """The service pushed rules that cannot be kept. Those that were in force still are, and it was told why."""

    version: int
    """Of what was refused."""
    error: str


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """What is true of the tunnel as a whole has changed, or how many connections are up."""

    state: str
    """starting, assigned, registered, visible, degraded, unreachable, down, stopping, stopped: see `readiness.py`."""
    serves: bool
    """Whether a visitor who opens the URL now gets an answer."""
    url: str
    connections: int
    slots: int
    rules: int = 1
    """In force. One of a tunnel's own serves once there are some."""


class Offline(Event, frozen=True, kw_only=True, tag="offline"):
    """This machine has no way out. Failures are not counted; without a route, no try is made."""

    message: str


class Online(Event, frozen=True, kw_only=True, tag="online"):
    """It has one again, or another one: the next tries are made at once."""

    sources: list[str]
    """The machine's own addresses towards the edge."""


class NameNotVisible(Event, frozen=True, kw_only=True, tag="name_not_visible"):
    """A connection is registered, and the name's own servers do not know it yet. The URL is given all the same."""

    url: str
    message: str


class Unreachable(Event, frozen=True, kw_only=True, tag="unreachable"):
    """The connections stand, and the public URL does not lead to them (`--probe`)."""

    url: str
    message: str


class UrlChanged(Event, frozen=True, kw_only=True, tag="url_changed"):
    """The service dropped the tunnel (`--renew`), or refuses the one that was kept (`--keep`), and gave another.

    It serves once the event `state` says so.
    """

    url: str
    tunnel_id: str
    previous_url: str
    cause: str


class Connecting(Event, frozen=True, kw_only=True, tag="connecting"):
    """A worker was started for a slot."""

    slot: int
    generation: int
    edge: str
    protocol: str = "quic"
    """quic or http2."""
    attempt: int
    """Failures of this slot before this try."""


class Registered(Event, frozen=True, kw_only=True, tag="registered"):
    """The edge took a connection: it serves requests."""

    slot: int
    generation: int
    url: str
    tunnel_id: str
    location: str
    connection_id: str
    key_exchange: str
    """The TLS group that was agreed: `X25519MLKEM768` is safe from computers to come. Empty where it is not told."""
    protocol: str = "quic"
    """quic or http2."""
    connections: int
    """How many are up now."""


class ConnectionEnded(Event, frozen=True, kw_only=True, tag="connection_ended"):
    """A worker ended without being asked to."""

    slot: int
    generation: int
    reason: str
    """A `WorkerEnd`."""
    message: str
    was_registered: bool
    failures: int
    """Consecutive failures of this slot, this one included if it counts."""
    retry_in: float | None
    """Seconds until the next try; null when there is none, or when it waits for a network."""
    connections: int


class ConnectionRefused(Event, frozen=True, kw_only=True, tag="connection_refused"):
    """The edge refused a slot for good; the tunnel goes on with the others, if there are any."""

    slot: int
    generation: int
    cause: str
    """In the edge's own words."""
    connections: int


class Unregistered(Event, frozen=True, kw_only=True, tag="unregistered"):
    """A connection asked the edge for no more requests; those in flight go on."""

    slot: int
    generation: int
    acknowledged: bool


class ActorRestarted(Event, frozen=True, kw_only=True, tag="actor_restarted"):
    """Another actor than a worker ended unasked and was started again."""

    actor: str
    exit_status: int


class ProtocolChanged(Event, frozen=True, kw_only=True, tag="protocol_changed"):
    """A connection speaks another protocol than the one before it: UDP is blocked, or is no longer (`--protocol`)."""

    slot: int
    previous: str = msgspec.field(name="from")
    to: str
    """Both: quic or http2."""
    cause: str


class EngineChanged(Event, frozen=True, kw_only=True, tag="engine_changed"):
    """Machine code crashed, and connections that are made from now on use another QUIC engine, until the end."""

    previous: str
    """picoquic."""
    engine: str
    """aioquic."""
    cause: str


class Stats(Event, frozen=True, kw_only=True, tag="stats"):
    """Every second, and after a recount: where things stand, so that a late subscriber soon knows."""

    url: str
    tunnel_id: str
    connections: int
    slots: int
    streams_in_flight: int
    totals: Totals
    reconnects: int
    rtt: float
    """Seconds; the smallest of the connections'."""
    key_exchanges: list[str]
    """The TLS groups that were agreed, each once."""
    protocols: list[str] = []
    """What the connections speak, quic or http2, each once."""
    state: str
    serves: bool
    """Both as in the event `state`."""
    rules: int = 1
    """As there."""
    configuration_version: int = -1
    """As in the event `configuration_applied`."""
    origin_reachable: bool
    """False if nobody was found at the origin's port, at the start or after requests had failed, and since then."""
    origin: str
    pid: int
    version: str
    recount: int = 0
    """The latest recount that was asked for by `--lifeline`: all that passed before it is counted here."""


class StateFileFailed(Event, frozen=True, kw_only=True, tag="state_file_failed"):
    """A file in the state folder could not be written or removed. The tunnel is not harmed by it."""

    path: str
    message: str


class StartFailed(Event, frozen=True, kw_only=True, tag="start_failed"):
    """The tunnel did not come up."""

    reason: str
    message: str


class GaveUp(Event, frozen=True, kw_only=True, tag="permanent_failure"):
    """The tunnel was up and cannot be mended: too many failures, or refused by the edge (`reason`)."""

    reason: str
    attempts: int
    message: str


class Stopping(Event, frozen=True, kw_only=True, tag="stopping"):
    """A stop was asked for."""

    grace: float


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """The last event: all actors have ended; the totals are final."""

    reason: str
    exit_code: int
    tunnel_id: str
    totals: Totals
    reconnects: int


AnyEvent = (
    Starting
    | RateLimited
    | OriginUnreachable
    | OriginReachable
    | Assigned
    | ConfigurationApplied
    | ConfigurationRefused
    | StateChanged
    | Offline
    | Online
    | NameNotVisible
    | Unreachable
    | UrlChanged
    | Connecting
    | Registered
    | ConnectionEnded
    | ConnectionRefused
    | Unregistered
    | ActorRestarted
    | ProtocolChanged
    | EngineChanged
    | Stats
    | StateFileFailed
    | StartFailed
    | GaveUp
    | Stopping
    | Stopped
)
"""All of them, for a typed decoder: `msgspec.json.decode(line, type=AnyEvent)`."""


T = TypeVar("T")


def read_payload(payload: bytes, kind: type[T]) -> T:
    """What an event's payload says, in either of its formats (`--events-format`).

    Raises:
        msgspec.MsgspecError and the other `DECODE_ERRORS` of `messages.py`: it cannot be read as a `kind`.
    """
    decode = msgspec.json.decode if payload.startswith(b"{") else msgspec.msgpack.decode
    return decode(payload, type=kind)


def topic_of(event: Event) -> str:
    """An event's type, which is its topic."""
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag
