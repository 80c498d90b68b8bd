"""Which target a request goes to: the first route that matches says so."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.bus.addresses import HostPort, without_port
from actors.bus.guards import Guard
from actors.bus.routes import Access, Destination, Origin, Route, Routes, Status
from actors.exchange import reasons
from actors.exchange.backend import Answer, Answering, Target
from actors.exchange.gate import Gate, Way
from actors.exchange.origin_pool import OriginPool
from actors.exchange.request import Request

if TYPE_CHECKING:
    from actors.exchange.access_keys import AccessKeys
    from actors.exchange.guard_gate import GuardGate, Guarding

_MANAGEMENT: Final = re.compile(rb"management\.(?:fed\.)?argotunnel\.com\.?(?::[0-9]*)?", re.IGNORECASE)
"""The hosts by which Cloudflare's dashboard asks a connector for its logs. Such a request has a token that must reach
no origin, whatever the rules are; we offer nothing there, and claim nothing."""

Find = Callable[[bytes, bytes], int | None]
"""Finds the rule of a request, by its host and its target."""

_NO_MANAGEMENT: Final = Way(Answering(Answer(404, reasons.MANAGEMENT)))
NO_RULE: Final = Way(Answering(Answer(503, reasons.NO_RULE, "no rule is meant for this host and path")))


class Router:
    """The targets of a tunnel."""

    def __init__(
        self,
        routes: Routes,
        *,
        awaits_rules: bool = False,
        closed: HostPort | None = None,
        guard_file: str | None = None,
        slot: int = 0,
        generation: int = 0,
    ) -> None:
        """`awaits_rules`: the edge is to push rules, and what comes before them waits. `closed`: an address where
        nothing goes, whatever the routes say. `guard_file`: what the guards of all workers count in together, of which
        this is one; None: each for itself.

        Raises:
            IngressError: as `replace`.
        """
        self._closed = closed
        self.awaits_rules = awaits_rules
        """Whether what meets no rule is to wait: none has come yet."""
        self._counts_in = guard_file, slot, generation
        self._guarding: Guarding | None = None
        self._guards: dict[tuple[int, Guard], GuardGate] = {}
        """Of the routes, by their numbers: one that stays remembers whom it knows."""
        self._targets: dict[Destination, Target] = {}
        self._keys: dict[str, AccessKeys] = {}
        """Of the issuers that the routes name."""
        self._failures_before = 0
        """Of targets that are gone."""
        self.replace(routes)

    def replace(self, routes: Routes) -> None:
        """Go by `routes` from now on. What is in flight keeps its target; destinations that stay keep theirs, with its
        connections.

        Raises:
            IngressError: a route's path is no pattern. Nothing has changed then.
        """
        find = None if routes.begins_with_all else _finder(routes)
        self.version = routes.version
        self.awaits_rules = self.awaits_rules and not routes.routes and routes.version < 0
        gone, self._targets = self._targets, {}
        keys, self._keys = self._keys, {}
        guards, self._guards = self._guards, {}
        ways = []
        for route in routes.routes:
            target = self._targets.get(route.destination) or gone.pop(route.destination, None)
            self._targets[route.destination] = target = target or _target(route.destination, self._closed)
            gates: list[Gate] = []
            if route.guard is not None:
                gates.append(self._guard(route.guard, routes.guards[route.guard], guards))
            if route.access is not None:
                gates.append(self._gate(route.access, keys))
            ways.append(Way(target, tuple(gates), "" if len(routes.routes) == 1 else _in_words(route)))
        self._ways = ways
        self._guards_differ = len({route.guard for route in routes.routes}) > 1
        self._paths_matter = any(route.path for route in routes.routes)
        self._find = find
        """Finds the rule of a request; None: the first one is for all."""
        for target in gone.values():
            self._failures_before += target.failures
            target.close()

    def route(self, request: Request) -> Way | None:
        """The way of a request, which an exchange keeps to for its life; None: the rules are about to come."""
        if _MANAGEMENT.fullmatch(request.host):
            return _NO_MANAGEMENT
        if self._find is None:
            return self._ways[0]
        index = self._find(request.host, request.target)
        if index is None:
            return None if self.awaits_rules else NO_RULE
        way = self._ways[index]
        return self._way_by_all_readings(request, way, self._find) if self._guards_differ else way

    def _way_by_all_readings(self, request: Request, way: Way, find: Find) -> Way:
        """The same way, past the guards of all rules that the request could be meant for.

        A rule is found by the host and the path as they came. What leads to the same place, and is written otherwise
        (`//admin`, `/x/../admin`), may meet another rule with another guard, or none.
        """
        from actors.exchange.guard_gate import GuardGate, Shut
        from actors.guard.paths import readings

        if (paths := readings(request) if self._paths_matter else [b"/"]) is None:
            return way._replace(gates=(Shut(),))
        gates = dict.fromkeys(way.gates)
        for host in dict.fromkeys((request.host, _plain(request.host))):
            for path in paths:
                if (index := find(host, path)) is not None:
                    gates |= dict.fromkeys(gate for gate in self._ways[index].gates if isinstance(gate, GuardGate))
        return way._replace(gates=tuple(gates)) if len(gates) > len(way.gates) else way

    def _gate(self, demanded: Access, known: dict[str, "AccessKeys"]) -> Gate:
        """`known` are keys from before, which need not be fetched again."""
        from actors.exchange.access_keys import AccessGate, AccessKeys  # here, since few use it

        issuer = demanded.issuer
        self._keys[issuer] = keys = self._keys.get(issuer) or known.get(issuer) or AccessKeys(issuer)
        return AccessGate(demanded, keys)

    def _guard(self, number: int, guard: Guard, known: dict[tuple[int, Guard], "GuardGate"]) -> Gate:
        """`known` are gates from before."""
        from actors.exchange.guard_gate import GuardGate, Guarding  # here, since few have a guard

        if self._guarding is None:
            self._guarding = Guarding(*self._counts_in)
        key = number, guard
        self._guards[key] = gate = self._guards.get(key) or known.get(key) or GuardGate(guard, number, self._guarding)
        return gate

    @property
    def failures(self) -> int:
        """Times so far that a target could not be reached."""
        return self._failures_before + sum(target.failures for target in self._targets.values())

    def close(self) -> None:
        """Close the connections that are idle. No request comes any more."""
        for target in self._targets.values():
            target.close()
        if self._guarding is not None:
            self._guarding.close()


def _in_words(route: Route) -> str:
    """What a rule is for, and where it leads."""
    return f"{route.hostname or '*'}{route.path and f' path {route.path}'} → {route.destination}"


def _plain(host: bytes) -> bytes:
    """As DNS has it: in small letters, without a port and a last dot."""
    return without_port(host).lower().removesuffix(b".")


def _finder(routes: Routes) -> Find:
    from actors.ingress.match import Table  # here: most tunnels have one place for all

    return Table(routes.routes).find


def _target(destination: Destination, closed: HostPort | None) -> Target:
    match destination:
        case Origin():
            return OriginPool(destination, closed)
        case Status(status):
            if status < 200:  # after which another answer would have to come
                return Answering(Answer(502, reasons.NO_ANSWER, f"{status} of a rule is no answer"))
            return Answering(Answer(status))
    from actors.exchange.services import Service  # here, since few use it

    return Service(destination, closed)
