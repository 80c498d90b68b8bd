"""The edge's side of one connection: it answers registrations, and opens streams for requests and calls."""

import asyncio
from typing import Any, Final

from actors.errors import EdgeProtocolError
from actors.local_edge.quic_server import ServerConnection, Session
from actors.local_edge.registry import Connection, Refused, Registry
from actors.processes.log import Logger
from actors.quic_worker.connection import Stream, StreamHandler
from actors.quic_worker.engine import Closed
from actors.wire import rpc
from actors.wire.connect import RPC_SIGNATURE, ConnectRequest, encode_request

SERVER_NAME: Final = "quic.cftunnel.com"
PROBE_NAME: Final = "probe.cftunnel.com"
"""Clients check with it whether UDP passes: a handshake, and nothing after it."""

CALL_TIMEOUT: Final = 5.0
"""Seconds that a client has to answer a call."""

LOCATION: Final = "lab01"
"""The point of presence that registrations are told."""

EdgeRegistry = Registry["EdgeSession"]


class EdgeSession(Session):
    """One client's connection."""

    def __init__(self, connection: ServerConnection, registry: EdgeRegistry, log: Logger) -> None:
        self.connection = connection
        self._registry = registry
        self._log = log
        self.registered: Connection[EdgeSession] | None = None

    # --- from the connection ---

    def handshake_completed(self) -> None:
        self._registry.note("handshake", server_name=self.connection.edge_engine.client_server_name)

    def accept(self, stream: Stream) -> None:
        if stream.id == 0 and self.connection.edge_engine.client_server_name == SERVER_NAME:
            stream.handler = ControlHandler(self, stream)
        else:
            stream.handler = _Ignored()
            stream.reset()
            stream.stop()

    def closed(self, why: Closed) -> None:
        if self.registered is not None:
            self._registry.note(
                "closed",
                connection=str(self.registered.id),
                index=self.registered.index,
                error_code=why.error_code,
                reason=why.reason,
                application=why.is_application,
            )
            self._registry.remove(self.registered.id)

    # --- calls of the client on the control stream ---

    def register(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """Answer `registerConnection`, or return None for silence."""
        if self.registered is not None:
            outcome: Connection[EdgeSession] | Refused | None = Refused("this connection is registered already")
        else:
            outcome = self._registry.register(self, params)
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
        }
        if outcome is None:
            self._registry.note("ignored", **about)
            return None
        if isinstance(outcome, Refused):
            self._registry.note("refused", cause=outcome.cause, **about)
            error = {
                "cause": outcome.cause,
                "retryAfter": int(outcome.retry_after * 1e9),
                "shouldRetry": outcome.should_retry,
            }
            return {"result": {"result": {"error": error}}}
        self.registered = outcome
        self._registry.note(
            "registered",
            connection=str(outcome.id),
            tunnel=str(outcome.tunnel.id),
            hostname=outcome.tunnel.hostname,
            **about,
        )
        details = {"uuid": outcome.id.bytes, "locationName": LOCATION, "tunnelIsRemotelyManaged": False}
        return {"result": {"result": {"connectionDetails": details}}}

    def unregister(self) -> None:
        """Answer `unregisterConnection`: no new requests; those in flight go on."""
        if self.registered is not None:
            self.registered.draining = True
            self._registry.note("unregistered", connection=str(self.registered.id), index=self.registered.index)

    def configure(self, config: bytes) -> None:
        """Answer `updateLocalConfiguration`."""
        self._registry.note("configuration", config=config.decode(errors="replace"))

    # --- streams towards the client ---

    def open_request(self, request: ConnectRequest, handler: StreamHandler) -> Stream:
        """Open a request stream."""
        self._registry.streams += 1
        stream = self.connection.open_stream(lambda stream: handler)
        stream.write(encode_request(request))
        return stream

    def open_raw(self, data: bytes, handler: StreamHandler, *, fin: bool) -> Stream:
        """Open a stream with any bytes."""
        stream = self.connection.open_stream(lambda stream: handler)
        stream.write(data, fin=fin)
        return stream

    async def call(self, method: rpc.Method, params: rpc.Struct) -> rpc.Struct:
        """Call a method of the client's CloudflaredServer on a stream of its own.

        Raises:
            EdgeProtocolError: no answer, an exception, or bytes that are no RPC.
        """
        handler = CallHandler()
        question = handler.session.call(method, params)
        handler.stream = self.open_raw(RPC_SIGNATURE + handler.session.take_output(), handler, fin=False)
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                event = await handler.answer
        except TimeoutError:
            raise EdgeProtocolError(f"the client did not answer {method.name} within {CALL_TIMEOUT:.0f} s") from None
        finally:
            handler.stream.write(handler.session.take_output(), fin=True)
        if isinstance(event, rpc.Returned) and event.question == question:
            return event.results
        raise EdgeProtocolError(f"the client answered {event}")


class _Ignored:
    """A stream that nobody reads."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def reset_received(self) -> None: ...
    def stop_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class CallHandler(_Ignored):
    """The edge's end of an RPC stream that it opened."""

    def __init__(self) -> None:
        self.session = rpc.RpcSession(serves=False)
        self.stream: Stream | None = None
        self.answer: asyncio.Future[rpc.Event] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        assert self.stream is not None
        self.stream.consumed(len(data))
        try:
            for event in self.session.receive(data):
                if not self.answer.done():
                    self.answer.set_result(event)
        except EdgeProtocolError as error:
            if not self.answer.done():
                self.answer.set_exception(error)

    def reset_received(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(EdgeProtocolError("the client reset the stream"))


class ControlHandler(_Ignored):
    """The control stream of a client."""

    def __init__(self, session: EdgeSession, stream: Stream) -> None:
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
