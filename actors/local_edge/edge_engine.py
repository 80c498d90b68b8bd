"""What the edge asks of a QUIC engine beyond what a client does."""

from typing import Protocol

from actors.quic_worker.engine import PacketEngine


class EdgeEngine(PacketEngine, Protocol):
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
