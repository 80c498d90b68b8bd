"""A process that has loaded what later children need, and forks them on demand (Linux).

It is forked itself (`forked.py`) before there is a secret, a socket or a thread, and gets none later. So its forks are
safe, cost a few milliseconds, and share what is imported. They run the code that the supervisor was started with: an
upgrade of the package, half of one, or a folder that is gone touches no tunnel that runs.

A child is forked twice, and the one in between ends at once: the kernel then gives the child to the supervisor, which
is a "subreaper" (prctl(2)). It has its exit status, its pidfd and its death signal, as with any child of its own,
and the end of the nursery harms nobody: whatever comes after it is executed.
"""

import asyncio
import contextlib
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

from actors.processes import lifeline
from actors.processes.forked import Forked, become, fork, kill

MODULE: Final = "actors.processes.nursery"

NAME: Final = "nursery-0.1"
"""For ps and top, where the others are called by actor, slot and generation."""

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for an answer. The first one waits for imports of 0.3 s; a child that is executed instead, after a nursery
that was stopped, has half of its time to come up (`restart.READY_TIMEOUT`) left then."""

MAX_NAME_BYTES: Final = 256
"""Of a module's name, or of an answer, which is a process id."""

NOBODY: Final = b"0"
"""The answer when no process is to be had, or the module was not loaded."""


class Nursery:
    """The supervisor's end."""

    def __init__(self, pid: int, pidfd: int, channel: socket.socket) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._channel: socket.socket | None = channel
        self._lock = asyncio.Lock()

    async def fork(self, module: str) -> Forked | None:
        """A child that runs `python -m module`, and waits for its orders on stdin; None: it has to be executed."""
        async with self._lock:
            if self._channel is None:
                return None
            theirs, ours = os.pipe()
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    answer = await self._ask(self._channel, module, theirs)
                if answer == NOBODY:
                    os.close(ours)
                    return None
                pid = int(answer)  # an empty answer: it has ended
                return Forked(pid, os.pidfd_open(pid), ours)
            except BaseException as error:
                os.close(ours)
                self.close()  # an answer that comes later would be taken for the next one
                if isinstance(error, OSError | TimeoutError | ValueError):
                    return None
                raise
            finally:
                os.close(theirs)

    async def _ask(self, channel: socket.socket, module: str, stdin: int) -> bytes:
        socket.send_fds(channel, [module.encode()], [stdin])
        return await asyncio.get_running_loop().sock_recv(channel, MAX_NAME_BYTES)

    def close(self) -> None:
        """End it. It holds nothing, and nobody depends on it."""
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        kill(self.pid, self._pidfd)


@contextlib.contextmanager
def nursery(load: Callable[[], object], load_more: Callable[[], object]) -> Iterator[Nursery | None]:
    """A nursery for the length of the block, which does `load` first, and `load_more` once it has a child; None where
    there can be none.
    """
    made = None
    if sys.platform.startswith("linux") and lifeline.adopt_orphans():
        with contextlib.suppress(OSError):
            made = _make(load, load_more)
    try:
        yield made
    finally:
        if made is not None:
            made.close()


def _make(load: Callable[[], object], load_more: Callable[[], object]) -> Nursery:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            pid, pidfd = fork(MODULE, theirs.fileno(), lambda: _serve(load, load_more))
        except OSError:
            ours.close()
            raise
    ours.setblocking(False)
    return Nursery(pid, pidfd, ours)


# --- the process itself ---------------------------------------------------------------------------------------------


def _serve(load: Callable[[], object], load_more: Callable[[], object]) -> None:
    """Fork whom the supervisor asks for, until it is gone."""
    lifeline.protect_secrets()  # its children get some
    lifeline.die_with_parent(os.getppid())
    lifeline.call_itself(NAME)
    load()
    with socket.socket(fileno=lifeline.STDIN) as channel:
        while True:
            request, descriptors, _, _ = socket.recv_fds(channel, MAX_NAME_BYTES, 1)
            if not request:
                return
            module, (stdin,) = request.decode(), descriptors
            channel.send(_bear(module, stdin) if module in sys.modules else NOBODY)
            os.close(stdin)
            load_more()  # nothing, from the second time on: it is loaded


def _bear(module: str, stdin: int) -> bytes:
    """Fork a child of the supervisor; return its process id, or `NOBODY`."""
    told, tells = os.pipe()
    try:
        if (between := os.fork()) == 0:
            _be_between(module, stdin, tells)
        os.waitpid(between, 0)  # the child is the supervisor's from here on
    except OSError:
        return NOBODY
    else:
        os.set_blocking(told, False)
        with contextlib.suppress(BlockingIOError):
            return os.read(told, MAX_NAME_BYTES)
        return NOBODY
    finally:
        os.close(told)
        os.close(tells)


def _be_between(module: str, stdin: int, tells: int) -> None:
    """Fork the child, say who it is, and leave it to the supervisor."""
    try:
        gone = os.pidfd_open(os.getpid())
        if (pid := os.fork()) == 0:
            # Until it has another parent it must not ask whose end is its own.
            select.select([gone], [], [])
            become(module, stdin, _main_of(module))
        os.write(tells, str(pid).encode())
    finally:
        os._exit(0)


def _main_of(module: str) -> Callable[[], object]:
    """What `python -m module` would do, from what is loaded: the files may be others by now, or gone."""
    loaded = sys.modules.get(f"{module}.__main__") or sys.modules[module]
    return lambda: sys.exit(loaded.main())
