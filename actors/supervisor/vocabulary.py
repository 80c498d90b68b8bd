"""What the policy is told, and what it answers: its events (facts) and its commands (imperatives).

Counterparts: `policy.py` judges them, `runner.py` makes the events of what happens and carries the commands out.
"""

from dataclasses import dataclass

from actors import events
from actors.errors import TunnelError
from actors.messages import EdgeAddress
from actors.quic_worker.ends import WorkerEnd

# --- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """Credentials and edge addresses are there."""


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
    | HelperBeat
    | HelperExited
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
class Announce:
    """Tell the world."""

    event: events.Event


@dataclass(frozen=True)
class Finish:
    """The end: of a stop that was asked for, or because of `error`."""

    error: TunnelError | None


Command = SpawnWorker | KillWorker | DrainWorker | SpawnHelper | KillHelper | Announce | Finish
