"""TLS over TCP to the edge, through a proxy if there is one: the socket, whom to trust, and when it has room."""

import asyncio
import contextlib
import fcntl
import ipaddress
import socket
import ssl
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from actors import trust
from actors.bus.messages import CongestionControl, EdgeAddress, Proxy
from actors.quic_worker import proxy as connect
from actors.quic_worker.dial import address_of, family_of
from actors.quic_worker.engine import Path

LOW_BUFFERED: Final = 64 * 1024
"""Bytes that wait for the socket at which more are asked for: enough to keep a fast path busy meanwhile."""

NOT_SENT: Final = 128 * 1024
"""Bytes that the kernel holds before they are sent. It would take megabytes of a large download, and a small answer
would wait behind them."""

_TCP_NOTSENT_LOWAT: Final = {"linux": 25, "darwin": 0x201}.get(sys.platform)
_TCP_CONGESTION: Final = 13
"""Options of Linux, and of macOS, that not every Python's socket module has names for."""

_INFO: Final = struct.Struct("=100xI32xI")
"""Of Linux' `struct tcp_info`: tcpi_total_retrans and tcpi_segs_out."""


class Receiver(NamedTuple):
    """Whom a pipe tells what."""

    received: Callable[[bytes], None]
    has_room: Callable[[], None]
    lost: Callable[[str], None]


class TcpPipe(asyncio.Protocol):
    """A TLS connection, once it is made."""

    def __init__(self, receiver: Receiver, connected: socket.socket) -> None:
        self._receiver = receiver
        self._socket = connected
        self._transport: asyncio.Transport | None = None
        self._is_closed = False

    # --- from asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        # We never ask it to hold more than MAX_BUFFERED; it is to tell when it holds less than LOW_BUFFERED again.
        self._transport.set_write_buffer_limits(high=LOW_BUFFERED, low=LOW_BUFFERED)

    def data_received(self, data: bytes) -> None:
        self._receiver.received(data)

    def resume_writing(self) -> None:
        self._receiver.has_room()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._is_closed:
            self._receiver.lost("the edge closed the connection" if error is None else f"the connection broke: {error}")

    # --- for the connection (Pipe) ---

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._is_closed:
            self._transport.write(data)

    @property
    def waiting(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def unacknowledged(self) -> int:
        if self._transport is None:
            return 0
        in_the_kernel = b"\0\0\0\0"
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                in_the_kernel = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, in_the_kernel)
        return self.waiting + int.from_bytes(in_the_kernel, sys.byteorder)

    def close(self) -> None:
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()

    # --- what is known of it ---

    def path(self, round_trip_time: float) -> Path:
        """What the kernel knows of the path: segments, and those that were sent again. Linux tells."""
        sent = lost = 0
        if self._transport is not None and sys.platform == "linux":
            with contextlib.suppress(OSError):
                lost, sent = _INFO.unpack(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        return Path(round_trip_time, sent, lost)

    def local_ip(self) -> bytes:
        """Our own address as the edge is told it: 16 bytes, IPv4 mapped."""
        host = ipaddress.ip_address(self._socket.getsockname()[0].partition("%")[0])
        return host.packed if host.version == 6 else bytes(10) + b"\xff\xff" + host.packed


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """Whom to take for the edge: `ca_file` replaces the system's roots and the shipped ones.

    No ALPN: edge and client agree to speak HTTP/2 without it.

    Raises:
        OSError: the file cannot be read, or holds no roots.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    data = None if ca_file else trust.edge_roots().decode("ascii")
    context.load_verify_locations(cafile=ca_file or trust.system_roots(), cadata=data)
    return context


async def open_pipe(
    edge: EdgeAddress,
    context: ssl.SSLContext,
    receiver: Receiver,
    *,
    proxy: Proxy | None = None,
    congestion_control: CongestionControl = "bbr",
) -> TcpPipe:
    """Connect to an address of the edge, and do the TLS handshake.

    Raises:
        OSError: there is no way to it, or TLS failed (`ssl.SSLError`).
        ProxyRefused: the proxy does not let us through.
    """
    made = await _connected(edge, proxy, congestion_control)
    if proxy is not None:
        try:
            await _through(made, proxy, str(edge))
        except BaseException:
            made.close()
            raise
    pipe = TcpPipe(receiver, made)
    # From here on the socket is the event loop's, which closes it if there is no handshake.
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: pipe, sock=made, ssl=context, server_hostname=trust.H2_SERVER_NAME)
    return pipe


async def _connected(edge: EdgeAddress, proxy: Proxy | None, congestion_control: CongestionControl) -> socket.socket:
    """A socket that is connected to the edge, or to the proxy in its place, to the first address of that one."""
    loop = asyncio.get_running_loop()
    places: list[tuple[int, Any]]
    if proxy is None:
        places = [(family_of(edge), address_of(edge))]
    else:  # the edge may be a name then, which only the proxy can resolve
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        places = [(family, address) for family, _, _, _, address in found]
    failure: OSError | None = None
    for family, address in places:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            _prepare(made, congestion_control)
            await loop.sock_connect(made, address)
        except OSError as error:
            made.close()
            failure = failure or error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure or OSError("the proxy's name has no address")


def _prepare(made: socket.socket, congestion_control: CongestionControl) -> None:
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _TCP_NOTSENT_LOWAT is not None:
        with contextlib.suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOT_SENT)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # not every kernel has it, nor lets everybody choose it
            made.setsockopt(socket.IPPROTO_TCP, _TCP_CONGESTION, congestion_control.encode())


async def _through(made: socket.socket, proxy: Proxy, authority: str) -> None:
    """Have the proxy open the way."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(made, connect.connect_request(proxy, authority))
    answer = b""
    while not connect.is_complete(answer):
        data = await loop.sock_recv(made, connect.MAX_ANSWER_BYTES)
        if not data:
            raise connect.ProxyRefused("it closed the connection without an answer")
        answer += data
    connect.check(answer, authority)
