"""What each child is told at its start. Pure, but for the names of things."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from actors.bus.addresses import HostPort
from actors.bus.messages import (
    ChildOrders,
    Credentials,
    Curve,
    HelloWorldOrders,
    Inspection,
    InspectorOrders,
    LocalEdgeOrders,
    MetricsOrders,
    QuicEngine,
    SpareOrders,
    Transport,
    WorkerOrders,
)
from actors.bus.routes import Origin, Routes
from actors.supervisor.children import Name
from actors.supervisor.proxies import DIRECTLY, ProxyRules
from actors.supervisor.restart import SPARE
from actors.supervisor.settings import Inspecting
from actors.supervisor.vocabulary import SpawnWorker

NO_ROUTES: Final = Routes()


@dataclass
class OrderBook:
    """All that children need to know; what is learnt later is filled in then."""

    control_endpoint: str
    deltas_endpoint: str
    events_endpoint: str
    metrics_endpoint: str
    guarded_metrics_endpoint: str | None
    curve: Curve | None
    metrics_http: HostPort | None
    run_folder: Path
    client_id: bytes
    """One per supervisor: the edge tells connectors apart by it."""
    max_streams: int
    log_requests: bool
    transport: Transport
    log_level: str
    log_json: bool
    edge_ca: str | None
    local_edge_tls: bool
    as_cloudflare: bool
    page: Origin | None = None
    """The hello-world page, once that is up."""
    routes: Routes = NO_ROUTES
    """Where requests go now."""
    ingress: str = "[]"
    """The same as the edge is told it: JSON."""
    takes_configuration: bool = False
    """Whether the edge may push rules."""
    own: Credentials | None = None
    """Of a tunnel of one's own: a local edge has to be told of it."""
    credentials: Credentials | None = None
    proxies: ProxyRules = DIRECTLY
    inspecting: Inspecting | None = None
    """What was asked for of the inspector."""
    origin_ports: tuple[int, ...] = ()
    """Where origins of this machine may come to listen yet."""
    inspector: HostPort | None = None
    """Where it serves, once it is up; started again, it comes back there."""
    guard_file: str | None = None

    def learn(self, endpoints: dict[str, dict[str, str]]) -> None:
        """Take in what the children that are up have bound, by actor and purpose."""
        metrics = endpoints["metrics"]
        self.metrics_endpoint = metrics["metrics"]
        self.guarded_metrics_endpoint = metrics.get("guarded")
        self.metrics_http = HostPort.parse(metrics["http"]) if "http" in metrics else None
        if (inspector := endpoints.get("inspector")) is not None:
            self.inspector = HostPort.parse(inspector["http"])
        if (page := endpoints.get("hello_world")) is not None:
            self.learn_page(page)
        if (edge := endpoints.get("local_edge")) is not None:
            self.edge_ca = edge["ca"]

    def learn_page(self, bound: dict[str, str]) -> Origin:
        """Take in where the hello-world page is, which is up; return that."""
        address = HostPort.parse(bound["http"])
        self.page = Origin(host=address.host, port=address.port)
        return self.page

    def use_engine(self, engine: QuicEngine) -> None:
        """Whoever is started from now on runs this QUIC engine."""
        self.transport = msgspec.structs.replace(self.transport, engine=engine)

    def worker(self, name: Name, command: SpawnWorker) -> WorkerOrders:
        """For a worker. There are credentials by then."""
        assert self.credentials is not None
        return WorkerOrders(
            *self._basics(name),
            slot=name.slot,
            generation=name.generation,
            credentials=self.credentials,
            edge=command.edge,
            edge_ca_file=self.edge_ca,
            client_id=self.client_id,
            previous_attempts=command.previous_attempts,
            replace_existing=command.replace_existing,
            routes=self.routes,
            ingress=self.ingress,
            takes_configuration=self.takes_configuration,
            max_streams=self.max_streams,
            deltas_endpoint=self.deltas_endpoint,
            log_requests=self.log_requests,
            transport=self.transport,
            protocol=command.protocol,
            proxy=self.proxies.for_edge(command.edge) if command.protocol == "http2" else None,
            inspection=self._inspection(),
            guard_file=self.guard_file,
        )

    @property
    def _inspection_endpoint(self) -> str:
        return f"ipc://{self.run_folder}/inspection"

    def _inspection(self) -> Inspection | None:
        if self.inspecting is None or self.inspector is None:
            return None
        return Inspection(self._inspection_endpoint, self.inspecting.body_limit, self.inspector)

    def helper(self, name: Name) -> ChildOrders:
        """For another actor."""
        basics = self._basics(name)
        match name.actor:
            case "metrics":
                return MetricsOrders(
                    *basics,
                    metrics_endpoint=self.metrics_endpoint,
                    guarded_endpoint=self.guarded_metrics_endpoint,
                    curve=self.curve,
                    deltas_endpoint=self.deltas_endpoint,
                    events_endpoint=self.events_endpoint,
                    http=self.metrics_http,
                    connector_id=str(uuid.UUID(bytes=self.client_id)),
                )
            case "inspector":
                asked = self.inspecting
                assert asked is not None
                return InspectorOrders(
                    *basics,
                    endpoint=self._inspection_endpoint,
                    events_endpoint=self.events_endpoint,
                    http=self.inspector or asked.http,
                    may_move=asked.may_move and self.inspector is None,
                    avoid=list(self.origin_ports),
                    body_limit=asked.body_limit,
                    mask=list(asked.mask),
                    token=asked.token,
                    password=asked.password,
                    origin=str(self.routes.only_origin or ""),
                    hostnames=self.routes.hostnames,
                )
            case "local_edge":
                return LocalEdgeOrders(
                    *basics,
                    run_folder=str(self.run_folder),
                    tls=self.local_edge_tls,
                    as_cloudflare=self.as_cloudflare,
                    tunnel=self.own,
                )
            case _ if name.actor == SPARE:
                return SpareOrders(*basics, engine=self.transport.engine)
            case _:
                return HelloWorldOrders(*basics)

    def _basics(self, name: Name) -> tuple[str, str, str, bool]:
        return str(name), self.control_endpoint, self.log_level, self.log_json
