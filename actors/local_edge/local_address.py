"""The edge's own address, which needs no resolver: another name of the tunnel, as long as there is only one.

Many resolvers do not know `*.localhost` (RFC 6761 section 6.3): some of glibc's, and so Python's and pip's, and Go's.
The origin is to see what it would see of a visitor of the public name. So the visitor's own mentions of the local
address (Host, Origin, Referer, Destination) are told to it as that name, and a redirect to that name leads back here.
Pure.
"""

import ipaddress
import re
from typing import NamedTuple

Fields = list[tuple[bytes, bytes]]


def is_local_address(host: bytes) -> bool:
    """Whether a Host field names this machine by its number, or as `localhost`; with whichever port.

    The port may be another one than the front's, where it is forwarded (ssh -L, a container).
    """
    name = re.sub(rb":\d*$", b"", host).decode("latin-1").lower()
    try:
        return name == "localhost" or bool(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return False


class Alias(NamedTuple):
    """A visitor who came by the local address."""

    local: bytes
    """`http://127.0.0.1:8000`: what he calls the tunnel."""
    public: bytes
    """`http://a-b-c-d.localhost:8000`: what the origin is told."""

    def to_origin(self, fields: Fields) -> Fields:
        """The request's fields, with the public name where the visitor wrote the local address."""
        host = self.public.partition(b"://")[2]
        translated = []
        for name, value in fields:
            match name.lower():
                case b"host":
                    translated.append((name, host))
                case b"origin" | b"referer" | b"destination":  # the last of WebDAV's COPY and MOVE
                    translated.append((name, _moved(value, self.local, self.public)))
                case _:
                    translated.append((name, value))
        return translated

    def to_visitor(self, fields: Fields) -> Fields:
        """The answer's fields, with the local address where the origin leads to the public name."""
        return [
            (
                name,
                _moved(value, self.public, self.local) if name.lower() in (b"location", b"content-location") else value,
            )
            for name, value in fields
        ]


def _moved(url: bytes, here: bytes, there: bytes) -> bytes:
    """`url` with its beginning `here` as `there`, if it is a URL at `here`."""
    begins = url[: len(here)].lower() == here.lower() and url[len(here) : len(here) + 1] in (b"", b"/", b"?", b"#")
    return there + url[len(here) :] if begins else url
