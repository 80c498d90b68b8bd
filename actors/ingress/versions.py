"""Which version of the remote configuration is in force, and what a push is answered. Pure.

One number for the whole tunnel, whichever connection brings the push. What is not newer is acknowledged without being
read; what is not valid changes nothing, so that the same number can come again.
"""

from actors.bus.routes import Origin, Routes
from actors.bus.tally import Message
from actors.ingress import parse, routing
from actors.ingress.allowed import Allowed
from actors.ingress.errors import IngressError
from actors.ingress.model import Configuration
from actors.ingress.routing import ReadFile

NEVER: int = -1
"""The version before there was one. Every push is newer, of any version from 0."""


class Applied(Message, frozen=True):
    """What is in force."""

    version: int = NEVER
    configuration: Configuration = Configuration()
    routes: Routes = Routes()


class Answer(Message, frozen=True):
    """What the edge is told."""

    version: int
    """That is in force now."""
    error: str = ""
    """Why the push is not; empty: it is, or one that is as new."""


def apply(
    present: Applied,
    version: int,
    data: bytes,
    *,
    hello_world: Origin | None,
    allowed: Allowed,
    read_file: ReadFile | None = None,
) -> tuple[Applied, Answer]:
    """Take a push, or leave everything as it is.

    Args:
        present: what is in force.
        version: of the push.
        data: its JSON.
        hello_world: see `routing.routes`, as for the rest.
        allowed: what it may reach.
        read_file: tells whether a file can be read.
    """
    if version <= present.version:
        return present, Answer(present.version)
    try:
        configuration = parse.remote(data)
        routes = routing.routes(
            configuration, version=version, hello_world=hello_world, allowed=allowed, read_file=read_file
        )
    except IngressError as error:
        return present, Answer(present.version, str(error))
    return Applied(version, configuration, routes), Answer(version)
