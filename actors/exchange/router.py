"""Which target a request goes to."""

from actors.bus.routes import Origin, Routes
from actors.exchange.backend import Target
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Request


class Router:
    """The targets of a tunnel."""

    def __init__(self, routes: Routes) -> None:
        """Send requests where `routes` say.

        Raises:
            OSError: a CA file cannot be read. ssl.SSLError: it holds no certificate.
        """
        self.replace(routes)

    def replace(self, routes: Routes) -> None:
        """Requests that come from now on go by these routes."""
        self.version = routes.version
        origin = routes.routes[0].destination
        assert isinstance(origin, Origin)
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
