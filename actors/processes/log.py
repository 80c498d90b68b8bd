"""Structured logs on stderr: readable on a terminal, one JSON object per line otherwise."""

import asyncio
import logging
import os
import select
import socket
import stat
import sys
from typing import Any, Final

import structlog

from actors.processes.text import ESCAPED

LEVELS: Final = ("debug", "info", "warning", "error")

Logger = structlog.typing.FilteringBoundLogger


PIPE_BUF: Final = select.PIPE_BUF
"""Bytes that a pipe takes as a whole (pipe(7)): 4096 on Linux."""

ERASE_LINE: Final = "\r\x1b[2K"
"""Back to the first column, and clear the line (ECMA-48: EL)."""


def has_colors() -> bool:
    """Whether stderr takes colours, and nobody said that they are not wanted (no-color.org)."""
    return is_lively() and not os.environ.get("NO_COLOR")


def is_lively() -> bool:
    """Whether stderr is a terminal on which a line can be drawn again."""
    try:
        return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    except (AttributeError, ValueError):
        return False


def _over_the_live_line(logger: Any, method: str, line: Any) -> str:
    """Erase what the supervisor draws there each second (`terminal.py`): any process of ours may be about to log."""
    return f"{ERASE_LINE}{line}"


def _without_controls(logger: Any, method: str, values: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What others said must not steer the terminal; a JSON line escapes it anyway."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in values.items()}


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def configure(*, level: str, as_json: bool, **bound: Any) -> Logger:
    """Set up structlog for this process and return its logger, with `bound` in every line.

    Tracebacks are plain: those that show local variables could show a secret.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(
            # Without the padding a line fits on 80 columns.
            colors=has_colors(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
            pad_level=False,
            sort_keys=False,
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        # Who sits there wants to know when it was here; programs compare machines.
        structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
    ]
    if as_json:
        processors.append(structlog.processors.format_exc_info)
    else:
        processors.append(_without_controls)
    structlog.configure(
        processors=[*processors, renderer, *([_over_the_live_line] if not as_json and is_lively() else [])],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    # What libraries have to say goes nowhere: their lines could quote headers or bodies.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.lastResort = None
    logger: Logger = structlog.get_logger(**bound)
    return logger


def watch(loop: asyncio.AbstractEventLoop, logger: Logger) -> None:
    """Log what goes wrong in callbacks and in tasks that nobody waits for: asyncio would tell nobody else."""

    def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        logger.error("internal fault", what=context.get("message"), exc_info=context.get("exception"))

    loop.set_exception_handler(handler)


class _Stderr:
    """stderr as it is at each write. One that is closed, or that nobody reads, loses the line, never the tunnel.

    A write would wait for a full pipe or a terminal that was stopped (Ctrl-S), and with it all that this process does.
    No thread is asked to wait in its place: the last line before an end must be out, and forks come later.
    """

    def __init__(self) -> None:
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            descriptor, encoding = sys.stderr.fileno(), sys.stderr.encoding or "utf-8"
            if self._lost:
                text = f"({self._lost} lines of the log were lost: stderr was not read)\n{text}"
            data = text.encode(encoding, errors=ESCAPED)
            self._lost += 1
            for start in range(0, len(data), PIPE_BUF):
                write_at_once(descriptor, data[start : start + PIPE_BUF])
            self._lost = 0
        except (AttributeError, OSError, ValueError):
            return 0
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def write_at_once(descriptor: int, data: bytes) -> None:
    """Write what can be written without waiting.

    The mode of a descriptor belongs to all who share it, and to other programs among them: it is not ours to change. So
    a pipe or a terminal is opened once more, for this write; a socket is told with each message. To ask first and then
    write would not do: others write to it in between, and a terminal that takes some bytes need not take all.

    Raises:
        BlockingIOError: nothing, or not all of it. OSError: it cannot be written to.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(descriptor)) as shared:
            written = shared.send(data, socket.MSG_DONTWAIT)
    elif not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        written = os.write(descriptor, data)  # a file: nobody has to read it
    elif (again := _opened_again(descriptor)) is not None:
        try:
            written = os.write(again, data)
        finally:
            os.close(again)
    elif _takes(descriptor):
        written = os.write(descriptor, data)
    else:
        written = 0
    if written < len(data):
        raise BlockingIOError


def _opened_again(descriptor: int) -> int | None:
    """The same pipe or terminal as a file of its own, which never waits; None where that cannot be had: beyond Linux,
    without /proc, or if it is another user's."""
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return None


def _takes(descriptor: int) -> bool:
    """Whether POLLOUT says that `PIPE_BUF` bytes can be written without waiting (pipe(7)), as far as it can know."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))
