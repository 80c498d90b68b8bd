"""From nothing to what the workers need: credentials from the API, and the edge's addresses."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from actors.bus import events
from actors.bus.addresses import HostPort
from actors.bus.messages import Credentials, EdgeAddress
from actors.errors import ApiServerError, ApiUnreachable, DiscoveryError, RateLimited, TunnelError
from actors.processes.log import Logger
from actors.processes.tasks import Tasks, beside
from actors.supervisor import discovery
from actors.supervisor.discovery import IpVersion
from actors.supervisor.keeper import Keeper
from actors.supervisor.provisioning import DEFAULT_SERVICE_URL, request_tunnel
from actors.supervisor.rate_limit import RateLimitMemory, wait_for
from actors.supervisor.settings import Settings

RATE_LIMIT_TRIES: Final = 5
"""Requests that may be answered with 429 before the start fails."""

API_TRIES: Final = 4
"""Requests that may fail for another passing cause."""

API_BACKOFF: Final = (1.0, 2.0, 4.0)
"""Seconds between those, with jitter."""

Announce = Callable[[events.Event], None]


class TunnelSource:
    """Where tunnels come from, and the edge's addresses. The first tunnel is a token's, or an earlier supervisor's
    (`--keep`); else it is asked for, as others are with `--renew`."""

    def __init__(
        self, settings: Settings, state_folder: Path, keeper: Keeper | None, announce: Announce, log: Logger
    ) -> None:
        self._settings = settings
        self._state_folder = state_folder
        self._keeper = keeper
        self._announce = announce
        self._log = log
        self._service_url = settings.service_url
        self._edges = settings.edges
        self._asked: asyncio.Future[Credentials] | None = None
        """The first request to the API, if it is made beside the rest of the start."""

    def use_local_edge(self, service_url: str, edge: HostPort) -> None:
        """Take tunnels of an edge on this machine."""
        self._service_url, self._edges = service_url, ((edge.host, edge.port),)

    @property
    def asks_dns(self) -> bool:
        """Whether the edge's addresses come from DNS: where they were given, a dead resolver explains nothing."""
        return not self._edges

    @property
    def names_are_public(self) -> bool:
        """Whether DNS will know the tunnels' names: Cloudflare's own service sees to that, others need not."""
        return self._settings.tunnel is None and self._service_url == DEFAULT_SERVICE_URL

    @property
    def service(self) -> str:
        """The name that DNS knows the edge by."""
        return discovery.edge_service(self._settings.region)

    @property
    def has_kept(self) -> bool:
        """Whether the next tunnel is one that an earlier supervisor had."""
        return self._keeper is not None and self._keeper.has_one

    def ask_ahead(self, tasks: Tasks) -> None:
        """Begin the first request to the API, if there is to be one."""
        if self._settings.tunnel is None and not self.has_kept:
            self._asked = ask_ahead(self._service_url, self._settings.user_agent, self._memory(), tasks)

    async def obtain(self, assigned: Callable[[Credentials], None]) -> list[EdgeAddress]:
        """Get a tunnel, which `assigned` is told of at once; return the edge's addresses.

        Raises:
            TunnelError: there is no tunnel to be had, or no edge.
        """
        settings = self._settings
        async with beside(find_edges(self._edges, settings.edge_ip_version, settings.region)) as found:
            assigned(self._at_hand() or await self._ask())
            try:
                return await found
            except DiscoveryError as error:
                if self._settings.proxies.proxy is None or self._edges or self._settings.limits.protocol == "quic":
                    raise
                self._log.warning("the proxy is asked for the edge by name", cause=str(error))
                return discovery.by_name(self._settings.region)

    def _at_hand(self) -> Credentials | None:
        """A tunnel that need not be asked for."""
        if self._settings.tunnel is not None:
            return self._settings.tunnel.credentials
        return self._keeper.take() if self._keeper is not None else None

    async def _ask(self) -> Credentials:
        self._log.info("asking for a tunnel", service=self._service_url)
        asked, self._asked = self._asked, None
        credentials = await obtain_credentials(
            self._service_url,
            self._settings.user_agent,
            self._memory(),
            self._announce,
            self._log,
            rng=random.Random(),
            asked=asked,
        )
        if self._keeper is not None:
            self._keeper.keep(credentials, self._announce)
        return credentials

    async def keep_touching(self, serves: Callable[[], bool]) -> None:
        """With `--keep`: note now and then that the tunnel serves."""
        if self._keeper is not None:
            await self._keeper.keep_touching(serves)

    def ended(self, error: TunnelError | None) -> None:
        """The supervisor ends, as asked or because of `error`."""
        if self._keeper is not None:
            self._keeper.ended(error)

    async def proxy_addresses(self, edges: Sequence[EdgeAddress]) -> list[EdgeAddress]:
        """Where the proxy is through which these are reached; none: they are reached directly."""
        proxy = self._settings.proxies.for_edge(edges[0])
        return await discovery.resolve(proxy.host, proxy.port) if proxy is not None else []

    def _memory(self) -> RateLimitMemory:
        # One refusal is all tunnels' of this user: the usual folder remembers it for those beside it too.
        return RateLimitMemory(self._settings.state_folder or self._state_folder, self._service_url)


