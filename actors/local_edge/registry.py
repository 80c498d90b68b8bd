"""Tunnels, the connections registered for them, and what a test wants the edge to answer. Pure."""

import itertools
import secrets
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Generic, TypeVar

from actors.errors import UsageError
from actors.wire.registration import DUPLICATE_CONNECTION

MAX_LOG: Final = 10_000
"""Entries of the log that are kept: enough for a long test."""

MAX_TUNNELS: Final = 10_000

SECRET_BYTES: Final = 32

_WORDS: Final = tuple(resources.files("actors.local_edge").joinpath("words.txt").read_text("ascii").split())
"""Short, common and harmless words, for names that can be read aloud."""


@dataclass(frozen=True)
class Tunnel:
    """A tunnel that the API gave away."""

    id: uuid.UUID
    name: str
    hostname: str
    account_tag: str
    secret: bytes = field(repr=False)


S = TypeVar("S")


@dataclass
class Connection(Generic[S]):
    """A registered connection. `session` is whoever can open streams on it."""

    id: uuid.UUID
    tunnel: Tunnel
    index: int
    session: S
    client: dict[str, Any]
    draining: bool = False
    """It has unregistered: no new requests."""


@dataclass(frozen=True)
class Refused:
    """The edge's answer to a registration that it does not take."""

    cause: str
    retry_after: float = 0.0
    should_retry: bool = False


@dataclass
class Rule:
    """What a test wants the next registrations to be answered."""

    refusal: Refused | None
    """None: no answer at all."""
    times: int
    index: int | None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Rule":
        """Read a rule.

        `{"answer": "permanent" | "retry" | "duplicate" | "silence", "cause", "retry_after", "times", "index"}`

        Raises:
            UsageError: it is none.
        """
        answer = value.get("answer")
        cause = str(value.get("cause", f"refused on request ({answer})"))
        refusals: dict[str, Refused | None] = {
            "permanent": Refused(cause),
            "retry": Refused(cause, retry_after=float(value.get("retry_after", 0.0)), should_retry=True),
            "duplicate": Refused(DUPLICATE_CONNECTION, should_retry=True),
            "silence": None,
        }
        if answer not in refusals:
            raise UsageError(f"answer must be one of {', '.join(refusals)}, not {answer!r}")
        index = value.get("index")
        return cls(refusals[answer], int(value.get("times", 1)), None if index is None else int(index))


class Registry(Generic[S]):
    """All that the edge knows."""

    def __init__(self) -> None:
        self._tunnels: dict[uuid.UUID, Tunnel] = {}
        self._connections: dict[uuid.UUID, Connection[S]] = {}
        self._turns = itertools.count()
        self.rules: list[Rule] = []
        self.log: deque[dict[str, Any]] = deque(maxlen=MAX_LOG)
        self.bytes_in = 0
        """Bodies and raw bytes, edge → client."""
        self.bytes_out = 0
        """Client → edge."""
        self.streams = 0
        self.in_flight: Counter[uuid.UUID] = Counter()
        """Visitors' requests that have not ended, by tunnel."""
        self._notes = 0

    def new_tunnel(self, domain: str) -> Tunnel:
        """Make a tunnel with a name of four words under `domain`, or forget the oldest when there are too many."""
        while len(self._tunnels) >= MAX_TUNNELS:
            del self._tunnels[next(iter(self._tunnels))]
        name = "-".join(secrets.choice(_WORDS) for _ in range(4))
        tunnel = Tunnel(
            id=uuid.uuid4(),
            name=f"qt-{secrets.token_urlsafe(12)}",
            hostname=f"{name}.{domain}",
            account_tag=secrets.token_hex(16),
            secret=secrets.token_bytes(SECRET_BYTES),
        )
        self._tunnels[tunnel.id] = tunnel
        return tunnel

    def tunnels(self) -> list[Tunnel]:
        """All that were given away and not dropped."""
        return list(self._tunnels.values())

    def drop_tunnel(self, tunnel_id: str) -> list[Connection[S]]:
        """Forget a tunnel, as the service does with idle ones; return the connections that it had.

        Raises:
            UsageError: there is none of that id.
        """
        for identifier in self._tunnels:
            if str(identifier) == tunnel_id:
                del self._tunnels[identifier]
                dropped = [entry for entry in self.connections() if entry.tunnel.id == identifier]
                for entry in dropped:
                    self.remove(entry.id)
                return dropped
        raise UsageError(f"there is no tunnel {tunnel_id!r}")

    def register(self, session: S, params: dict[str, Any]) -> Connection[S] | Refused | None:
        """Judge a registration; None means that it gets no answer."""
        index = params["connIndex"]
        for rule in self.rules:
            if rule.times > 0 and rule.index in (None, index):
                rule.times -= 1
                return rule.refusal
        try:
            tunnel = self._tunnels.get(uuid.UUID(bytes=params.get("tunnelId", b"")))
        except ValueError:
            return Refused("tunnel id is no UUID")
        auth = params.get("auth", {})
        if tunnel is None:
            return Refused("no such tunnel")
        if not secrets.compare_digest(tunnel.secret, auth.get("tunnelSecret", b"")):
            return Refused("Unauthorized: Invalid tunnel secret")
        if tunnel.account_tag != auth.get("accountTag"):
            return Refused("Unauthorized: the tunnel belongs to another account")
        options = params.get("options", {})
        client = options.get("client", {})
        if len(client.get("clientId", b"")) != 16:
            return Refused("client id is no UUID")
        for held in list(self._connections.values()):
            if held.tunnel.id == tunnel.id and held.index == index and not held.draining:
                if not options.get("replaceExisting"):
                    return Refused(DUPLICATE_CONNECTION, should_retry=True)
                self.remove(held.id)
        connection = Connection(uuid.uuid4(), tunnel, index, session, dict(client))
        self._connections[connection.id] = connection
        return connection

    def remove(self, connection_id: uuid.UUID) -> None:
        """The connection is gone."""
        self._connections.pop(connection_id, None)

    def connections(self) -> list[Connection[S]]:
        """All that are registered, draining ones too."""
        return list(self._connections.values())

    def connection(self, connection_id: str) -> Connection[S]:
        """One of them.

        Raises:
            UsageError: there is none of that id.
        """
        for identifier, connection in self._connections.items():
            if str(identifier) == connection_id:
                return connection
        raise UsageError(f"no connection {connection_id!r} is registered")

    def serving(self) -> list[Tunnel]:
        """The tunnels with a connection that takes requests."""
        return list({entry.tunnel.id: entry.tunnel for entry in self._serving()}.values())

    def route(self, host: str) -> Connection[S] | None:
        """The connection whose turn it is to serve a request for `host`, in any case and with any port.

        A host that is no tunnel's is served as well while all connections are of one tunnel: tests send odd ones.
        """
        serving = self._serving()
        matching = [entry for entry in serving if _name_in(entry.tunnel.hostname) == _name_in(host)]
        if not matching and len(self.serving()) == 1:
            matching = serving
        return matching[next(self._turns) % len(matching)] if matching else None

    def _serving(self) -> list[Connection[S]]:
        return [connection for connection in self._connections.values() if not connection.draining]

    def note(self, event: str, **details: Any) -> None:
        """Write a line of the log."""
        self._notes += 1
        self.log.append({"seq": self._notes, "event": event, **details})


def _name_in(host: str) -> str:
    """A Host field without its port, which is another one where the front's is forwarded."""
    return host.partition(":")[0].lower()
