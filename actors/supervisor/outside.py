"""What is known of the world outside: this machine's ways to the edge, and whether the public URL leads here. Pure."""

from typing import Final

import msgspec

from actors.bus import events
from actors.supervisor.readiness import Visibility
from actors.supervisor.vocabulary import NameSeen, NetworkSeen, ProbeSeen

PROBE_FAILURES: Final = 2
"""Probes in a row that must fail before the public URL counts as unreachable: one can be lost on the way."""


class Outside(msgspec.Struct):
    """What was seen last."""

    visibility: Visibility = Visibility.NOT_ASKED
    sources: frozenset[str] | None = None
    """This machine's addresses towards the edge; None: nobody has looked yet."""
    resolver_answers: bool = True
    probe_failures: int = 0
    """In a row."""

    @property
    def has_route(self) -> bool:
        """Whether there is a way from this machine to the edge, as far as is known."""
        return self.sources != frozenset()

    @property
    def is_online(self) -> bool:
        """Whether a failure can be anybody's fault but this machine's."""
        return self.has_route and self.resolver_answers

    @property
    def is_unreachable(self) -> bool:
        """Whether the public URL does not lead here, though connections stand."""
        return self.probe_failures >= PROBE_FAILURES

    def begun(self, visibility: Visibility) -> None:
        """There is a tunnel, with a URL of its own."""
        self.visibility, self.probe_failures = visibility, 0

    def network_seen(self, seen: NetworkSeen) -> events.Offline | events.Online | None:
        """Take what was seen of the network; return what is to be told: `Online` also for another network."""
        was_online, before = self.is_online, self.sources
        self.sources, self.resolver_answers = seen.sources, seen.resolver_answers
        if not self.is_online:
            why = "no route to the edge" if not seen.sources else "no resolver answers"
            return events.Offline(message=f"this machine has no way out: {why}") if was_online else None
        if was_online and before in (None, seen.sources):
            return None
        return events.Online(sources=sorted(seen.sources))

    def url_seen(self, seen: NameSeen | ProbeSeen, *, is_connected: bool) -> events.Event | None:
        """Take what was seen of the public URL; return what is to be told."""
        match seen:
            case NameSeen(found=True):
                self.visibility = Visibility.SEEN
            case NameSeen(found=False):
                self.visibility = Visibility.NOT_ASKED
                message = "the name is not in DNS yet; it may take a moment until the URL works"
                return events.NameNotVisible(url=seen.url, message=message)
            case ProbeSeen(reachable=True):
                self.probe_failures = 0
            case ProbeSeen(reachable=False, message=message) if is_connected:
                self.probe_failures += 1
                if self.probe_failures == PROBE_FAILURES:
                    return events.Unreachable(url=seen.url, message=message)
        return None
