"""A host and a port, and the text in which they are one. Pure."""

import ipaddress
from typing import Annotated

import msgspec

from actors.bus.tally import Message

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound there. `host`: a name or an IP literal, without brackets."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def joined(host: str, port: int) -> str:
    """`host:port`, as it stands in a URL: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HostPort(Message, frozen=True):
    """An address of TCP or UDP. The host is a name or an IP literal, without brackets."""

    host: str
    port: Port

    def __str__(self) -> str:
        return joined(self.host, self.port)

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Take `joined` apart again.

        Raises:
            ValueError: it is no HOST:PORT.
        """
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= 65535):
            raise ValueError(f"{text!r} is no HOST:PORT")
        if (":" in bare) != host.startswith("[") or host.startswith("[") != host.endswith("]"):
            raise ValueError(f"{text!r}: an IPv6 address stands in brackets")
        return cls(bare, int(port))


def without_port(host: bytes) -> bytes:
    """A host without its port, and then without the brackets of an IPv6 address. What has no port stays as it is."""
    name, colon, port = host.rpartition(b":")
    if not colon:
        return host
    in_brackets = name.startswith(b"[") and name.endswith(b"]")
    bare = name[1:-1] if in_brackets else name
    is_odd = any(sign in bare + port for sign in b"[]") or (b":" in bare and not in_brackets)
    return host if is_odd else bare
