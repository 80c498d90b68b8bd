"""Which target a request goes to: the first route that matches says so."""

import re
from typing import Final

from actors.bus.messages import Origin
from actors.bus.routes import Destination, Route, Routes, Status
from actors.exchange import reasons
from actors.exchange.backend import Answer, Answering, Target
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Request
from actors.ingress.match import Table

_MANAGEMENT: Final = re.compile(rb"management\.(?:fed\.)?argotunnel\.com\.?(?::[0-9]*)?", re.IGNORECASE)
"""The hosts by which Cloudflare's dashboard asks a connector for its logs. Such a request has a token that must reach
no origin, whatever the rules are; we offer nothing there, and claim nothing."""

_NO_MANAGEMENT: Final = Answering(Answer(404, reasons.MANAGEMENT))
_NO_RULE: Final = Answering(Answer(503, reasons.NO_RULE, "no rule is meant for this host and path"))


class Router:
    """The targets of a tunnel."""

    def __init__(self, routes: Routes) -> None:
        self._targets: dict[Destination, Target] = {}
        self._failures_before = 0
        """Of targets that are gone."""
        self.replace(routes)

    def replace(self, routes: Routes) -> None:
        """Go by `routes` from now on. What is in flight keeps its target; destinations that stay keep theirs, with its
        connections."""
        table = Table(routes.routes)
        before = self._targets
        self._targets = {}
        for route in routes.routes:
            if route.destination not in self._targets:
                kept = before.pop(route.destination, None)
                self._targets[route.destination] = kept or _target(route.destination)
        self._ways = [self._targets[route.destination] for route in routes.routes]
        self._only = self._ways[0] if routes.routes and _takes_all(routes.routes[0]) else None
        self._find = table.find
        for target in before.values():
            self._failures_before += target.failures
            target.close()

    def route(self, request: Request) -> Target:
        """The target of a request; an exchange asks once, and keeps to it for its life."""
        if _MANAGEMENT.fullmatch(request.host):
            return _NO_MANAGEMENT
        if self._only is not None:
            return self._only
        index = self._find(request.host, request.target)
        return _NO_RULE if index is None else self._ways[index]

    @property
    def failures(self) -> int:
        """Times so far that a target could not be reached."""
        return self._failures_before + sum(target.failures for target in self._targets.values())

    def close(self) -> None:
        """Close the connections that are idle."""
        for target in self._targets.values():
            target.close()


def _takes_all(route: Route) -> bool:
    return route.hostname in ("", "*") and not route.path


def _target(destination: Destination) -> Target:
    match destination:
        case Origin():
            return OriginPool(destination)
        case Status():
            return Answering(Answer(destination.status))
        case _:
            raise NotImplementedError
