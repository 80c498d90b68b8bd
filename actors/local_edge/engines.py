"""The server's end of a QUIC connection, by engine: what the edge asks of it beyond what a client does."""

from typing import Protocol

from actors import trust
from actors.local_edge.certificates import Certificates
from actors.local_edge.tls import EdgeConnection
from actors.messages import QuicEngine
from actors.quic_worker.engine import Engine
from actors.quic_worker.engines.aioquic_engine import AioquicEngine, server_configuration


class EdgeEngine(Engine, Protocol):
    """A server's engine."""

    @property
    def connection_id(self) -> bytes:
        """The first of those by which packets will find it."""

    @property
    def client_server_name(self) -> str:
        """The name that the client asked for; empty before its hello."""

    @property
    def has_begun(self) -> bool:
        """Whether a first packet was understood: before it there is nobody to send to."""


class MakeEngine(Protocol):
    """Makes one for a client's first destination connection id; `retry_source_id`: ours, in a Retry that preceded."""

    def __call__(self, destination_id: bytes, *, retry_source_id: bytes | None = None) -> EdgeEngine: ...


class AioquicEdgeEngine(AioquicEngine):
    """aioquic's."""

    def __init__(self, quic: EdgeConnection) -> None:
        super().__init__(quic)
        self._quic = quic

    @property
    def connection_id(self) -> bytes:
        return self._quic.host_cid

    @property
    def client_server_name(self) -> str:
        return self._quic.client_server_name

    @property
    def has_begun(self) -> bool:
        return self._quic.has_begun


def edge_engines(kind: QuicEngine, certificates: Certificates, server_names: tuple[str, ...]) -> MakeEngine:
    """For servers with these certificates, for clients that ask for one of `server_names`."""
    if kind == "qh3":
        from actors.local_edge.qh3_edge import qh3_edge_engines  # here, since it is not always installed

        return qh3_edge_engines(certificates, server_names)
    configuration = server_configuration(
        alpn=trust.ALPN, certificate=certificates.certificate, private_key=certificates.private_key
    )

    def make(destination_id: bytes, *, retry_source_id: bytes | None = None) -> EdgeEngine:
        quic = EdgeConnection(
            configuration=configuration,
            original_destination_connection_id=destination_id,
            retry_source_connection_id=retry_source_id,
        )
        quic.server_names = server_names
        return AioquicEdgeEngine(quic)

    return make
