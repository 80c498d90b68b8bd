"""What ties a supervisor to the program that started it: a pipe, of which the program holds the writing end."""

import contextlib
import os
import weakref
from collections.abc import Iterator
from typing import ClassVar


class Tether:
    """A pipe to the supervisor's stdin, which ends with this program, and with no copy of it."""

    _all: ClassVar[weakref.WeakSet["Tether"]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._far, self._near = os.pipe()
        os.set_blocking(self._near, False)
        self._all.add(self)

    @contextlib.contextmanager
    def far_end(self) -> Iterator[int]:
        """What becomes the supervisor's stdin, and is its own after the block."""
        try:
            yield self._far
        except BaseException:
            self.cut()
            raise
        finally:
            os.close(self._far)

    def say(self, line: bytes) -> None:
        """Give an order. A supervisor that has ended hears none, and one that reads nothing is killed in the end."""
        with contextlib.suppress(OSError):
            os.write(self._near, line)

    def cut(self) -> None:
        """Let go."""
        if self._near >= 0:
            os.close(self._near)
            self._near = -1

    @classmethod
    def forked(cls) -> None:
        """In a child that was forked: it holds copies, and could outlive the program."""
        for tether in cls._all:
            tether.cut()


os.register_at_fork(after_in_child=Tether.forked)
