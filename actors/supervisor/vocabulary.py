"""What the policy is told, and what it answers: its events (facts) and its commands (imperatives). Pure.

Counterparts: `policy.py` judges them, `runner.py` makes the events of what happens and carries the commands out.
"""

from dataclasses import dataclass

from actors import events
from actors.errors import TunnelError
from actors.messages import EdgeAddress
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.readiness import Visibility

# --- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """There is a tunnel, the first one or (after `Renew`) another."""

    url: str
    tunnel_id: str
    edges: EdgeAddresses
    visibility: Visibility
    """NOT_ASKED, or UNSEEN if the name's own servers are going to be asked."""


@dataclass(frozen=True)
class NameSeen:
    """The name of `url` is in DNS; or (not `found`) it was asked for long enough."""

    url: str
    found: bool


@dataclass(frozen=True)
class ProbeSeen:
    """The public URL was fetched."""

    url: str
    reachable: bool
    message: str


@dataclass(frozen=True)
class NetworkSeen:
    """How this machine reaches the edge has changed."""

    sources: frozenset[str]
    """The addresses of this machine from which the edge can be reached; none: there is no route."""
    resolver_answers: bool


@dataclass(frozen=True)
class RenewFailed:
    """No other tunnel was to be had."""

    error: TunnelError


@dataclass(frozen=True)
class WorkerEvent:
    """Something of one worker. One of an earlier generation changes nothing."""

    slot: int
    generation: int


@dataclass(frozen=True)
class WorkerReady(WorkerEvent):
    """The process is up and dials."""


@dataclass(frozen=True)
class WorkerRegistered(WorkerEvent):
    """The edge took its registration."""

    location: str
    connection_id: str
    key_exchange: str


@dataclass(frozen=True)
class WorkerBeat(WorkerEvent):
    """It lives."""


@dataclass(frozen=True)
class WorkerStopped(WorkerEvent):
    """Its last word; the process ends next."""

    end: WorkerEnd
    message: str
    retry_after: float


@dataclass(frozen=True)
class WorkerExited(WorkerEvent):
    """The process has ended (negative: the signal that killed it)."""

    status: int


@dataclass(frozen=True)
class HelperExited:
    """Another child than a worker has ended."""

    name: str
    status: int


@dataclass(frozen=True)
class HelperReady:
    """Another actor is up."""

    name: str


@dataclass(frozen=True)
class HelperBeat:
    """Another actor lives."""

    name: str


@dataclass(frozen=True)
class Tick:
    """Time passes."""


@dataclass(frozen=True)
class StopAsked:
    """Somebody wants an orderly end."""

    grace: float


PolicyEvent = (
    Begin
    | WorkerReady
    | WorkerRegistered
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
)

# --- commands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpawnWorker:
    """Start a worker process."""

    slot: int
    generation: int
    edge: EdgeAddress
    previous_attempts: int
    replace_existing: bool
    from_spare: bool
    """The spare, up or still on its way, gets the orders, and is the spare no more."""


@dataclass(frozen=True)
class KillWorker:
    """Kill it: it does not listen."""

    slot: int
    generation: int


@dataclass(frozen=True)
class DrainWorker:
    """Tell it to unregister, finish and end."""

    slot: int
    generation: int
    grace: float


@dataclass(frozen=True)
class SpawnHelper:
    """Start another actor again."""

    name: str


@dataclass(frozen=True)
class KillHelper:
    """Kill another actor: it does not answer."""

    name: str


@dataclass(frozen=True)
class Renew:
    """Ask for another tunnel; `Begin` or `RenewFailed` is the answer."""


@dataclass(frozen=True)
class Announce:
    """Tell the world."""

    event: events.Event


@dataclass(frozen=True)
class Finish:
    """The end: of a stop that was asked for, or because of `error`."""

    error: TunnelError | None


Command = SpawnWorker | KillWorker | DrainWorker | SpawnHelper | KillHelper | Renew | Announce | Finish
