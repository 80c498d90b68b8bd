"""Tunnels, the connections registered for them, and what a test wants the edge to answer. Pure."""

import base64
import json
import secrets
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Generic, TypeVar

from actors.errors import UsageError
from actors.local_edge.hostnames import fit, named_by, without_port
from actors.wire.registration import DUPLICATE_CONNECTION

MAX_LOG: Final = 10_000
"""Entries of the log that are kept: enough for a long test."""

MAX_TUNNELS: Final = 10_000

SECRET_BYTES: Final = 32

SILENCE: Final = 0.25
"""Seconds without a datagram after a request; then a connection counts as silent, since a client acknowledges within
25 ms. It is passed over while others speak: it may be dead, which over UDP nobody says before the idle timeout."""

_WORDS: Final = tuple(resources.files("actors.local_edge").joinpath("words.txt").read_text("ascii").split())
"""Short, common and harmless words, for names that can be read aloud."""


@dataclass(eq=False)
class Tunnel:
    """A tunnel: a quick one, which the API gave away, or a named one, which was made known."""

    id: uuid.UUID
    name: str
    given: str
    """The hostname that it has from the edge, with the front's port."""
    account_tag: str
    secret: bytes = field(repr=False)
    is_quick: bool = True
    remotely_managed: bool = False
    """What registrations are told: its rules are the edge's to push."""
    hostnames: tuple[str, ...] = ()
    """Those that it was given besides; with any it has no others."""
    configured: tuple[str, ...] = ()
    """Those that its configuration names."""
    turn: int = 0
    """Requests that were given to its connections."""

    @property
    def names(self) -> tuple[str, ...]:
        """All by which visitors come to it."""
        return self.hostnames or (self.given, *self.configured)

    @property
    def hostname(self) -> str:
        """The one that is told: a name that its rules know, if they know any."""
        if self.hostnames:
            return self.hostnames[0]
        return next((name for name in self.configured if not name.startswith("*")), self.given)

    @property
    def token(self) -> str:
        """What `tunnel-supervisor run` and the official client take."""
        said = {"a": self.account_tag, "t": str(self.id), "s": base64.b64encode(self.secret).decode()}
        return base64.b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()

    def learn(self, configuration: bytes) -> None:
        """Its client works by this configuration: the names in it lead here, as DNS would lead them at the service."""
        if not self.is_quick:
            self.configured = named_by(configuration)


S = TypeVar("S")


@dataclass(eq=False)
class Connection(Generic[S]):
    """A registered connection. `session` is whoever can open streams on it."""

    id: uuid.UUID
    tunnel: Tunnel
    index: int
    session: S
    client: dict[str, Any]
    draining: bool = False
    """It has unregistered: no new requests."""
    heard: Callable[[], int] | None = None
    """Counts what came from the client; None: its loss is told as it happens."""
    _asked: tuple[float, int] | None = None
    """When it was given a request, and what had been heard by then; None if something was heard since."""

    @property
    def client_id(self) -> bytes:
        """Which process it is of: replicas of a tunnel have the same indices."""
        return bytes(self.client["clientId"])

    def asked(self, now: float) -> None:
        """It is given a request."""
        if self.heard is not None and self._asked is None:
            self._asked = now, self.heard()

    def is_silent(self, now: float) -> bool:
        """Whether it was given a request, and has not said a word since, for longer than a living one takes."""
        if self._asked is None or self.heard is None:
            return False
        at, heard = self._asked
        if self.heard() != heard:
            self._asked = None
            return False
        return now - at > SILENCE


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
        """Make a quick tunnel with a name of four words under `domain`."""
        name = "-".join(secrets.choice(_WORDS) for _ in range(4))
        return self._keep(
            Tunnel(
                id=uuid.uuid4(),
                name=f"qt-{secrets.token_urlsafe(12)}",
                given=f"{name}.{domain}",
                account_tag=secrets.token_hex(16),
                secret=secrets.token_bytes(SECRET_BYTES),
            )
        )

    def new_named(self, domain: str) -> Tunnel:
        """Make a named tunnel, whose token is for as many clients as want it."""
        return self.know(uuid.uuid4(), secrets.token_hex(16), secrets.token_bytes(SECRET_BYTES), domain)

    def know(self, tunnel_id: uuid.UUID, account_tag: str, secret: bytes, domain: str) -> Tunnel:
        """Make a named tunnel known that somebody has a token of. Its hostname is its id, under `domain`.

        Raises:
            UsageError: it is known already.
        """
        if tunnel_id in self._tunnels:
            raise UsageError(f"tunnel {tunnel_id} is known already")
        given = f"{tunnel_id}.{domain}"
        return self._keep(Tunnel(tunnel_id, str(tunnel_id), given, account_tag, secret, is_quick=False))

    def _keep(self, tunnel: Tunnel) -> Tunnel:
        """Forget the oldest when there are too many."""
        while len(self._tunnels) >= MAX_TUNNELS:
            del self._tunnels[next(iter(self._tunnels))]
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
        tunnel = self.tunnel(tunnel_id)
        del self._tunnels[tunnel.id]
        dropped = self.connections(tunnel)
        for entry in dropped:
            self.remove(entry.id)
        return dropped

    def tunnel(self, tunnel_id: str) -> Tunnel:
        """One of them.

        Raises:
            UsageError: there is none of that id.
        """
        for tunnel in self._tunnels.values():
            if str(tunnel.id) == tunnel_id:
                return tunnel
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
        client_id = client.get("clientId", b"")
        if len(client_id) != 16:
            return Refused("client id is no UUID")
        for held in self.connections(tunnel):
            if held.client_id == client_id and held.index == index and not held.draining:
                if not options.get("replaceExisting"):
                    return Refused(DUPLICATE_CONNECTION, should_retry=True)
                self.remove(held.id)
        connection = Connection(uuid.uuid4(), tunnel, index, session, dict(client))
        self._connections[connection.id] = connection
        return connection

    def remove(self, connection_id: uuid.UUID) -> None:
        """The connection is gone."""
        self._connections.pop(connection_id, None)

    def connections(self, tunnel: Tunnel | None = None) -> list[Connection[S]]:
        """All that are registered, draining ones too; those of one tunnel, if it is named."""
        return [entry for entry in self._connections.values() if tunnel is None or entry.tunnel is tunnel]

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
        return list(dict.fromkeys(entry.tunnel for entry in self._connections.values() if not entry.draining))

    def route(self, host: str, now: float) -> Connection[S] | None:
        """The connection whose turn it is to serve a request for `host`, in any case and with any port.

        Each of a tunnel's connections has its turn, whichever process it is of; but one that has fallen silent has none
        while another speaks. A host that is no tunnel's is served as well while all connections are of one tunnel:
        tests send odd ones.
        """
        tunnel = self._tunnel_of(without_port(host))
        if tunnel is None:
            return None
        serving = [entry for entry in self.connections(tunnel) if not entry.draining]
        speaking = [entry for entry in serving if not entry.is_silent(now)] or serving
        tunnel.turn += 1
        chosen = speaking[tunnel.turn % len(speaking)]
        chosen.asked(now)
        return chosen

    def _tunnel_of(self, host: str) -> Tunnel | None:
        serving = self.serving()
        fits = [max(fit(name, host) for name in tunnel.names) for tunnel in serving]
        if any(fits):
            return serving[fits.index(max(fits))]
        return serving[0] if len(serving) == 1 else None

    def note(self, event: str, **details: Any) -> None:
        """Write a line of the log."""
        self._notes += 1
        self.log.append({"seq": self._notes, "event": event, **details})
