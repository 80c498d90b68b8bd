"""CURVE: sockets that are offered to the network are encrypted, and open to the clients of an allow-list only.

`bin/tunnel-keys` makes the keys, as ZeroMQ's own certificate files (RFC 26/CurveZMQ, 27/ZAP). Without a key no socket
of ours is bound to anything but this machine.
"""

import stat
from pathlib import Path
from typing import Final

import zmq.asyncio
from zmq.auth import load_certificate, load_certificates
from zmq.auth.asyncio import AsyncioAuthenticator

from actors.errors import UsageError
from actors.messages import Curve

DOMAIN: Final = "tunnel-supervisor"
"""Names our sockets to the authenticator: libzmq asks it about those with a name only (RFC 27)."""


def read_keys(secret_file: Path) -> tuple[bytes, bytes]:
    """The public and the secret key in a file that `tunnel-keys` made.

    Raises:
        UsageError: it holds none, cannot be read, or others may read it.
    """
    try:
        if stat.S_IMODE(secret_file.stat().st_mode) & 0o077:
            raise UsageError(f"others may read the secret key in {secret_file}: chmod 600 it, or make a new one")
        public, secret = load_certificate(secret_file)
    except OSError as error:
        raise UsageError(f"cannot read the key in {secret_file}: {error.strerror or 'no such file'}") from None
    except ValueError:
        public, secret = b"", None
    if not public or secret is None:
        raise UsageError(f"{secret_file} holds no secret key: give the .key_secret file that tunnel-keys made")
    return public, secret


def read_curve(secret_file: Path, clients: Path) -> Curve:
    """What guards the sockets: our own key, and the folder with the public keys of all who may come in.

    Raises:
        UsageError: one of the two cannot be used.
    """
    public, secret = read_keys(secret_file)
    try:
        allowed = load_certificates(clients)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the allowed clients' keys in {clients}: {error}") from None
    if not allowed:
        raise UsageError(f"there is no .key file in {clients}: nobody could come in; tunnel-keys makes them")
    return Curve(public, secret, str(clients.absolute()))


def authenticator(context: zmq.asyncio.Context, curve: Curve) -> AsyncioAuthenticator:
    """Begin to judge who may come in, for all guarded sockets of a context; call `stop` at the end."""
    made = AsyncioAuthenticator(context)
    made.start()
    made.configure_curve(domain=DOMAIN, location=curve.clients)
    return made


def guard(socket: zmq.asyncio.Socket, curve: Curve) -> None:
    """What `socket` binds from here on is for clients of the allow-list."""
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, curve.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, curve.secret)


def authenticate(socket: zmq.asyncio.Socket, own: tuple[bytes, bytes], server: bytes) -> None:
    """Let a client's socket connect to a guarded one: with its own keys, and the server's public one."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own[0])
    socket.setsockopt(zmq.CURVE_SECRETKEY, own[1])
