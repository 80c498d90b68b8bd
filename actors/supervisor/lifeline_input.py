"""With `--lifeline`, stdin ties the tunnel to the program that started it: its end ends the tunnel.

A line is an order: `{"type":"drain","grace":5.0}` stops in order, with that many seconds for what is in flight;
`{"type":"recount","number":7}` asks for a `stats` event with that number, in which all is counted that passed by now.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from typing import Final

import msgspec

from actors.bus.messages import Drain, Recount
from actors.errors import UsageError
from actors.processes.lifeline import STDIN

MAX_LINE: Final = 1024
"""Bytes of an order; longer ones are none of ours."""


def check_stdin() -> None:
    """See to it that somebody can hold the other end of stdin.

    Raises:
        UsageError: nobody can.
    """
    mode = os.fstat(STDIN).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(STDIN)):
        raise UsageError(
            "--lifeline ends the tunnel with the program at the other end of stdin, and this stdin (a file, /dev/null, "
            "or closed) has none. Leave --lifeline out, or give it a pipe that stays open."
        )


class LifelineInput:
    """Reads stdin in the running event loop. `on_order` gets each order; `on_gone` is called once, at its end."""

    def __init__(self, on_order: Callable[[Drain | Recount], None], on_gone: Callable[[], None]) -> None:
        self._on_order = on_order
        self._on_gone = on_gone
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(STDIN, False)
        self._loop.add_reader(STDIN, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(STDIN, MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(STDIN)
            self._on_gone()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._buffer = self._buffer[-MAX_LINE:]
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):  # what is no order is none
                self._on_order(msgspec.json.decode(line, type=Drain | Recount))
