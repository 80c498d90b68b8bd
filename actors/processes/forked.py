"""The first children are forked, before this process has a thread, a socket or a secret.

They share its imports then, in time and in memory. A fork of a running supervisor would be unsafe, since libzmq has
threads, and it would hold the tunnel's secret and all sockets. So one of the first children is a nursery
(`nursery.py`), which forks those that come later.

Linux only: elsewhere system libraries may have threads that nobody here knows of (CPython, `os.fork`), and a pidfd
(pidfd_open(2), since 5.3) is what tells of the end of such a child without a thread, and never names another process.
"""

import asyncio
import contextlib
import os
import runpy
import select
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NoReturn

FIRST_DESCRIPTOR: Final = 3
"""After the standard streams. None of the others is for a child: with the far end of a sibling's stdin it would keep
that one from seeing that the parent is gone."""

END_OF_DESCRIPTORS: Final = 65536
"""Descriptors are closed up to this one: a process that has just begun has none higher. Its limit may be a thousand
million, and a kernel before 5.9 would close all of these one by one."""

UNKNOWN_STATUS: Final = 255
"""The exit status of a child whose end somebody else was told of; asyncio says the same of those that it starts."""


KILL_PATIENCE: Final = 5.0
"""Seconds for a child to be gone after SIGKILL. One that is not hangs in the kernel, as on a file system that is dead,
and nobody can wait for that."""


class Forked:
    """A child that was forked: its process id, its end, and its stdin."""

    def __init__(self, pid: int, pidfd: int, stdin: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._stdin = os.fdopen(stdin, "wb", buffering=0)
        self._writer: asyncio.WriteTransport | None = None
        self._status: asyncio.Future[int] | None = None

    async def write(self, data: bytes) -> None:
        """Write to its stdin; what the pipe does not take at once follows, if the child lives."""
        if self._writer is None:
            loop = asyncio.get_running_loop()
            self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._stdin)
        self._writer.write(data)

    async def wait(self) -> int:
        """Wait for its end; return its exit status (negative: the signal that killed it), or `UNKNOWN_STATUS`."""
        if self._status is None:
            loop = asyncio.get_running_loop()
            self._status = loop.create_future()
            loop.add_reader(self._pidfd, self._ended)
        return await asyncio.shield(self._status)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal.

        Raises:
            ProcessLookupError: it has ended.
        """
        if self._pidfd < 0:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)

    def abandon(self) -> None:
        """Kill it: nobody wrote to it, and nobody waits for it."""
        if self._pidfd >= 0:
            kill(self.pid, self._pidfd)
            self._pidfd = -1
        self._stdin.close()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        assert self._status is not None
        self._status.set_result(self._reap())
        if self._writer is not None and not self._writer.is_closing():
            self._writer.abort()

    def _reap(self) -> int:
        status = _status_of(self.pid)
        os.close(self._pidfd)
        self._pidfd = -1
        return status


def kill(pid: int, pidfd: int) -> None:
    """Kill a child at once, and forget it; its pidfd is closed."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    if ended.poll(KILL_PATIENCE * 1000):
        _status_of(pid)
    os.close(pidfd)


def _status_of(pid: int) -> int:
    """The exit status of a child that has ended."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return UNKNOWN_STATUS


@contextlib.contextmanager
def forked(modules: Iterable[str]) -> Iterator[dict[str, Forked]]:
    """Fork a child for each module; it runs as `python -m module` would, and waits for its orders on stdin.

    Those that are still there at the end are killed: whoever takes one removes it. Where it cannot be done there are
    none, or fewer.
    """
    children: dict[str, Forked] = {}
    try:
        if sys.platform.startswith("linux"):
            with contextlib.suppress(OSError):  # no pidfd, no process to be had: what is executed later says why
                for module in modules:
                    children[module] = _fork(module)
        yield children
    finally:
        for child in children.values():
            child.abandon()


def _fork(module: str) -> Forked:
    theirs, ours = os.pipe()
    try:
        return Forked(
            *fork(module, theirs, lambda: runpy.run_module(module, run_name="__main__", alter_sys=True)), ours
        )
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)


def _check_pidfd() -> None:
    """Before there is a child that could be neither told of nor ended.

    Raises:
        OSError: there are no pidfds here.
    """
    ours = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(ours, 0)  # no signal: only whether one might be sent
    finally:
        os.close(ours)


def fork(module: str, stdin: int, run: Callable[[], object]) -> tuple[int, int]:
    """Fork a child that does `run` as if it were `python -m module`; return its process id and a pidfd.

    Raises:
        OSError: there is no pidfd, or no process to be had.
    """
    _check_pidfd()
    if (pid := os.fork()) == 0:
        become(module, stdin, run)
    return pid, os.pidfd_open(pid)


def become(module: str, stdin: int, run: Callable[[], object]) -> NoReturn:
    """Be the child, in a process that has just been forked: do `run`, and end."""
    from setproctitle import setproctitle  # here: it is installed on Linux only

    status = 1
    try:
        os.setsid()  # a Ctrl-C on the terminal reaches the supervisor only
        os.dup2(stdin, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the URL's alone
        os.closerange(FIRST_DESCRIPTOR, END_OF_DESCRIPTORS)
        sys.argv = [module]
        setproctitle(f"{sys.executable} -P -m {module}")  # as if it had been executed, for ps and pgrep
        run()
        status = 0
    except SystemExit as end:
        status = _status(end.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


def _status(code: object) -> int:
    """What the interpreter makes of what `sys.exit` was given."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1
