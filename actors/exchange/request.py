"""A request, and who answers it, whatever transport it came by. Pure.

A transport makes a `Request` of what its edge says, and answers through a `Responder`. It tells the exchange of all
that comes later by the methods of `RequestHandler`.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple, Protocol

Field = tuple[bytes, bytes]
"""Name and value of a header field."""


class Kind(enum.Enum):
    """What is asked for."""

    HTTP = enum.auto()
    WEBSOCKET = enum.auto()
    TCP = enum.auto()
    """A raw tunnel: bytes pass both ways, and no HTTP is spoken."""


class Request(NamedTuple):
    """A request as the edge passes it on. Nothing in it has been checked: `http1.py` does that."""

    kind: Kind
    method: bytes
    target: bytes
    """Path and query as the visitor sent them (or `*`), without scheme and authority."""
    host: bytes
    """The host that the visitor asked for, with its port if one was given."""
    fields: tuple[Field, ...]
    """All other fields in their order, names as an origin of HTTP/1.1 expects them (`X-Forwarded-For`).

    Content-Length and Transfer-Encoding are among them as on HTTP/1.1, and say which body follows. Of a transport that
    frames bodies itself: `Transfer-Encoding: chunked` if a body follows whose length is not known.
    """


class Responder(Protocol):
    """The other end of one request: takes the response."""

    @property
    def id(self) -> int:
        """A number that tells the request from others in logs."""

    @property
    def sending(self) -> bool:
        """Whether the response may still be written: it has not ended, and the edge still wants it."""

    @property
    def takes_trailers(self) -> bool:
        """Whether the fields of `end` reach the visitor."""

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        """Send the head of the response, and what there is of the body; `fin`: that is all.

        With status 101 the raw bytes of the other protocol follow.
        """

    def accept(self) -> None:
        """The raw tunnel of a TCP request has been opened: bytes follow."""

    def refuse(self, message: str) -> None:
        """There is no raw tunnel, for this reason. Nothing follows."""

    def write(self, data: bytes, *, fin: bool = False) -> None:
        """Send more of the body; `fin`: that is the end of it. Without effect once `sending` is false."""

    def end(self, trailers: Sequence[Field] = ()) -> None:
        """End the response; with these fields, where the transport has a place for such."""

    def reset(self) -> None:
        """Break the response off: the visitor must not take what came for the whole."""

    def stop(self) -> None:
        """Want no more of the request's body."""

    def consumed(self, count: int) -> None:
        """`count` bytes of the request's body are dealt with: the edge may send as many more."""


class RequestHandler(Protocol):
    """Told what comes after the head. When the connection is lost, both `reset_received` and `stop_received` come."""

    def data_received(self, data: bytes) -> None:
        """Bytes of the body. `Responder.consumed` is called when they are dealt with."""

    def eof_received(self) -> None:
        """The body is complete."""

    def reset_received(self) -> None:
        """The visitor broke the request off."""

    def stop_received(self) -> None:
        """Nobody wants the response any more; it need not be reset."""

    def pause_writing(self) -> None:
        """Too much of the response waits to be sent: stop writing for now."""

    def resume_writing(self) -> None:
        """There is room again."""
