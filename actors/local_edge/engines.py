"""The server's end of a QUIC connection, by engine."""

from actors import trust
from actors.local_edge.certificates import Certificates
from actors.local_edge.edge_engine import EdgeEngine, MakeEngine
from actors.local_edge.tls import EdgeConnection
from actors.quic_worker.engines.aioquic_engine import AioquicEngine, server_configuration


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


def edge_engines(certificates: Certificates, server_names: tuple[str, ...]) -> MakeEngine:
    """For servers with these certificates, for clients that ask for one of `server_names`."""
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
