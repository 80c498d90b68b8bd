"""The rules that are in force: this machine's own, or those that the service pushed. Their version is the supervisor's.

A push comes on any connection, is judged here (`actors.ingress.versions`), one after the other, and holds for all
workers and for those to come. The last good one is kept in the state folder: the next start goes by it from its first
second, and still takes any version that the service pushes.
"""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.bus import events
from actors.bus.messages import DECODE_ERRORS, ConfigurationAnswered, ConfigurationPushed, Reroute
from actors.bus.routes import Origin, Routes, all_to
from actors.ingress import defaults, parse, routing, versions
from actors.ingress.versions import NEVER, Answer, Applied
from actors.processes.log import Logger
from actors.supervisor.children import Children, Name
from actors.supervisor.orders import OrderBook
from actors.supervisor.settings import Settings
from actors.supervisor.vocabulary import RulesInForce
from actors.url_file import write_atomically

KEPT_FILE: Final = "configuration.json"
KEPT_MODE: Final = 0o600

MAX_CA_BYTES: Final = 4 * 1024 * 1024
"""Of a file of roots that a rule names: the system's own has a quarter of a MB."""

MAX_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of the file that is kept: a configuration of 1 MiB, as JSON within JSON."""

_PAGE: Final = re.compile(rb"hello[_-]world")
"""What stands in a configuration that needs the page of our own."""


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds."""

    tunnel_id: str
    version: int
    configuration: str
    """The JSON, as it was pushed."""


class Rules:
    """What is in force, and who says so."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
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
        self._file = folder / KEPT_FILE
        self._orders = orders
        self._children = children
        self._page = page
        self._tell = tell
        self._handle = handle
        self._log = log
        self._applied = Applied()
        self._only: Origin | None = None
        """Where everything goes, where there are no rules."""
        self._turn = asyncio.Lock()

    async def begin(self) -> Routes:
        """Where requests go at first, as this machine says: all to one place; by the rules of a file; as it was kept.

        Raises:
            LocalSetupError: the page of our own does not come up. UsageError: a rule of the file cannot be kept to.
        """
        settings = self._settings
        if settings.configuration is not None:
            from actors.supervisor import local_rules  # here, since few have such rules

            page = await self._page() if settings.configuration.has_hello_world else None
            routes = local_rules.routes(settings.configuration, page)
            self._applied = Applied(NEVER, settings.configuration, routes)
            return routes
        origin = await self._page() if settings.hello_world else settings.origin
        if origin is not None:
            self._only = origin
            return all_to(origin)
        await self._take_kept()
        return self._applied.routes

    def enforce(self, routes: Routes) -> None:
        """From now on these say where requests go."""
        self._orders.routes, self._orders.ingress = routes, self._told()
        self._children.tell_all("worker", Reroute(routes))
        if self._settings.tunnel is None and self._settings.configuration is None:
            return
        hostnames = routes.hostnames[: events.MAX_TOLD_HOSTNAMES]
        count = len(routes.routes)
        self._tell(events.ConfigurationApplied(version=routes.version, rules=count, hostnames=hostnames))
        self._handle(RulesInForce(count))  # whoever hears `state` knows the hostnames

    def _told(self) -> str:
        """The rules in force, as the edge is told them: a list, in JSON."""
        if self._only is not None:
            return msgspec.json.encode([{"service": self._only.url, "originRequest": {}}]).decode()
        return msgspec.json.encode(defaults.local_rules(self._applied.configuration)).decode()

    def remind(self, worker: Name) -> None:
        """Tell a worker that is up what holds now: rules may have come between its orders and its first word."""
        self._children.tell(worker, Reroute(self._orders.routes))

    async def pushed(self, worker: Name, push: ConfigurationPushed) -> None:
        """A worker told of a push: see to it that it gets the answer."""
        answer = await self.judge(push.version, push.configuration)
        self._children.tell(worker, ConfigurationAnswered(push.number, answer.version, answer.error))

    async def _take_kept(self) -> None:
        assert self._settings.tunnel is not None
        try:
            if (kept := _read(self._file)) is None or kept.tunnel_id != self._settings.tunnel.credentials.tunnel_id:
                return
            data = kept.configuration.encode()
            configuration = parse.remote(data)
            routes = routing.routes(
                configuration,
                version=NEVER,
                hello_world=await self._page_for(data),
                allowed=self._settings.remote_services,
                read_file=_check_file,
            )
        except (OSError, ValueError, *DECODE_ERRORS) as error:
            self._log.warning("the rules that were kept cannot be used", file=str(self._file), error=str(error))
        else:
            self._applied = Applied(NEVER, configuration, routes)
            self._log.info("rules as they were kept, until the service pushes others", version=kept.version)

    async def judge(self, version: int, data: bytes) -> Answer:
        """Judge what the service pushed; return what it is to be told."""
        async with self._turn:
            present = self._applied
            page = await self._page_for(data) if version > present.version else None
            self._applied, answer = versions.apply(
                present,
                version,
                data,
                hello_world=page,
                allowed=self._settings.remote_services,
                read_file=_check_file,
            )
            if self._applied is not present:
                self.enforce(self._applied.routes)
                self._keep(version, data)
            elif answer.error:
                self._tell(events.ConfigurationRefused(version=version, error=answer.error))
            return answer

    async def _page_for(self, data: bytes) -> Origin | None:
        return await self._page() if _PAGE.search(data) else None

    def _keep(self, version: int, data: bytes) -> None:
        assert self._settings.tunnel is not None
        kept = _Kept(self._settings.tunnel.credentials.tunnel_id, version, data.decode(errors="replace"))
        try:
            write_atomically(self._file, msgspec.json.encode(kept), mode=KEPT_MODE)
        except OSError as error:
            self._log.warning("the rules cannot be kept for the next start", file=str(self._file), error=error.strerror)


def _read(path: Path) -> _Kept | None:
    """What is kept, if anything is; of a file that only its owner, who is us, can have written."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as kept:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise OSError("others may have written it")
        return msgspec.json.decode(kept.read(MAX_KEPT_BYTES), type=_Kept)


def _check_file(path: str) -> None:
    """That a file of roots is one, and can be read.

    Raises:
        OSError: it cannot.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would keep us
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "is no file")
        if about.st_size > MAX_CA_BYTES:
            raise OSError(None, f"has more than {MAX_CA_BYTES} bytes")
    finally:
        os.close(file)
