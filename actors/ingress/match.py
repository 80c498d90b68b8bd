"""Which rule a request meets: the first that matches host and path. Pure.

Hosts are compared as they are, capital letters and a last dot included; that is what the Go client does, and what its
users' rules were tried with. `*.example.com` is whatever ends in `.example.com`. A path's pattern is searched in the
decoded path, without the query.

Only rules that could match are looked at: those of this very host, of the domains above it, and those for all hosts.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from actors.bus.addresses import without_port
from actors.bus.routes import EVERY_HOST, Route
from actors.ingress.patterns import Pattern, pattern, readable

MAX_STEPS: Final = 64_000_000
"""Steps for one request's path, at worst half a second: instructions of patterns, for each byte. Patterns of everyday
use have some 40, and take a thousandth of that. A path of 1 KiB can be tried on 1500 of them; a request that needs more
meets no rule, lest patterns that are pushed, and paths that go with them, hold a worker up."""

_NONE: Final[Sequence[int]] = ()


class Table:
    """Rules, ready to be asked."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Make it of `routes`, whose order counts. Their paths were checked when they were read, and are compiled when
        the first request needs them: no worker stands still for a new configuration.

        Raises:
            IngressError: a path is too long for a pattern, or there is no RE2 here.
        """
        self._patterns: list[Pattern | None] = [pattern(route.path) if route.path else None for route in routes]
        self._everywhere: list[int] = []
        self._exact: dict[bytes, list[int]] = {}
        self._below: dict[bytes, list[int]] = {}
        """By what a host ends in, with the dot before it."""
        for index, route in enumerate(routes):
            if route.hostname in EVERY_HOST:
                self._append(self._everywhere, index)
            for name in {route.hostname, route.punycode} - set(EVERY_HOST):
                places, key = (self._below, name[1:]) if name.startswith("*.") else (self._exact, name)
                self._append(places.setdefault(key.encode(errors="replace"), []), index)
        self._deepest = max((ending.count(b".") for ending in self._below), default=0)
        """Dots in the longest ending: a host may be a header's length, and no more of it needs to be looked at."""

    def _append(self, candidates: list[int], index: int) -> None:
        """Nothing that comes after a rule without a path can be met by the same hosts."""
        if not candidates or self._patterns[candidates[-1]] is not None:
            candidates.append(index)

    def find(self, host: bytes, target: bytes) -> int | None:
        """The index of the first route that matches, or None.

        Args:
            host: as the visitor asked for it, with or without a port.
            target: of the request, with its query.
        """
        path: bytes | None = None
        steps = 0
        for index in self._candidates(without_port(host)):
            wanted = self._patterns[index]
            if wanted is None:
                return index
            if path is None:
                path = readable(unquote_to_bytes(target.partition(b"?")[0]))
            if not path.startswith(wanted.beginning):
                continue
            steps += wanted.size * len(path)
            if steps > MAX_STEPS:
                return None
            if wanted.is_in(path):
                return index
        return None

    def _candidates(self, host: bytes) -> Iterable[int]:
        """Rules for this host, in their order."""
        found = [self._exact.get(host, _NONE), self._everywhere]
        dot = len(host)
        for _ in range(self._deepest):
            if (dot := host.rfind(b".", 0, dot)) < 0:
                break
            if (below := self._below.get(host[dot:])) is not None:
                found.append(below)
        some = [candidates for candidates in found if candidates]
        return heapq.merge(*some) if len(some) > 1 else some[0] if some else ()
