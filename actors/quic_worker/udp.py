"""The UDP socket: datagrams in batches, both ways.

One wake-up reads until the socket is empty (with GRO, several datagrams a call), hands all of it on as one batch,
and what is to be sent leaves in groups of equal size (with GSO, one call a group). Where the kernel has neither, it is
a plain loop. That is what makes a Python QUIC stack fast enough: a system call costs more than the packet.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from actors.quic_worker.engine import Address, Datagram

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes of the kernel's receive and send buffers: 100 ms at 300 Mbit/s. The kernel takes as much as it allows."""

MAX_BATCH: Final = 64
"""Reads a wake-up may do before others get their turn, and datagrams in one GSO group (the kernel's own bound)."""

MAX_GROUP_BYTES: Final = 60_000
"""Bytes of one GSO group: below the 65 507 that one UDP datagram may have."""

MAX_WAITING: Final = 4096
"""Datagrams that wait for a full socket. QUIC repeats what is lost, so the oldest go when there are more."""

_READ_SIZE: Final = 65535
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_WHOLE: Final[dict[socket.AddressFamily, tuple[tuple[str, int, int, int], ...]]] = {
    socket.AF_INET: (("linux", socket.IPPROTO_IP, 10, 3), ("darwin", socket.IPPROTO_IP, 28, 1)),
    socket.AF_INET6: (("linux", socket.IPPROTO_IPV6, 23, 3), ("darwin", socket.IPPROTO_IPV6, 62, 1)),
}
"""No datagram is to be fragmented (RFC 9000 section 14): IP_MTU_DISCOVER with IP_PMTUDISC_PROBE, which leaves the
search for the path's size to the engine; IP_DONTFRAG on macOS. The socket module has no names for them."""

_ANCILLARY: Final = socket.CMSG_SPACE(struct.calcsize("i"))

ANY_ADDRESS: Final[dict[socket.AddressFamily, Address]] = {
    socket.AF_INET: ("0.0.0.0", 0),
    socket.AF_INET6: ("::", 0, 0, 0),
}
"""What a client binds to: any address of the family, any port."""

Receiver = Callable[[list[Datagram]], None]


class UdpSocket:
    """A UDP socket on the running event loop. `receiver` gets every batch of datagrams."""

    def __init__(self, bind: Address, family: socket.AddressFamily, receiver: Receiver) -> None:
        """Bind to `bind`.

        Raises:
            OSError: the address cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._waiting: deque[Datagram] = deque(maxlen=MAX_WAITING)
        self.last_error: OSError | None = None
        """What the last failed send said: the reason to give when nothing is ever answered."""
        try:
            self._socket.setblocking(False)
            self._prepare(family)
            self._socket.bind(bind)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._readable)

    def _prepare(self, family: socket.AddressFamily) -> None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        for platform, level, option, value in _WHOLE[family]:
            if sys.platform == platform:
                self._try(level, option, value)
        self._segments = self._try(_SOL_UDP, _UDP_SEGMENT, 0)
        self._coalesces = self._try(_SOL_UDP, _UDP_GRO, 1)

    def _try(self, level: int, option: int, value: int) -> bool:
        try:
            self._socket.setsockopt(level, option, value)
        except OSError:
            return False
        return True

    @property
    def address(self) -> Address:
        """What the socket is bound to."""
        address: Address = self._socket.getsockname()
        return address

    def close(self) -> None:
        """Close the socket; what waits to be sent is dropped."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    # --- in ---

    def _readable(self) -> None:
        batch: list[Datagram] = []
        for _ in range(MAX_BATCH):
            try:
                if self._coalesces:
                    data, ancillary, _, address = self._socket.recvmsg(_READ_SIZE, _ANCILLARY)
                else:
                    data, address = self._socket.recvfrom(_READ_SIZE)
                    ancillary = []
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # An ICMP message about an earlier datagram: noted, but no proof that the peer is gone.
                self.last_error = error
                continue
            if not data:
                continue
            size = _segment_size(ancillary) or len(data)
            if size >= len(data):
                batch.append((data, address))
            else:
                batch.extend((data[i : i + size], address) for i in range(0, len(data), size))
        if batch:
            self._receiver(batch)

    # --- out ---

    def send(self, datagrams: Iterable[Datagram]) -> None:
        """Send, or queue while the socket is full."""
        if self._waiting:
            self._waiting.extend(datagrams)
            return
        group: list[bytes] = []
        size = 0
        destination: Address | None = None
        for data, address in datagrams:
            # A group is datagrams of one size to one address; only its last one may be shorter.
            if group and (
                address != destination
                or len(data) > size
                or len(group[-1]) != size
                or len(group) >= MAX_BATCH
                or size * (len(group) + 1) > MAX_GROUP_BYTES
                or not self._segments
            ):
                self._flush(group, size, destination)
                group = []
            if not group:
                size, destination = len(data), address
            group.append(data)
        if group:
            self._flush(group, size, destination)

    def _flush(self, group: list[bytes], size: int, destination: Address | None) -> None:
        assert destination is not None
        if self._waiting:
            self._waiting.extend((data, destination) for data in group)
            return
        try:
            if len(group) == 1:
                self._socket.sendto(group[0], destination)
            else:
                self._socket.sendmsg(group, [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size))], 0, destination)
        except (BlockingIOError, InterruptedError):
            self._waiting.extend((data, destination) for data in group)
            self._loop.add_writer(self._socket, self._writable)
        except OSError as error:
            if len(group) > 1 and error.errno in (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT):
                self._segments = False  # this path cannot do it: one by one from now on
                for data in group:
                    self._flush([data], len(data), destination)
            elif error.errno != errno.EMSGSIZE:  # a probe for the path's size: lost like one on the way
                self.last_error = error

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        waiting = list(self._waiting)
        self._waiting.clear()
        self.send(waiting)


def _segment_size(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            return int.from_bytes(data[:4], "little")
    return 0
