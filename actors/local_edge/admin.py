"""HTTP endpoints for tests: look at what is registered, break it, and send clients what no visitor could.

GET    /connections                       what is registered
GET    /tunnels                           what is known, with the secrets: to look for leaks of them
POST   /tunnels                           make a named tunnel known: one that somebody has a {"token"} of, or a new one;
                                          answers {"id", "hostname", "token"}
PATCH  /tunnels/{id}                      {"hostnames": […]}: the names that lead to it, in place of the one that it has
                                          by its id and those that its configuration names; {"remotely_managed": bool}:
                                          what registrations are told. POST /tunnels takes both too
POST   /tunnels/{id}/push                 {"version", "config", "connection"}: push a configuration (JSON; a text as it
                                          is) to all of its connections or one, over what each speaks; answers for each
                                          {"connection", "client_id", "index", "protocol", "latestAppliedVersion",
                                          "err"}, or {…, "failure"} if there is no answer within 5 s
DELETE /tunnels/{id}                      drop it and its connections, as the service does with those it reaps
GET    /log                               all that happened, oldest first
GET    /totals                            streams and body bytes, as the edge counted them
POST   /connections/{id}/drop             close it ({"error_code": 0, "reason": ""}), or {"silent": true}: forget it
POST   /connections/{id}/freeze, /thaw    read and send nothing, as if the network had died; and again
POST   /connections/{id}/goaway           over HTTP/2: GOAWAY ({"error_code": 0, "reason": ""}), and the end of the
                                          control stream ({"control": "fin" or "reset"})
POST   /network                           {"udp": "open"|"silent", "tcp": "open"|"silent"|"refused"}: what passes, and
                                          what a firewall drops
POST   /rules                             how the next registrations are answered (see registry.Rule)
DELETE /rules                             none any more
POST   /connections/{id}/stream           {"dest", "type", "metadata": [[key, value]…], "body", "fin"}, or
                                          {"raw": hex, "fin"}, or over HTTP/2 {"fields": [[name, value]…], …}:
                                          opens a stream;
                                          answers {"data": hex, "ended": "fin"|"reset"|"open", "stopped"}
POST   /connections/{id}/call             {"method", "params"} of CloudflaredServer (bytes as hex);
                                          answers its results
"""

import asyncio
import base64
import contextlib
import json
import uuid
from typing import Any, Final

from actors.errors import EdgeProtocolError, UsageError
from actors.local_edge.edge import EdgeRegistry, EdgeSession, EdgeStream
from actors.local_edge.h2_link import H2Link
from actors.local_edge.h2_server import H2Server
from actors.local_edge.pushes import push
from actors.local_edge.quic_server import QuicServer
from actors.local_edge.registry import Connection, Rule, Tunnel
from actors.web.pages import Answer, Asked, Handler, Pages, Route, as_json
from actors.wire import rpc
from actors.wire.connect import ConnectionType, ConnectRequest

STREAM_TIMEOUT: Final = 10.0
"""Seconds that `/stream` waits for the end of an answer, unless `timeout` says less."""

MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of an answer that `/stream` gathers."""


class _Collector:
    """Gathers what a client answers on a stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = "open"
        self.stopped = False
        self.done = asyncio.Event()
        self.stream: EdgeStream | None = None

    def data_received(self, data: bytes) -> None:
        assert self.stream is not None
        self.stream.consumed(len(data))
        self.data += data
        if len(self.data) > MAX_ANSWER:
            self.stream.stop()
            self.done.set()

    def eof_received(self) -> None:
        self.ended = "fin"
        self.done.set()

    def reset_received(self) -> None:
        self.ended = "reset"
        self.done.set()

    def stop_received(self) -> None:
        self.stopped = True

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


