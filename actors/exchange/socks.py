"""SOCKS5 (RFC 1928) as its server speaks it: CONNECT, without authentication. Pure."""

import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.bus.routes import IpRule

NO_AUTHENTICATION: Final = 0
NO_METHOD: Final = 0xFF
CONNECT: Final = 1

SUCCEEDED: Final = 0
FAILED: Final = 1
NOT_ALLOWED: Final = 2
UNREACHABLE: Final = 4
REFUSED: Final = 5
NO_SUCH_COMMAND: Final = 7
NO_SUCH_ADDRESS: Final = 8

MAX_WORDS: Final = 1024
"""Bytes of a greeting and a request: the longest of each have 257 and 262."""


class Wanted(NamedTuple):
    """Where a client wants to go."""

    host: str
    """A name, or an IP address."""
    port: int


class Refused(Exception):
    """The conversation ends with `reply` as the last word."""

    def __init__(self, message: str, reply: bytes = b"") -> None:
        super().__init__(message)
        self.reply = reply


def reply(code: int) -> bytes:
    """The answer to a request. The address in it, of which no client makes anything, is 0.0.0.0:0."""
    return bytes((5, code, 0, 1, 0, 0, 0, 0, 0, 0))


class Conversation:
    """What is said before the bytes of the service."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_greeted = False
        self.wanted: Wanted | None = None
        """Where to go, once it is known."""

    def feed(self, data: bytes) -> bytes:
        """Take what the client says, and return what to answer.

        Raises:
            Refused: it is not what is spoken here, or nothing that is done here.
        """
        self._buffer += data
        answer = b""
        if not self._is_greeted and (methods := self._take(self._greeting_size())) is not None:
            self._is_greeted = True
            if NO_AUTHENTICATION not in methods[2:]:
                raise Refused("the client wants to prove who it is", bytes((5, NO_METHOD)))
            answer = bytes((5, NO_AUTHENTICATION))
        if self._is_greeted and self.wanted is None and (request := self._take(self._request_size())) is not None:
            self.wanted = _wanted(request)
        if self.wanted is None and len(self._buffer) > MAX_WORDS:
            raise Refused("the client says too much")
        return answer

    def rest(self) -> bytes:
        """What the client has said beyond its request: it is for the service."""
        rest, self._buffer = self._buffer, b""
        return rest

    def _take(self, size: int | None) -> bytes | None:
        """So many bytes, if they have come."""
        if size is None or len(self._buffer) < size:
            return None
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _greeting_size(self) -> int | None:
        self._check_version()
        return 2 + self._buffer[1] if len(self._buffer) > 1 else None

    def _request_size(self) -> int | None:
        self._check_version()
        if len(self._buffer) < 5:
            return None
        match self._buffer[3]:
            case 1:
                return 10
            case 3:
                return 7 + self._buffer[4]
            case 4:
                return 22
        raise Refused("an address of a kind that there is not", reply(NO_SUCH_ADDRESS))

    def _check_version(self) -> None:
        if self._buffer and self._buffer[0] != 5:
            raise Refused("the client does not speak SOCKS5")


def _wanted(request: bytes) -> Wanted:
    if request[1] != CONNECT:
        raise Refused("only CONNECT is done here", reply(NO_SUCH_COMMAND))
    port = int.from_bytes(request[-2:], "big")
    if request[3] != 3:
        return Wanted(str(ipaddress.ip_address(request[4:-2])), port)
    try:
        name = request[5:-2].decode("ascii")
    except UnicodeDecodeError:
        raise Refused("a name that is none", reply(NO_SUCH_ADDRESS)) from None
    if not name or "\0" in name:
        raise Refused("a name that is none", reply(NO_SUCH_ADDRESS))
    return Wanted(name, port)


def allowed(rules: Sequence[IpRule], address: str, port: int) -> bool:
    """Whether the first rule that is about this address and port allows it. Without one it is refused.

    An IPv6 address that stands for one of IPv4 is judged as that.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    for rule in rules:
        if ip in ipaddress.ip_network(rule.prefix, strict=False) and (not rule.ports or port in rule.ports):
            return rule.allow
    return False
