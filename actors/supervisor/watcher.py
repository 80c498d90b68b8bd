"""Watches the world outside, the ways to the edge and the public name, and tells the policy what it sees."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from actors.bus.messages import EdgeAddress
from actors.processes.log import Logger
from actors.processes.tasks import Tasks, kept
from actors.supervisor import network, visibility
from actors.supervisor.package import Package
from actors.supervisor.policy import Policy
from actors.supervisor.readiness import Visibility
from actors.supervisor.vocabulary import NameSeen, NetworkSeen, PolicyEvent, ProbeSeen

PACKAGE_INTERVAL: Final = 5.0
"""Seconds between two looks at the installed package: one system call."""


class Watcher:
    """Watches, and hands what it sees to `handle`. It reads the policy and never changes it."""

    def __init__(self, policy: Policy, handle: Callable[[PolicyEvent], None], tasks: Tasks, log: Logger) -> None:
        self._policy = policy
        self._handle = handle
        self._tasks = tasks
        self._log = log
        self._failed: set[str] = set()
        """What was being watched when there was a fault: said once."""

    def keep(self, name: str, look: Callable[[], Awaitable[None]]) -> None:
        """Keep watching something that the tunnel does not depend on: after a fault the watch begins again."""

        def failed(error: Exception) -> None:
            if name not in self._failed:
                self._failed.add(name)
                self._log.error("internal fault in a watcher; the tunnel goes on", what=name, exc_info=error)

        self._tasks.replace(kept(look, failed), name=name)

    async def watch_network(
        self, addresses: Sequence[EdgeAddress], proxies: Sequence[EdgeAddress], *, resolver_knows: str | None
    ) -> None:
        """Tell of the ways to the edge, and to the addresses of a proxy, when they change.

        `resolver_knows`: a name that the resolver is asked for while no connection is up; None: it does not matter.
        """
        loop = asyncio.get_running_loop()
        seen: NetworkSeen | None = None
        answers, asked_at = True, loop.time()
        while True:
            try:
                sources = network.sources(addresses) | network.sources(proxies)
            except OSError as error:  # no descriptor for a look: the last one holds
                self._log.debug("cannot look for routes", error=error.strerror)
                await asyncio.sleep(network.ROUTE_INTERVAL)
                continue
            if resolver_knows is None or self._policy.connections or not sources:
                answers = True  # nothing to be learnt from it
            elif loop.time() - asked_at >= network.RESOLVER_INTERVAL:
                answers, asked_at = await network.resolver_answers(resolver_knows), loop.time()
            if (latest := NetworkSeen(sources, answers)) != seen:
                seen = latest
                self._handle(latest)
            await asyncio.sleep(network.ROUTE_INTERVAL)

    async def look_for_name(self) -> None:
        """Ask the zone's own servers for the public name, until they know it."""
        url = self._policy.url
        hostname = urlsplit(url).hostname or ""
        found = False
        try:
            async with asyncio.timeout(visibility.LOOKUP_DEADLINE):
                await visibility.until_visible(hostname, await visibility.name_servers(hostname))
                found = True
        except TimeoutError:
            self._log.debug("the name is not in DNS", name=hostname)
        except Exception as error:  # whatever it is: the URL is given all the same
            self._log.warning("cannot look for the name in DNS", error=str(error) or type(error).__name__)
        self._handle(NameSeen(url, found))

    async def watch_package(self) -> None:
        """Log it when the installed package is no longer the one that this process runs."""
        package = Package()
        while True:
            await asyncio.sleep(PACKAGE_INTERVAL)
            if (news := package.news()) is not None:
                self._log.warning(news)

    async def keep_probing(self, edge_ca: str | None) -> None:
        """Fetch the public URL now and then, as a visitor would. `edge_ca`: whom a local edge with TLS is known by."""
        wait = visibility.PROBE_RETRY
        while True:
            await asyncio.sleep(wait)
            url, wrong = self._policy.url, None
            # Not before the name is known to be there: an early no would be remembered by the system's resolver.
            if self._policy.connections and self._policy.visibility is not Visibility.UNSEEN:
                wrong = await visibility.probe(url, edge_ca)
            self._handle(ProbeSeen(url, wrong is None, wrong or ""))
            wait = visibility.PROBE_INTERVAL if wrong is None else visibility.PROBE_RETRY