def make_admin(registry: EdgeRegistry, over_udp: QuicServer, over_tcp: H2Server, domain: str) -> Pages:
    """The admin endpoints; tunnels that are made known get names under `domain`."""

    def connection(asked: Asked) -> Connection[EdgeSession]:
        return registry.connection(asked.names["id"])

    async def connections(asked: Asked) -> Answer:
        return as_json(
            [
                {
                    "id": str(entry.id),
                    "tunnel": str(entry.tunnel.id),
                    "hostname": entry.tunnel.hostname,
                    "index": entry.index,
                    "draining": entry.draining,
                    "frozen": entry.session.link.is_frozen,
                    "client_id": entry.client.get("clientId", b"").hex(),
                    "version": entry.client.get("version", ""),
                    "rtt": entry.session.link.round_trip_time(),
                    "protocol": entry.session.link.protocol,
                }
                for entry in registry.connections()
            ]
        )

    async def tunnels(asked: Asked) -> Answer:
        return as_json(
            [
                {
                    "id": str(tunnel.id),
                    "hostname": tunnel.hostname,
                    "names": tunnel.names,
                    "remotely_managed": tunnel.remotely_managed,
                    "secret": tunnel.secret.hex(),
                }
                for tunnel in registry.tunnels()
            ]
        )

    async def know_tunnel(asked: Asked) -> Answer:
        options = asked.json()
        token = options.pop("token", None)
        tunnel = registry.new_named(domain) if token is None else registry.know(*_read_token(token), domain)
        _change(tunnel, options)
        return as_json({"id": str(tunnel.id), "hostname": tunnel.hostname, "token": tunnel.token})

    async def change_tunnel(asked: Asked) -> Answer:
        _change(registry.tunnel(asked.names["id"]), asked.json())
        return as_json({})

    async def push_to(asked: Asked) -> Answer:
        tunnel, options = registry.tunnel(asked.names["id"]), asked.json()
        only, config = options.get("connection"), options["config"]
        entries = [entry for entry in registry.connections(tunnel) if only in (None, str(entry.id))]
        if not entries:
            raise UsageError(f"tunnel {tunnel.id} has no {only or 'connection'}")
        text = config if isinstance(config, str) else json.dumps(config, separators=(",", ":"))
        answers = await push(tunnel, entries, int(options["version"]), text.encode())
        registry.note("pushed", tunnel=str(tunnel.id), version=options["version"], answers=answers)
        return as_json(answers)

    async def drop_tunnel(asked: Asked) -> Answer:
        for entry in registry.drop_tunnel(asked.names["id"]):
            entry.session.link.close(0, "the tunnel was dropped")
        return as_json({})

    async def log(asked: Asked) -> Answer:
        return as_json(list(registry.log))

    async def totals(asked: Asked) -> Answer:
        return as_json({"streams": registry.streams, "bytes_in": registry.bytes_in, "bytes_out": registry.bytes_out})

    async def drop(asked: Asked) -> Answer:
        entry, options = connection(asked), asked.json()
        link = entry.session.link
        if options.get("silent"):
            link.freeze(True)
            registry.remove(entry.id)
        else:
            link.close(int(options.get("error_code", 0)), str(options.get("reason", "")))
            registry.remove(entry.id)
        registry.note("dropped", connection=str(entry.id), silent=bool(options.get("silent")))
        return as_json({})

    async def freeze(asked: Asked) -> Answer:
        connection(asked).session.link.freeze(True)
        return as_json({})

    async def thaw(asked: Asked) -> Answer:
        connection(asked).session.link.freeze(False)
        return as_json({})

    async def add_rule(asked: Asked) -> Answer:
        registry.rules.append(Rule.from_json(asked.json()))
        return as_json({})

    async def clear_rules(asked: Asked) -> Answer:
        registry.rules.clear()
        return as_json({})

    async def stream(asked: Asked) -> Answer:
        entry, options = connection(asked), asked.json()
        collector = _Collector()
        collector.stream = _open_stream(entry.session, options, collector)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(options.get("timeout", STREAM_TIMEOUT))):
                await collector.done.wait()
        if collector.ended == "open":
            collector.stream.reset()
            collector.stream.stop()
        answer = {"data": collector.data.hex(), "ended": collector.ended, "stopped": collector.stopped}
        return as_json(answer)

    async def call(asked: Asked) -> Answer:
        entry, options = connection(asked), asked.json()
        methods = rpc.SESSIONS | rpc.CONFIGURATION
        method = methods.get(str(options.get("method")))
        if method is None:
            raise UsageError(f"method must be one of {', '.join(methods)}")
        try:
            results = await entry.session.link.call(method, _unhex(options.get("params", {})))
        except EdgeProtocolError as error:
            return as_json({"error": str(error)}, 502)
        return as_json(_hex(results))

    async def go_away(asked: Asked) -> Answer:
        entry, options = connection(asked), asked.json()
        code, reason = int(options.get("error_code", 0)), str(options.get("reason", ""))
        _h2(entry.session).go_away(code, reason, str(options.get("control", "")))
        return as_json({})

    async def network(asked: Asked) -> Answer:
        options = asked.json()
        if (udp := options.get("udp")) is not None:
            if udp not in ("open", "silent"):
                raise UsageError(f"udp must be open or silent, not {udp!r}")
            over_udp.is_silent = udp == "silent"
        if (tcp := options.get("tcp")) is not None:
            await over_tcp.treat(str(tcp))
        return as_json({})

    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/connections", connections),
        ("GET", "/tunnels", tunnels),
        ("POST", "/tunnels", know_tunnel),
        ("PATCH", "/tunnels/{id}", change_tunnel),
        ("POST", "/tunnels/{id}/push", push_to),
        ("DELETE", "/tunnels/{id}", drop_tunnel),
        ("GET", "/log", log),
        ("GET", "/totals", totals),
        ("POST", "/connections/{id}/drop", drop),
        ("POST", "/connections/{id}/freeze", freeze),
        ("POST", "/connections/{id}/thaw", thaw),
        ("POST", "/connections/{id}/stream", stream),
        ("POST", "/connections/{id}/call", call),
        ("POST", "/connections/{id}/goaway", go_away),
        ("POST", "/network", network),
        ("POST", "/rules", add_rule),
        ("DELETE", "/rules", clear_rules),
    ]
    return Pages(Route(method, path, _explained(handler)) for method, path, handler in routes)


