"""Both ends of a QUIC connection on aioquic, for tests that drive their datagrams themselves."""

from typing import Final

from actors import trust
from actors.bus.messages import CongestionControl
from actors.local_edge.certificates import Certificates, make_certificates
from actors.local_edge.engines import edge_engines
from actors.quic_worker.engines.aioquic_engine import AioquicEngine, client_configuration

CERTIFICATES: Final[Certificates] = make_certificates((trust.EDGE_SERVER_NAME,))

make_edge_engine: Final = edge_engines(CERTIFICATES, (trust.EDGE_SERVER_NAME,))


def make_client_engine(*, congestion_control: CongestionControl = "bbr", post_quantum: bool = False) -> AioquicEngine:
    """A worker's engine that trusts `CERTIFICATES`."""
    configuration = client_configuration(
        server_name=trust.EDGE_SERVER_NAME,
        alpn=trust.ALPN,
        ca_file=None,
        ca_data=CERTIFICATES.authority_pem,
        congestion_control=congestion_control,
    )
    return AioquicEngine.client(configuration, post_quantum=post_quantum)
