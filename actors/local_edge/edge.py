"""The edge's side of one client's connection, whatever carries it: it answers what the client asks."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from actors.bus import messages
from actors.errors import EdgeProtocolError
from actors.local_edge.registry import Connection, Refused, Registry
from actors.quic_worker.connection import StreamHandler
from actors.wire import rpc
from actors.wire.connect import ConnectRequest

PROBE_NAME: Final = "probe.cftunnel.com"
"""Clients check with it what passes: a handshake, and nothing after it."""

CALL_TIMEOUT: Final = 5.0
"""Seconds that a client has to answer a call."""

LOCATION: Final = "lab01"
"""The point of presence that registrations are told."""

EdgeRegistry = Registry["EdgeSession"]


class EdgeStream(Protocol):
    """A stream that the edge opened. Its handler is told of what comes in QUIC's words, whatever carries it."""

    sending: bool

    def write(self, data: bytes, *, fin: bool = False) -> None: ...
    def consumed(self, count: int) -> None: ...

    def reset(self) -> None:
        """Give up sending."""

    def stop(self) -> None:
        """Ask the client to give up sending."""


class Link(Protocol):
    """What carries a client's streams."""

    protocol: messages.Protocol

    @property
    def is_frozen(self) -> bool:
        """For tests: nothing is read and nothing is sent, as if the network had died."""

    def freeze(self, silent: bool) -> None:
        """Let the network to this client die, or live again."""

    def round_trip_time(self) -> float:
        """In seconds; 0 while it is not known."""

    @property
    def heard(self) -> Callable[[], int] | None:
        """Counts what came from the client; None where the loss of a connection is told as it happens."""

    def close(self, error_code: int, reason: str) -> None:
        """End the connection."""

    def open_request(self, request: ConnectRequest, handler: StreamHandler) -> EdgeStream:
        """Open a stream for a request; its body is written to it."""

    def open_raw(self, data: bytes, handler: StreamHandler, *, fin: bool) -> EdgeStream:
        """Open a stream with any bytes.

        Raises:
            UsageError: this way has no such streams.
        """

    async def call(self, method: rpc.Method, params: rpc.Struct) -> rpc.Struct:
        """Call a method of the client's CloudflaredServer.

        Raises:
            EdgeProtocolError: no answer, an exception, or bytes that are no RPC.
        """


class EdgeSession:
    """One client's connection."""

    def __init__(self, link: Link, registry: EdgeRegistry) -> None:
        self.link = link
        self.registry = registry
        self.registered: Connection[EdgeSession] | None = None

    # --- from the link ---

    def begun(self, server_name: str) -> None:
        """The handshake is complete."""
        self.registry.note("handshake", server_name=server_name, protocol=self.link.protocol)

    def lost(self, error_code: int, reason: str, *, is_application: bool) -> None:
        """The connection has ended."""
        registered, self.registered = self.registered, None
        if registered is not None:
            self.registry.note(
                "closed",
                connection=str(registered.id),
                index=registered.index,
                error_code=error_code,
                reason=reason,
                application=is_application,
            )
            self.registry.remove(registered.id)

    # --- calls of the client on the control stream ---

    def register(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """Answer `registerConnection`, or return None for silence."""
        if self.registered is not None:
            outcome: Connection[EdgeSession] | Refused | None = Refused("this connection is registered already")
        else:
            outcome = self.registry.register(self, params)
        index = params["connIndex"]
        client = params.get("options", {}).get("client", {})
        about = {
            "index": index,
            "version": client.get("version", ""),
            "arch": client.get("arch", ""),
            "features": client.get("features", []),
            "client_id": client.get("clientId", b"").hex(),
            "previous_attempts": params.get("options", {}).get("numPreviousAttempts", 0),
            "replace_existing": params.get("options", {}).get("replaceExisting", False),
            "origin_local_ip": params.get("options", {}).get("originLocalIp", b"").hex(),
            "protocol": self.link.protocol,
        }
        if outcome is None:
            self.registry.note("ignored", **about)
            return None
        if isinstance(outcome, Refused):
            self.registry.note("refused", cause=outcome.cause, **about)
            error = {
                "cause": outcome.cause,
                "retryAfter": int(outcome.retry_after * 1e9),
                "shouldRetry": outcome.should_retry,
            }
            return {"result": {"result": {"error": error}}}
        self.registered = outcome
        outcome.heard = self.link.heard
        self.registry.note(
            "registered",
            connection=str(outcome.id),
            tunnel=str(outcome.tunnel.id),
            hostname=outcome.tunnel.hostname,
            **about,
        )
        details = {
            "uuid": outcome.id.bytes,
            "locationName": LOCATION,
            "tunnelIsRemotelyManaged": outcome.tunnel.remotely_managed,
        }
        return {"result": {"result": {"connectionDetails": details}}}

    def unregister(self) -> None:
        """Answer `unregisterConnection`: no new requests; those in flight go on."""
        if self.registered is not None:
            self.registered.draining = True
            self.registry.note("unregistered", connection=str(self.registered.id), index=self.registered.index)

    def configure(self, config: bytes) -> None:
        """Answer `updateLocalConfiguration`."""
        if self.registered is not None:
            self.registered.tunnel.learn(config)
        self.registry.note("configuration", config=config.decode(errors="replace"))


class Ignored:
    """A stream that nobody reads."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def reset_received(self) -> None: ...
    def stop_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class ControlHandler(Ignored):
    """The control stream of a client."""

    def __init__(self, session: EdgeSession, stream: EdgeStream) -> None:
        self._session = session
        self._stream = stream
        self._rpc = rpc.RpcSession(serves=True)

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        try:
            for event in self._rpc.receive(data):
                if isinstance(event, rpc.Called):
                    self._answer(event)
        except EdgeProtocolError as error:
            self._rpc.abort(str(error))
            self._stream.write(self._rpc.take_output(), fin=True)
            return
        if output := self._rpc.take_output():
            self._stream.write(output)

    def _answer(self, call: rpc.Called) -> None:
        results: dict[str, Any] | None = {}
        match call.method.name:
            case "registerConnection":
                results = self._session.register(call.params)
            case "unregisterConnection":
                self._session.unregister()
            case "updateLocalConfiguration":
                self._session.configure(call.params.get("config", b""))
            case name:
                self._rpc.refuse(call.answer, f"{name} is not a method of the edge")
                return
        if results is not None:
            self._rpc.answer(call.answer, call.method, results)
