"""Endpoints, and the one place where ZeroMQ sockets are made.

libzmq's defaults bite: LINGER is for ever, a high-water mark drops in silence, messages may be of any size, a ROUTER
throws away what it cannot route. Here every socket gets its limits at creation.
"""

import asyncio
import contextlib
import errno
import os
import socket as stdlib_socket
import stat
from pathlib import Path
from typing import Final, cast

import zmq
import zmq.asyncio

from actors.bus.addresses import is_loopback
from actors.bus.messages import MAX_MESSAGE_BYTES
from actors.errors import LocalSetupError, UsageError
from actors.processes import means
from actors.processes.text import is_text

LINGER_MS: Final = 500
"""How long a closed socket may go on delivering. Loopback needs a few milliseconds; nobody waits for a dead peer."""

HIGH_WATER_MARK: Final = 1000
"""Messages a socket queues per peer. A worker sends 5 a second, so this is minutes of a peer that does not read."""

MAX_IPC_PATH: Final = 107
"""Bytes that the path of a Unix socket may have (`sun_path`, less its NUL)."""

CONNECT_TIMEOUT: Final = 1.0
"""Seconds to find out whether somebody listens on an ipc path."""

Context = zmq.asyncio.Context
Socket = zmq.asyncio.Socket


def make_context() -> Context:
    """One per process, made by its `main` and passed on.

    Raises:
        OSError, RuntimeError: the machine has not what it takes.
    """
    means.check()
    return zmq.asyncio.Context(io_threads=1)


def make_socket(
    context: Context,
    kind: zmq.SocketType,
    *,
    identity: str | None = None,
    limit: int = MAX_MESSAGE_BYTES,
    queue: int = HIGH_WATER_MARK,
) -> Socket:
    """Return a socket of `kind` with every limit set, not yet bound or connected.

    `limit`: bytes of a message. `queue`: messages that wait for each peer, and as many of each.
    """
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, limit)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    if identity is not None:
        socket.setsockopt(zmq.IDENTITY, identity.encode())
    return socket


def bind(socket: Socket, endpoint: str) -> str:
    """Bind and return the endpoint as it came out (a wildcard port gets its number).

    Raises:
        LocalSetupError: the endpoint is taken, or cannot be bound.
    """
    _check_free(endpoint)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise LocalSetupError(f"cannot bind {endpoint}: {zmq.strerror(error.errno or 0)}. {_advice(error)}") from error
    bound = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(bound, bytes)
    return bound.rstrip(b"\0").decode()


def _advice(error: zmq.ZMQError) -> str:
    """What to do about an endpoint that cannot be bound."""
    match error.errno:
        case errno.EADDRINUSE:
            return "Is it in use by another program? Choose another endpoint."
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            return "This machine has no such address. Choose another endpoint."
        case errno.EPERM | errno.EACCES:
            return "May this user make a socket there, or does a sandbox forbid it? Choose another endpoint."
    return "Choose another endpoint."


def _check_free(endpoint: str) -> None:
    """An ipc path that somebody uses, or that is no socket: libzmq would replace it without a word."""
    if not endpoint.startswith("ipc://"):
        return
    path = endpoint.removeprefix("ipc://")
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise LocalSetupError(f"cannot bind {endpoint}: there is a file at {path}, which is no socket")
        with contextlib.closing(stdlib_socket.socket(stdlib_socket.AF_UNIX)) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            probe.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return  # nothing there, or what a killed process left behind
    except OSError as error:
        raise LocalSetupError(f"cannot bind {endpoint}: {error.strerror}") from error
    raise LocalSetupError(f"cannot bind {endpoint}: another program listens there. Choose another endpoint.")


def remove_socket_file(endpoint: str) -> None:
    """Remove the file of an ipc endpoint that was bound here."""
    if endpoint.startswith("ipc://"):
        with contextlib.suppress(OSError):
            os.unlink(endpoint.removeprefix("ipc://"))


def try_send(socket: Socket, *frames: bytes) -> bool:
    """Send without waiting; return whether the socket took it.

    With DONTWAIT, zmq.asyncio answers with a future that is done at once and holds the error: nothing is raised.
    """
    sent = cast("asyncio.Future[object]", socket.send_multipart(list(frames), zmq.DONTWAIT))
    return sent.exception() is None


def check_endpoint(endpoint: str, *, flag: str, guarded: bool = False) -> str:
    """Return `endpoint` if a socket of ours may bind it.

    `ipc://` paths and `tcp://` on loopback are allowed, and any `tcp://` address if it is `guarded` (`curve.py`).

    Raises:
        UsageError: with the reason and what to write instead.
    """
    scheme = endpoint.partition("://")[0]
    if scheme == "ipc":
        path = endpoint.removeprefix("ipc://")
        if not path.startswith("/"):
            raise UsageError(f"{flag} {endpoint}: give an absolute path, as in ipc:///run/user/1000/events")
        if not is_text(path):
            raise UsageError(f"{flag} {endpoint}: this path is no text in UTF-8 and this locale: choose one in ASCII")
        if len(os.fsencode(path)) > MAX_IPC_PATH:
            raise UsageError(f"{flag} {endpoint}: the path of a socket has at most {MAX_IPC_PATH} bytes")
        if not Path(path).parent.is_dir():
            raise UsageError(f"{flag} {endpoint}: the folder {Path(path).parent} does not exist")
        return endpoint
    if scheme == "tcp":
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        if not (port == "*" or (port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536)):
            raise UsageError(f"{flag} {endpoint}: give a port, as in tcp://127.0.0.1:5555 (0 or * for any)")
        if not is_loopback(host.strip("[]")) and not guarded:
            raise UsageError(
                f"{flag} {endpoint}: without keys only loopback addresses are offered over tcp, since the socket is "
                "open to whoever reaches it. Use tcp://127.0.0.1:PORT, or give --curve-key and --curve-clients "
                "(tunnel-keys makes them)."
            )
        return f"tcp://{'127.0.0.1' if host == 'localhost' else host}:{'*' if port == '0' else port}"
    http = "; for Prometheus, over HTTP, there is --metrics-http HOST:PORT" if flag == "--metrics" else ""
    raise UsageError(f"{flag} {endpoint}: give an ipc:///path or tcp://127.0.0.1:PORT endpoint{http}")
