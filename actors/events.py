"""What the supervisor tells the world, on the event socket (PUB) and with `--json` on stdout.

On the socket an event is two frames, topic and payload; the topic is the event's type. Every event carries `type`,
`seq` (rising by one within its type, so that a gap shows to a filtered subscriber too) and `time` (Unix seconds).
Events are lossy by nature: nobody waits for a slow subscriber. What must not be lost is counted (see metrics/).
"""

import msgspec

from actors.messages import Totals


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


class RateLimited(Event, frozen=True, kw_only=True, tag="rate_limited"):
    """The tunnel API refuses new tunnels for now; the next try is at `until`."""

    attempt: int
    attempts: int
    retry_after: float
    until: float


class OriginUnreachable(Event, frozen=True, kw_only=True, tag="origin_unreachable"):
    """Nothing listens where requests are to go. The tunnel starts all the same."""

    origin: str
    message: str


class Assigned(Event, frozen=True, kw_only=True, tag="assigned"):
    """The API gave a tunnel. Its address works once a connection is registered."""

    url: str
    tunnel_id: str


class Connecting(Event, frozen=True, kw_only=True, tag="connecting"):
    """A worker was started for a slot."""

    slot: int
    generation: int
    edge: str
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
    """Seconds until the next try; null when there is none."""
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


class Stats(Event, frozen=True, kw_only=True, tag="stats"):
    """Every second: where things stand, so that a late subscriber soon knows."""

    url: str
    tunnel_id: str
    connections: int
    slots: int
    streams_in_flight: int
    totals: Totals
    reconnects: int
    rtt: float
    """Seconds; the smallest of the connections'."""


class StateFileFailed(Event, frozen=True, kw_only=True, tag="state_file_failed"):
    """A file in the state folder could not be written or removed. The tunnel is not harmed by it."""

    path: str
    message: str


class StartFailed(Event, frozen=True, kw_only=True, tag="start_failed"):
    """The tunnel did not come up."""

    reason: str
    message: str


class GaveUp(Event, frozen=True, kw_only=True, tag="permanent_failure"):
    """The tunnel was up and cannot be mended."""

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


def topic_of(event: Event) -> str:
    """An event's type, which is its topic."""
    tag = type(event).__struct_config__.tag
    assert isinstance(tag, str)
    return tag