def _explained(handler: Handler) -> Handler:
    """The same; what a test got wrong is its answer."""

    async def explained(asked: Asked) -> Answer:
        try:
            return await handler(asked)
        except (UsageError, ValueError, TypeError, KeyError) as error:
            return as_json({"error": f"{type(error).__name__}: {error}"}, 400)

    return explained


def _read_token(token: str) -> tuple[uuid.UUID, str, bytes]:
    """Tunnel, account and secret.

    Raises:
        ValueError, KeyError: it is no token.
    """
    said = json.loads(base64.b64decode(token, validate=True))
    return uuid.UUID(said["t"]), str(said["a"]), base64.b64decode(said["s"], validate=True)


def _change(tunnel: Tunnel, options: dict[str, Any]) -> None:
    if unknown := options.keys() - {"hostnames", "remotely_managed"}:
        raise UsageError(f"a tunnel has no {', '.join(sorted(unknown))}")
    tunnel.hostnames = tuple(map(str, options.get("hostnames", tunnel.hostnames)))
    tunnel.remotely_managed = bool(options.get("remotely_managed", tunnel.remotely_managed))


def _open_stream(session: EdgeSession, options: dict[str, Any], collector: _Collector) -> EdgeStream:
    fin = bool(options.get("fin", True))
    if "raw" in options:
        return session.link.open_raw(bytes.fromhex(options["raw"]), collector, fin=fin)
    stream: EdgeStream
    if "fields" in options:
        fields = [(str(name).encode("latin-1"), str(value).encode("latin-1")) for name, value in options["fields"]]
        stream = _h2(session).open_fields(fields, collector)
    else:
        kind = ConnectionType[str(options.get("type", "http")).upper()]
        metadata = tuple((str(key), str(value).encode("latin-1")) for key, value in options.get("metadata", []))
        stream = session.link.open_request(ConnectRequest(str(options["dest"]), kind, metadata), collector)
    stream.write(str(options.get("body", "")).encode("latin-1"), fin=fin)
    return stream


def _h2(session: EdgeSession) -> H2Link:
    if not isinstance(session.link, H2Link):
        raise UsageError("the connection is not over HTTP/2")
    return session.link


def _unhex(params: dict[str, Any]) -> dict[str, Any]:
    data = ("sessionId", "dstIp", "config")
    return {key: bytes.fromhex(value) if key in data else value for key, value in params.items()}


def _hex(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hex(entry) for key, entry in value.items()}
    return value.hex() if isinstance(value, bytes) else value
