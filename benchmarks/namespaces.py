"""Networks of one's own: Linux' network namespaces, without a name, so that each goes with the last process in it.

A thread is in one network at a time, and so is what it starts; a socket stays in the network in which it was made.
"""

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Final

TUN: Final = "/dev/net/tun"
"""Where the kernel makes network devices whose cable is a process."""

_CLONE_NEWNET: Final = 0x40000000
"""Of `unshare(2)` and `setns(2)`, which Python has names for since 3.12 only."""

_PROGRAMS: Final = {"ip": "iproute2", "nsenter": "util-linux"}


def unshare() -> None:
    """Leave the network that this thread is in for a new one, in which there is nothing.

    Raises:
        OSError: that is not allowed.
    """
    _succeeds("unshare", _CLONE_NEWNET)


def enter(path: str) -> None:
    """Go to the network at `path`: /proc/PID/ns/net.

    Raises:
        OSError: it is no more, or that is not allowed.
    """
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _succeeds("setns", opened, _CLONE_NEWNET)
    finally:
        os.close(opened)


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Whichever network this thread goes to in the block: after it, it is back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _succeeds("setns", home, _CLONE_NEWNET)
        os.close(home)


def missing() -> str | None:
    """What this machine lacks for a link between two networks, as a sentence; None: nothing."""
    if sys.platform != "linux":
        return "only Linux has the network namespaces and TUN devices that a link is made of"
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            return f"the program {program!r} is not installed (Debian: {package})"
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{TUN} cannot be opened: {error.strerror} (it takes root, and in a container `--device {TUN}`)"
    try:
        with away():
            unshare()
    except OSError as error:
        allow = "`--cap-add SYS_ADMIN --cap-add NET_ADMIN`"
        return f"no network namespace can be made: {error.strerror} (it takes root, and in a container {allow})"
    return None


def _succeeds(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