async def obtain_credentials(
    service_url: str,
    user_agent: str,
    memory: RateLimitMemory,
    announce: Announce,
    log: Logger,
    *,
    rng: random.Random,
    asked: Awaitable[Credentials] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Credentials:
    """Ask the API for a tunnel, and again where that can help. `asked`: a first request that is under way already.

    Raises:
        RateLimited: after `RATE_LIMIT_TRIES` refusals. ProvisioningError: for another cause.
    """
    refusals = failures = 0
    if left := memory.seconds_left(time.time()):
        await _wait(left, refusals, announce, log, sleep, cause="an earlier start was rate limited")
    while True:
        try:
            answer, asked = asked or request_tunnel(service_url, user_agent=user_agent), None
            credentials = await answer
        except RateLimited as error:
            refusals += 1
            try:
                wait = memory.refused(time.time(), error.retry_after)
            except OSError as problem:
                log.warning("cannot remember the rate limit across restarts", error=problem.strerror)
                wait = wait_for(error.retry_after)
            if refusals >= RATE_LIMIT_TRIES:
                raise RateLimited(
                    f"{error}, {refusals} times in a row. Try again in {wait:.0f} s or later.", retry_after=wait
                ) from None
            await _wait(wait, refusals, announce, log, sleep, cause=str(error))
        except (ApiServerError, ApiUnreachable) as error:
            failures += 1
            if failures >= API_TRIES:
                raise
            wait = API_BACKOFF[failures - 1] * rng.uniform(0.5, 1.0)
            log.warning("the tunnel API failed; trying again", error=str(error), wait=round(wait, 1))
            await sleep(wait)
        else:
            _forget(memory)
            return credentials


def ask_ahead(
    service_url: str, user_agent: str, memory: RateLimitMemory, tasks: Tasks
) -> asyncio.Future[Credentials] | None:
    """Begin the first request to the API, beside whatever else a start has to do; None: it is too early for one."""
    if memory.seconds_left(time.time()):
        return None
    answer: asyncio.Future[Credentials] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        try:
            credentials = await request_tunnel(service_url, user_agent=user_agent)
        except TunnelError as error:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # seen here, in case the start fails for another reason first
        else:
            if not answer.done():  # it is cancelled when a stop ends the wait for it
                answer.set_result(credentials)

    tasks.start(ask(), name="first request")
    return answer


def _forget(memory: RateLimitMemory) -> None:
    try:
        memory.forget()
    except OSError:
        return  # it is in the past by now, or cannot be read either


async def _wait(
    seconds: float,
    refusals: int,
    announce: Announce,
    log: Logger,
    sleep: Callable[[float], Awaitable[None]],
    *,
    cause: str,
) -> None:
    until = time.time() + seconds
    announce(events.RateLimited(attempt=refusals, attempts=RATE_LIMIT_TRIES, retry_after=seconds, until=until))
    clock = datetime.fromtimestamp(until).astimezone().strftime("%H:%M:%S")
    log.warning(
        f"rate limited; next try at {clock}", cause=cause, wait=round(seconds), attempt=f"{refusals}/{RATE_LIMIT_TRIES}"
    )
    await sleep(seconds)


async def find_edges(given: tuple[tuple[str, int], ...], ip_version: IpVersion, region: str = "") -> list[EdgeAddress]:
    """The edge's addresses, those given or those that DNS knows.

    Raises:
        DiscoveryError: there are none.
    """
    if given:
        return await discovery.resolve_given(given, ip_version)
    return await discovery.discover(ip_version, service=discovery.edge_service(region))
