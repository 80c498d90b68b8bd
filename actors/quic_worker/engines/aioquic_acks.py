"""aioquic's connection with acknowledgements that ride on data.

aioquic acknowledges a packet a millisecond after it came, in a packet that carries nothing else if need be, and never
before: an answer that is ready sooner leaves without it. So each request of a visitor who waits for his answer cost two
packets and a timer. `AckingConnection` puts the acknowledgement into what is sent anyway (RFC 9000 section 13.2.1), and
gives the answer to a lone packet some more time to be there.
"""

from typing import Final

from aioquic import tls
from aioquic.quic.connection import NetworkAddress

from actors.quic_worker.engine import Datagram
from actors.quic_worker.engines.aioquic_queue import QueuedConnection

LONE_DELAY: Final = 0.01
"""Seconds that the acknowledgement of a single packet waits for data: most origins on this machine answer sooner, and
it is less than the 25 ms that peers are told to expect. Of a second packet on, aioquic's own millisecond holds."""


class AckingConnection(QueuedConnection):
    """A connection that sends fewer packets with nothing but an acknowledgement."""

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        due = None if space is None else space.ack_at
        super().receive_datagram(data, addr, now)
        if space is not None and space.ack_at is not None:
            space.ack_at = now + LONE_DELAY if due is None else min(due, now + self._ack_delay)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        due = None if space is None else space.ack_at
        if space is None or due is None or due <= now or not self.has_data_to_send():
            return super().datagrams_to_send(now)
        space.ack_at = now
        datagrams = super().datagrams_to_send(now)
        if space.ack_at is not None:
            space.ack_at = due  # the pacer let nothing pass
        return datagrams
