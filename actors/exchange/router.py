"""Which target a request goes to. Today there is one."""

from actors.bus.messages import Origin
from actors.exchange.backend import Target
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Request


class Router:
    """The targets of a tunnel."""

    def __init__(self, origin: Origin) -> None:
        """Send everything to `origin`.

        Raises:
            OSError: its CA file cannot be read. ssl.SSLError: it holds no certificate.
        """
        self._only = OriginPool(origin)

    def route(self, request: Request) -> Target:
        """The target of a request; an exchange asks once, and keeps to it for its life."""
        return self._only

    @property
    def failures(self) -> int:
        """Times so far that a target could not be reached."""
        return self._only.failures

    def close(self) -> None:
        """Close the connections that are idle."""
        self._only.close()
