"""CURVE: sockets that are offered to the network are encrypted, and open to the clients of an allow-list only.

`bin/tunnel-keys` makes the keys, as ZeroMQ's own certificate files (RFC 26/CurveZMQ, 27/ZAP). Without a key no socket
of ours is bound to anything but this machine.
"""

import stat
import struct
from pathlib import Path
from typing import Final

import zmq.asyncio
from zmq.auth import load_certificate
from zmq.auth.asyncio import AsyncioAuthenticator
from zmq.utils import z85

from actors.bus import sockets
from actors.bus.messages import Curve
from actors.errors import UsageError

KEY_CHARACTERS: Final = 40
KEY_BYTES: Final = 32
"""Of a key, in Z85 and as it is."""

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
    except OSError as error:
        raise UsageError(f"cannot read the key in {secret_file}: {error.strerror}") from None
    public, secret = _load(secret_file)
    if secret is None or not (_is_key(public) and _is_key(secret)):
        raise UsageError(f"{secret_file} holds no secret key: give the .key_secret file that tunnel-keys made")
    return public, secret


def read_curve(secret_file: Path, clients: Path) -> Curve:
    """What guards the sockets: our own key, and the public keys in the folder of all who may come in, as they are now.

    Raises:
        UsageError: one of the two cannot be used.
    """
    public, secret = read_keys(secret_file)
    try:
        files = sorted(clients.glob("*.key"))
        allowed = [read_public_key(path) for path in files] if clients.is_dir() else []
    except OSError as error:
        raise UsageError(f"cannot read the allowed clients' keys in {clients}: {error.strerror}") from None
    if not allowed:
        raise UsageError(f"there is no .key file in {clients}: nobody could come in; tunnel-keys makes them")
    return Curve(public, secret, allowed)


def read_public_key(path: Path) -> bytes:
    """The public key in a file that `tunnel-keys` made.

    Raises:
        UsageError: it holds none, or cannot be read.
    """
    public, _ = _load(path)
    if not _is_key(public):
        raise UsageError(f"{path} holds no public key: give the .key file that tunnel-keys made")
    return public


def _load(path: Path) -> tuple[bytes, bytes | None]:
    """The keys in a file; an empty public one if it is no certificate."""
    try:
        return load_certificate(path)
    except OSError as error:
        raise UsageError(f"cannot read the key in {path}: {error.strerror or 'no such file'}") from None
    except ValueError:
        return b"", None


def _is_key(text: bytes | None) -> bool:
    """Whether it is 32 bytes in Z85 (RFC 32/Z85), as libzmq takes them."""
    try:
        return text is not None and len(text) == KEY_CHARACTERS and len(z85.decode(text)) == KEY_BYTES
    except (KeyError, ValueError, struct.error):
        return False


class _Allowed:
    """Asked by the authenticator about each client."""

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = frozenset(keys)

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._keys


def authenticator(context: zmq.asyncio.Context, curve: Curve) -> AsyncioAuthenticator:
    """Begin to judge who may come in, for all guarded sockets of a context; call `stop` when they are closed."""
    made = AsyncioAuthenticator(context)
    made.start()
    made.configure_curve_callback(domain=DOMAIN, credentials_provider=_Allowed(curve.clients))
    return made


def bind_guarded(
    context: zmq.asyncio.Context, socket: zmq.asyncio.Socket, curve: Curve, endpoint: str
) -> tuple[AsyncioAuthenticator, str]:
    """Bind `socket` to one endpoint more, for clients of the allow-list; return who judges, and what was bound.

    Raises:
        LocalSetupError: the endpoint is taken, or cannot be bound.
    """
    judge = authenticator(context, curve)
    guard(socket, curve)
    return judge, sockets.bind(socket, endpoint)


def guard(socket: zmq.asyncio.Socket, curve: Curve) -> None:
    """What `socket` binds from here on is for clients of the allow-list."""
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without anybody to judge, nobody comes in
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, curve.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, curve.secret)


def authenticate(socket: zmq.asyncio.Socket, own: tuple[bytes, bytes], server: bytes) -> None:
    """Let a client's socket connect to a guarded one: with its own keys, and the server's public one."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own[0])
    socket.setsockopt(zmq.CURVE_SECRETKEY, own[1])
