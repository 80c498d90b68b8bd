"""The rules that are in force, and who is told of them: this machine's own, or those that the service pushed."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from actors.bus import events
from actors.bus.messages import ConfigurationAnswered, ConfigurationPushed, Reroute
from actors.bus.routes import Origin, Routes, all_to
from actors.processes.log import Logger
from actors.supervisor.children import Children, Name
from actors.supervisor.orders import OrderBook
from actors.supervisor.settings import Settings
from actors.supervisor.state_folder import StateFolder
from actors.supervisor.vocabulary import RulesInForce

if TYPE_CHECKING:  # at run time only where there are rules: most tunnels have one place where all goes
    from actors.ingress.model import Configuration
    from actors.supervisor.remote_rules import RemoteRules


class Rules:
    """What is in force."""

    def __init__(
        self,
        settings: Settings,
        folder: StateFolder,
        orders: OrderBook,
        children: Children,
        *,
        page: Callable[[], Awaitable[Origin]],
        tell: Callable[[events.Event], None],
        handle: Callable[[RulesInForce], None],
        log: Logger,
    ) -> None:
        """`page` starts the page of our own, if it does not run, and says where it is; `tell` is for events, and
        `handle` for the policy.
        """
        self._settings = settings
        self._folder = folder
        self._orders = orders
        self._children = children
        self._page = page
        self._tell = tell
        self._handle = handle
        self._log = log
        self._remote: RemoteRules | None = None
        """What the service pushes, where it may."""

    async def begin(self) -> None:
        """Find out where requests go at first: all to one place; by the rules of a file; or as it was kept.

        Raises:
            LocalSetupError: the page of our own does not come up. UsageError: a rule of the file cannot be kept to.
        """
        settings = self._settings
        if settings.takes_configuration:
            from actors.supervisor.remote_rules import RemoteRules

            self._remote = RemoteRules(settings, self._folder, page=self._page, log=self._log)
            await self._remote.take_kept()
            self._are(self._remote.routes, self._remote.configuration)
        elif settings.configuration is not None:
            from actors.supervisor import local_rules

            page = await self._page() if settings.configuration.has_hello_world else None
            self._are(local_rules.routes(settings.configuration, page), settings.configuration)
        else:
            origin = await self._page() if settings.origin is None else settings.origin
            told = [{"service": origin.url, "originRequest": {}}]
            self._orders.routes = settings.guards.over(all_to(origin))
            self._orders.ingress = msgspec.json.encode(told).decode()

    def _are(self, routes: Routes, configuration: "Configuration") -> None:
        from actors.ingress import defaults

        told = msgspec.json.encode(defaults.local_rules(configuration)).decode()
        self._orders.routes, self._orders.ingress = self._settings.guards.over(routes), told

    def announce(self) -> None:
        """Say what is in force, if there are rules to speak of."""
        if self._settings.tunnel is None and self._settings.configuration is None:
            return
        routes = self._orders.routes
        hostnames = routes.hostnames[: events.MAX_TOLD_HOSTNAMES]
        count = len(routes.routes)
        self._tell(events.ConfigurationApplied(version=routes.version, rules=count, hostnames=hostnames))
        self._handle(RulesInForce(count))  # whoever hears `state` knows the hostnames

    def remind(self, worker: Name) -> None:
        """Tell a worker that is up what holds now: rules may have come between its orders and its first word."""
        if self._remote is not None:
            self._children.tell(worker, Reroute(self._orders.routes))

    async def pushed(self, worker: Name, push: ConfigurationPushed) -> None:
        """A worker told of a push: judge it, and see to it that all workers and the edge hear what came of it."""
        assert self._remote is not None  # no other worker is told that it may take any
        answer, is_new = await self._remote.judge(push.version, push.configuration)
        if is_new:
            self._are(self._remote.routes, self._remote.configuration)
            self._children.tell_all("worker", Reroute(self._orders.routes))
            self.announce()
        elif answer.error:
            self._tell(events.ConfigurationRefused(version=push.version, error=answer.error))
        self._children.tell(worker, ConfigurationAnswered(push.number, answer.version, answer.error))
