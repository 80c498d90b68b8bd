"""The gate of a guard: what `actors/guard` judges is asked here, with clocks, and with a thread for what takes long."""

import asyncio
import mmap
import os
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from actors.bus.guards import Guard
from actors.exchange import reasons
from actors.exchange.gate import Passed, Refusal, Verdict
from actors.exchange.request import Request
from actors.guard.logins import Credentials
from actors.guard.sentry import Sentry
from actors.guard.shared import KEY_BYTES, SIZE, Shared, row_of

VERIFIERS: Final = 2
"""Threads that verify passwords: bcrypt lets go of Python's lock, and takes a core as long as it runs."""

MAX_WAITING: Final = 16
"""Passwords that wait to be verified: at a tenth of a second each, some seconds. Whoever guesses at passwords is kept
to that speed, and does not fill memory."""

TOO_MANY: Final = Refusal(
    503,
    f"{MAX_WAITING} passwords are being verified already",
    reasons.GUARD_BUSY,
    ((b"Retry-After", b"2"),),
    is_told=False,
)


class Guarding:
    """What the guards of one worker have in common."""

    def __init__(self, path: str | None, slot: int, generation: int) -> None:
        """`path`: the file that all workers of the tunnel share; None: this one counts for itself.

        Raises:
            OSError: the file cannot be mapped.
        """
        self.row = row_of(slot, generation)
        self.shared = Shared(_own() if path is None else _mapped(path))
        self.shared.clear(self.row)
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def verify(self, sentry: Sentry, given: Credentials) -> bool | None:
        """Whether credentials are right; None: too many are being verified."""
        if self._waiting >= MAX_WAITING:
            return None
        if self._threads is None:
            self._threads = ThreadPoolExecutor(VERIFIERS, thread_name_prefix="password")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, sentry.logins.verify, given)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """No request is judged any more; those that are in flight count no longer."""
        self.shared.clear(self.row)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _own() -> mmap.mmap:
    """Memory of this process, which takes none before it is touched."""
    made = mmap.mmap(-1, SIZE)
    made[:KEY_BYTES] = os.urandom(KEY_BYTES)
    return made


def _mapped(path: str) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return mmap.mmap(file, SIZE)
    finally:
        os.close(file)


class Shut:
    """Lets nobody through (`Gate`)."""

    def judge(self, request: Request, body: bytes | None) -> Refusal:
        told = "nobody can tell for which rule the path is, as servers may read it"
        return Refusal(403, told, reasons.GUARD_PATH, is_told=False)


class GuardGate:
    """Lets through whom its guard lets in (`Gate`)."""

    def __init__(self, guard: Guard, number: int, guarding: Guarding) -> None:
        """`number`: of this guard among those of the tunnel."""
        self._sentry = Sentry(guard, number, guarding.shared, guarding.row)
        self._guarding = guarding

    def judge(self, request: Request, body: bytes | None) -> Verdict | Coroutine[Any, Any, Verdict]:
        if body is not None:
            return self._inside(self._sentry.by_body(request, body, time.time()))
        now = time.monotonic()
        if (refusal := self._sentry.turned_away(request, now)) is not None:
            return refusal
        proof = self._sentry.proof(request, now, time.time())
        if isinstance(proof, Credentials):
            return self._verified(request, proof)
        return self._inside(proof)

    async def _verified(self, request: Request, given: Credentials) -> Verdict:
        is_right = await self._guarding.verify(self._sentry, given)
        if is_right:
            self._sentry.logins.remember(given, time.monotonic())
            return self._inside(Passed(request))
        otherwise = self._sentry.without_login(request)
        return TOO_MANY if is_right is None and isinstance(otherwise, Refusal) else otherwise

    def _inside(self, proof: Verdict) -> Verdict:
        return self._sentry.let_in(proof.request, time.monotonic()) if isinstance(proof, Passed) else proof
