"""What every process needs of its machine, and how it is said when the machine says no: in one line, never a traceback.

A refused system call (a limit, a full disk, a sandbox) is no fault of the program: who reads of it wants to know what
was refused, and what to do. The place in the code is said with it, for whoever has to look further.
"""

import errno
import os
import select
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from zmq import ZMQError

from actors.errors import TunnelError

_ADVICE: Final = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the whole machine has no more open files to give: end what has too many",
    errno.EAGAIN: "raise the limit of processes and threads (ulimit -u; of a container: pids)",
    errno.ENOMEM: "free some memory, or raise the limit (ulimit -v; of a container: memory)",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space: the quota is used up",
    errno.EROFS: "set TMPDIR, or --state-dir, to a folder that can be written",
    errno.EPERM: "a sandbox (seccomp, AppArmor, SELinux, systemd's SystemCallFilter) may forbid it: allow it there",
    errno.EACCES: "a sandbox (seccomp, AppArmor, SELinux, systemd's SystemCallFilter) may forbid it: allow it there",
    errno.ENOSYS: "the kernel is too old for it, or a sandbox (seccomp) hides it",
}

EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""By these a socket is refused for what this process or machine has no more of: they say nothing about the network."""

_NO_THREAD: Final = "can't start new thread"
"""What Python says when the kernel refuses a thread: a RuntimeError without a number."""

_OURS: Final = str(Path(__file__).parents[1])


def check() -> None:
    """Ask for what libzmq ends the whole process for, without a word of ours: an epoll, an eventfd, a thread whose
    scheduling may be set (to what it is). And for what OpenSSL has no words for: random bytes of the kernel.

    Raises:
        OSError, RuntimeError: one of them is not to be had.
    """
    if sys.platform == "linux":
        select.epoll().close()
        os.close(os.eventfd(0))
        os.sched_setscheduler(0, os.sched_getscheduler(0), os.sched_getparam(0))
        os.getrandom(1)
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def refusal(error: BaseException) -> str | None:
    """One line about what the machine refused; None if `error` is not of that kind."""
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        number, said = errno.EAGAIN, "no thread can be started"
    elif isinstance(error, OSError | ZMQError):
        number, said = error.errno or 0, str(error.strerror or error)
    else:
        return None
    path = getattr(error, "filename", None)
    about = f"{os.fsdecode(path)}: {said}" if isinstance(path, str | bytes) else said
    advice = _ADVICE.get(number)
    return f"this machine refused what a tunnel needs: {about} ({_place(error)})" + (f"; {advice}" if advice else "")


def _place(error: BaseException) -> str:
    """The innermost line of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_OURS)]
    if not ours:
        return "while starting"
    return f"at {os.path.relpath(ours[-1].filename, os.path.dirname(_OURS))}:{ours[-1].lineno}"


def say_refusals(name: str) -> None:
    """Let a refusal that ends this process be one line on stderr, and not a traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        line = str(error) if isinstance(error, TunnelError) else refusal(error)
        if line is None:
            sys.__excepthook__(kind, error, trace)
            return
        quiet_end()
        print(f"{name}: {line}", file=sys.stderr)

    sys.excepthook = hook


def quiet_end() -> None:
    """This process ends for want of something: objects that were half made have nothing to add as they go."""
    sys.unraisablehook = lambda _: None
