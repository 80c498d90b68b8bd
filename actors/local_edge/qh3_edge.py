"""The edge with qh3 as its engine. It cannot serve the Go client, whose source connection id is empty."""

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from qh3 import tls
from qh3._hazmat import Buffer

from actors import trust
from actors.local_edge.certificates import Certificates
from actors.local_edge.edge_engine import MakeEngine
from actors.local_edge.tls import UnknownServerName
from actors.quic_worker.engines.qh3_connection import Context, Qh3Connection
from actors.quic_worker.engines.qh3_engine import Qh3Engine, server_configuration


class Qh3EdgeEngine(Qh3Engine):
    """qh3's."""

    @property
    def connection_id(self) -> bytes:
        return self._connection.host_cid

    @property
    def client_server_name(self) -> str:
        context = self._connection.tls
        return context.client_server_name if isinstance(context, EdgeContext) else ""

    @property
    def has_begun(self) -> bool:
        return self._connection.core is not None


class EdgeContext(Context):
    """qh3's TLS context, as the edge behaves."""

    server_names: tuple[str, ...] = ()
    client_server_name: str = ""

    def _server_handle_hello(self, input_buf: Buffer, *buffers: Any) -> None:
        start = input_buf.tell()
        name = tls.pull_client_hello(input_buf).server_name
        input_buf.seek(start)
        if name not in self.server_names:
            raise UnknownServerName(name)
        self.client_server_name = name or ""
        super()._server_handle_hello(input_buf, *buffers)


def qh3_edge_engines(certificates: Certificates, server_names: tuple[str, ...]) -> MakeEngine:
    """For servers with these certificates, for clients that ask for one of `server_names`."""
    configuration = server_configuration(
        alpn=trust.ALPN,
        certificate=certificates.certificate.public_bytes(Encoding.PEM),
        private_key=certificates.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )

    class ServingContext(EdgeContext):
        pass

    ServingContext.server_names = server_names

    def make(destination_id: bytes, *, retry_source_id: bytes | None = None) -> Qh3EdgeEngine:
        connection = Qh3Connection(
            configuration,
            original_destination_connection_id=destination_id,
            retry_source_connection_id=retry_source_id,
        )
        connection.context_class = ServingContext
        return Qh3EdgeEngine(connection)

    return make
