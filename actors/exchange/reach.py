"""Reaches an origin that has several addresses: each is tried, and one that is deaf holds nobody up for long.

This is RFC 8305 (Happy Eyeballs) without its finer points. asyncio has it too, but not for addresses that are given
one by one, and not on every event loop.
"""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ATTEMPT_DELAY: Final = 0.25
"""Seconds that an address has before the next one is tried beside it (RFC 8305 section 5)."""


class Unreachable(OSError):
    """Every address failed. `errors` says how, by address."""

    def __init__(self, errors: dict[str, OSError]) -> None:
        super().__init__("no address could be reached")
        self.errors = errors


class Reach(Generic[T]):
    """Reaches one of the addresses of `hosts`; the one that was reached last is tried first."""

    def __init__(self, hosts: Sequence[str], port: int, *, beside: bool = True) -> None:
        """`hosts` are names or IP addresses. `beside`: an address that is deaf gets another one tried beside it; else
        each has its share of the time, and the next one comes after it."""
        self._hosts = hosts
        self._port = port
        self._beside = beside
        self._best: str | None = None

    async def __call__(
        self, attempt: Callable[[str], Awaitable[T]], close: Callable[[T], None], *, timeout: float
    ) -> T:
        """Return what `attempt` made with an address, within `timeout` seconds. `close` ends what was made too late.

        Raises:
            Unreachable: it failed with each of them. OSError: a name has none. TimeoutError: nor any yet.
        """
        end = asyncio.get_running_loop().time() + timeout
        async with asyncio.timeout_at(end):
            hosts = self._hosts
            addresses = list(hosts) if len(hosts) > 1 else await resolved(hosts[0], self._port)
        if self._best in addresses:
            addresses.remove(self._best)
            addresses.insert(0, self._best)
        if self._beside:
            address, made = await _first(addresses, attempt, close, end)
        else:
            address, made = await _in_order(addresses, attempt, end)
        self._best = address
        return made


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, those of the two families in turn; of an address itself.

    Raises:
        OSError: it has none.
    """
    if _is_address(host):
        return [host]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "no name that there could be") from error
    return in_turn([_text(address) for _, _, _, _, address in found])


def in_turn(addresses: Sequence[str]) -> list[str]:
    """The same, each once, the two families in turn, that of the first one first."""
    distinct = list(dict.fromkeys(addresses))
    families: dict[bool, list[str]] = {}
    for address in distinct:
        families.setdefault(":" in address, []).append(address)
    return [one for turn in itertools.zip_longest(*families.values()) for one in turn if one is not None]


async def _first(
    addresses: Sequence[str], attempt: Callable[[str], Awaitable[T]], close: Callable[[T], None], end: float
) -> tuple[str, T]:
    """Try one after the other, each `ATTEMPT_DELAY` after the one before it, or as soon as all before it failed.

    `end` is when to give up, on the event loop's clock.
    """
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        try:
            async with asyncio.timeout_at(end):
                return addresses[0], await attempt(addresses[0])
        except OSError as error:
            raise Unreachable({addresses[0]: error}) from error
    errors: dict[str, OSError] = {}
    running: dict[asyncio.Future[T], str] = {}
    left = list(addresses)
    try:
        while (left or running) and (seconds := end - loop.time()) > 0:
            if left:
                address = left.pop(0)
                running[asyncio.ensure_future(attempt(address))] = address  # noqa: TID251 - held, and ended below
            seconds = min(seconds, ATTEMPT_DELAY) if left else seconds
            done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                failure = future.exception()
                if failure is None:
                    return running.pop(future), future.result()
                if not isinstance(failure, OSError):
                    raise failure
                errors[running.pop(future)] = failure
        raise Unreachable(errors | {address: TimeoutError() for address in (*running.values(), *left)})
    finally:
        for future in running:
            future.add_done_callback(lambda late: _discard(late, close))
            future.cancel()


async def _in_order(addresses: Sequence[str], attempt: Callable[[str], Awaitable[T]], end: float) -> tuple[str, T]:
    """Try one after the other, each for its share of the time that is left."""
    loop = asyncio.get_running_loop()
    errors: dict[str, OSError] = {}
    for index, address in enumerate(addresses):
        share = max(0.0, end - loop.time()) / (len(addresses) - index)
        try:
            async with asyncio.timeout(share):
                return address, await attempt(address)
        except OSError as error:
            errors[address] = error
    raise Unreachable(errors)


def _discard(late: asyncio.Future[T], close: Callable[[T], None]) -> None:
    if not late.cancelled() and late.exception() is None:
        close(late.result())


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False


def _text(address: tuple[object, ...]) -> str:
    """A socket address's host, with the zone of one that is valid on one link only."""
    host = str(address[0])
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] and "%" not in host else host
