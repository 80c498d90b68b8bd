"""From nothing to what the workers need: credentials from the API, and the edge's addresses."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from actors.bus import events
from actors.bus.messages import Credentials, EdgeAddress
from actors.errors import ApiServerError, ApiUnreachable, RateLimited, TunnelError
from actors.processes.log import Logger
from actors.processes.tasks import Tasks
from actors.supervisor import discovery
from actors.supervisor.discovery import IpVersion
from actors.supervisor.provisioning import request_tunnel
from actors.supervisor.rate_limit import RateLimitMemory, wait_for

RATE_LIMIT_TRIES: Final = 5
"""Requests that may be answered with 429 before the start fails."""

API_TRIES: Final = 4
"""Requests that may fail for another passing cause."""

API_BACKOFF: Final = (1.0, 2.0, 4.0)
"""Seconds between those, with jitter."""

Announce = Callable[[events.Event], None]


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


async def find_edges(given: tuple[tuple[str, int], ...], ip_version: IpVersion) -> list[EdgeAddress]:
    """The edge's addresses, those given or those that DNS knows.

    Raises:
        DiscoveryError: there are none.
    """
    if given:
        return await discovery.resolve_given(given, ip_version)
    return await discovery.discover(ip_version)
