"""qh3's connection, with what it lacks: more than 100 streams, a bound for datagrams, a say in the key exchange.

qh3 has no settings for these, so its inside is reached into; pyproject.toml pins the minor version. With a version that
is not known the connection works with 100 streams.
"""

from typing import Any, Final

import qh3
from qh3 import tls
from qh3._hazmat import Buffer, QuicConnectionCore
from qh3.quic import connection as qh3_connection
from qh3.quic import tls_bridge as qh3_tls_bridge
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.packet import QuicTransportParameters

from actors.quic_worker.engines import hybrid

KNOWN_VERSIONS: Final = ("2.1.",)
"""Releases of qh3 whose inside is known."""

MAX_STREAMS: Final = 2048
"""Streams that the peer may have open at once; qh3's own limit is 100, which it announces in one place and keeps to in
another."""

MAX_DATAGRAM_BYTES: Final = 1452
"""UDP payload: the edge takes no more. qh3 would search up to 1472."""

_STREAMS_ARGUMENT: Final = 21
"""Which argument of qh3's core is the number of bidirectional streams that the peer may open."""

_STREAMS_OF_QH3: Final = 100

_GROUP_NAMES: Final = {int(tls.Group.X25519ML768): hybrid.NAME, int(tls.Group.X25519): tls.Group.X25519.name}


def _core(*arguments: Any) -> QuicConnectionCore:
    """qh3's core, with room for more streams."""
    assert arguments[_STREAMS_ARGUMENT] == _STREAMS_OF_QH3, "not the qh3 that we know"
    roomy = list(arguments)
    roomy[_STREAMS_ARGUMENT] = MAX_STREAMS
    return QuicConnectionCore(*roomy)


def _transport_parameters(**arguments: Any) -> QuicTransportParameters:
    """What the peer is told, with the same number."""
    assert arguments["initial_max_streams_bidi"] == _STREAMS_OF_QH3, "not the qh3 that we know"
    return QuicTransportParameters(**{**arguments, "initial_max_streams_bidi": MAX_STREAMS})


def is_known() -> bool:
    """Whether this is a qh3 whose inside is known."""
    return qh3.__version__.startswith(KNOWN_VERSIONS)


if is_known():
    # In the process of a worker, where nobody else uses qh3.
    qh3_connection.QuicConnectionCore = _core  # type: ignore[assignment,attr-defined]
    qh3_tls_bridge.QuicTransportParameters = _transport_parameters  # type: ignore[assignment,attr-defined]


class Context(tls.Context):
    """qh3's TLS context, which tells what was agreed."""

    agreed_group = ""

    def _client_handle_hello(self, input_buf: Buffer, *buffers: Any) -> None:
        start = input_buf.tell()
        share = tls.pull_server_hello(input_buf).key_share
        input_buf.seek(start)
        super()._client_handle_hello(input_buf, *buffers)
        if share is not None:
            self.agreed_group = _GROUP_NAMES.get(share[0], f"{share[0]:#x}")


class Qh3Connection(qh3_connection.QuicConnection):
    """A QuicConnection of qh3."""

    context_class: type[tls.Context] = Context

    def __init__(self, configuration: QuicConfiguration, *, post_quantum: bool = False, **arguments: Any) -> None:
        super().__init__(configuration=configuration, **arguments)
        self._post_quantum = post_quantum
        self.is_held = False
        """Whether what the core has received is to stay there, where it uses up the peer's credit."""

    def _drain_core(self) -> None:
        if not self.is_held:
            super()._drain_core()

    def let_go(self) -> None:
        """Take what stayed in the core."""
        self.is_held = False
        self._drain_core()

    def _create_tls(self, remote_source_cid: bytes | None) -> qh3_tls_bridge.QuicTlsBridge:
        bridge = super()._create_tls(remote_source_cid)
        bridge.tls.__class__ = self.context_class
        if self._post_quantum:
            bridge.tls._supported_groups = [int(tls.Group.X25519ML768)]
        return bridge

    def _drain_tls(self) -> None:
        assert self._tls is not None
        if (told := self._tls.remote_transport_parameters) is not None:
            told.max_udp_payload_size = min(told.max_udp_payload_size or MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES)
        super()._drain_tls()

    @property
    def key_exchange(self) -> str:
        """The name of the group that was agreed; empty before the handshake, and of a server."""
        return self.tls.agreed_group if isinstance(self.tls, Context) else ""

    @property
    def is_draining(self) -> bool:
        """Whether the peer has closed the connection."""
        return self._core is not None and self._core.state == "draining"

    @property
    def close_event(self) -> Any:
        """What ended the connection, if it has ended."""
        return self._close_event

    @property
    def core(self) -> QuicConnectionCore | None:
        """The native part, before whose making there is nothing to ask."""
        return self._core
