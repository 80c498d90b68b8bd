"""What the policy is told, its limits and its events, and what it answers, its commands. Pure.

Counterparts: `policy.py` judges them, `runner.py` makes the events of what happens and carries the commands out.
"""

import msgspec

from actors import DEFAULT_HANDSHAKE_TIMEOUT, MAX_RECONNECT_ATTEMPTS
from actors.bus import events
from actors.bus.messages import (
    EdgeAddress,
    Heartbeat,
    Leaving,
    Protocol,
    ProtocolWish,
    QuicEngine,
    Ready,
    Registered,
    Stopped,
    Up,
)
from actors.errors import TunnelError
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.readiness import Visibility


class Limits(msgspec.Struct, frozen=True):
    """What the user may set."""

    connections: int
    start_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT
    max_attempts: int = MAX_RECONNECT_ATTEMPTS
    renew: bool = False
    spare: bool = False
    engine: QuicEngine = "aioquic"
    protocol: ProtocolWish = "auto"
    has_proxy: bool = False
    """HTTP/2 can leave through a proxy, also where there is no route."""
    is_own: bool = False
    """The tunnel is one of the user's own: there is no other to be asked for, and it may be without rules."""
    one_per_address: bool = False
    """No more connections than the edge has addresses: nobody named their number."""


# --- events --------------------------------------------------------------------------------------------------------


class _PolicyEvent(msgspec.Struct, frozen=True, tag=True):
    """All are plain data: they are written to the log after a fault (`history.py`)."""


class Begin(_PolicyEvent, frozen=True):
    """There is a tunnel, the first one or (after `Renew`) another."""

    url: str
    """Empty: it is one of the user's own, whose hostnames the service knows."""
    tunnel_id: str
    edges: tuple[EdgeAddress, ...]
    """Its addresses; there is one at least."""
    visibility: Visibility
    """NOT_ASKED, or UNSEEN if the name's own servers are going to be asked."""
    kept: bool = False
    """An earlier supervisor had it (`--keep`)."""


class RulesInForce(_PolicyEvent, frozen=True):
    """So many rules say from now on where requests go. Before the first word of it, one does."""

    rules: int


class NameSeen(_PolicyEvent, frozen=True):
    """The name of `url` is in DNS; or (not `found`) it was asked for long enough."""

    url: str
    found: bool


class ProbeSeen(_PolicyEvent, frozen=True):
    """The public URL was fetched."""

    url: str
    reachable: bool
    message: str


class NetworkSeen(_PolicyEvent, frozen=True):
    """How this machine reaches the edge has changed."""

    sources: frozenset[str]
    """The addresses of this machine from which the edge can be reached; none: there is no route."""
    resolver_answers: bool


class RenewFailed(_PolicyEvent, frozen=True):
    """No other tunnel was to be had."""

    error: TunnelError


class WorkerEvent(_PolicyEvent, frozen=True):
    """Something of one worker. One of an earlier generation changes nothing."""

    slot: int
    generation: int


class WorkerReady(WorkerEvent, frozen=True):
    """The process is up and dials."""


class WorkerRegistered(WorkerEvent, frozen=True):
    """The edge took its registration."""

    location: str
    connection_id: str
    key_exchange: str
    protocol: Protocol = "quic"


class WorkerLeaving(WorkerEvent, frozen=True):
    """The edge wants this connection to end: a successor is wanted while it still serves what runs."""

    reason: str


class WorkerBeat(WorkerEvent, frozen=True):
    """It lives."""


class WorkerStopped(WorkerEvent, frozen=True):
    """Its last word; the process ends next."""

    end: WorkerEnd
    message: str
    retry_after: float


class WorkerExited(WorkerEvent, frozen=True):
    """The process has ended (negative: the signal that killed it)."""

    status: int
    is_crash: bool = False
    """The signal is one that only a fault in machine code brings: no Python is to blame."""


class HelperExited(_PolicyEvent, frozen=True):
    """Another child than a worker has ended."""

    name: str
    status: int
    is_crash: bool = False
    """As with a worker."""


class HelperReady(_PolicyEvent, frozen=True):
    """Another actor is up."""

    name: str


class HelperBeat(_PolicyEvent, frozen=True):
    """Another actor lives."""

    name: str


class Tick(_PolicyEvent, frozen=True):
    """Time passes."""


class StopAsked(_PolicyEvent, frozen=True):
    """Somebody wants an orderly end."""

    grace: float


class Over(_PolicyEvent, frozen=True):
    """The end has begun, whoever decided it: nothing is to be mended any more."""


PolicyEvent = (
    Begin
    | RulesInForce
    | WorkerReady
    | WorkerRegistered
    | WorkerLeaving
    | WorkerBeat
    | WorkerStopped
    | WorkerExited
    | HelperReady
    | HelperBeat
    | HelperExited
    | NameSeen
    | ProbeSeen
    | NetworkSeen
    | RenewFailed
    | Tick
    | StopAsked
    | Over
)


def said(worker: tuple[int, int], message: Up) -> PolicyEvent | None:
    """What the message of a worker (its slot and generation) is to the policy; None: nothing."""
    match message:
        case Ready():
            return WorkerReady(*worker)
        case Registered():
            return WorkerRegistered(
                *worker, message.location, message.connection_id, message.key_exchange, message.protocol
            )
        case Leaving():
            return WorkerLeaving(*worker, message.reason)
        case Heartbeat():
            return WorkerBeat(*worker)
        case Stopped():
            end = WorkerEnd(message.reason) if message.reason in set(WorkerEnd) else WorkerEnd.CRASHED
            return WorkerStopped(*worker, end, message.message, message.retry_after)
    return None


# --- commands ------------------------------------------------------------------------------------------------------


class SpawnWorker(msgspec.Struct, frozen=True):
    """Start a worker process."""

    slot: int
    generation: int
    edge: EdgeAddress
    previous_attempts: int
    replace_existing: bool
    from_spare: bool
    """The spare, up or still on its way, gets the orders, and is the spare no more."""
    protocol: Protocol = "quic"


class KillWorker(msgspec.Struct, frozen=True):
    """Kill it: it does not listen."""

    slot: int
    generation: int


class DrainWorker(msgspec.Struct, frozen=True):
    """Tell it to unregister, finish and end."""

    slot: int
    generation: int
    grace: float


class SpawnHelper(msgspec.Struct, frozen=True):
    """Start another actor again."""

    name: str


class KillHelper(msgspec.Struct, frozen=True):
    """Kill another actor: it does not answer."""

    name: str


class UseEngine(msgspec.Struct, frozen=True):
    """Workers and spares that are started from now on run this QUIC engine."""

    engine: QuicEngine


class Renew(msgspec.Struct, frozen=True):
    """Ask for another tunnel; `Begin` or `RenewFailed` is the answer."""


class Announce(msgspec.Struct, frozen=True):
    """Tell the world."""

    event: events.Event


class Finish(msgspec.Struct, frozen=True):
    """The end: of a stop that was asked for, or because of `error`."""

    error: TunnelError | None


Command = SpawnWorker | KillWorker | DrainWorker | SpawnHelper | KillHelper | UseEngine | Renew | Announce | Finish
