"""Structured logs on stderr: readable on a terminal, one JSON object per line otherwise."""

import asyncio
import logging
import os
import sys
from typing import Any, Final

import structlog

LEVELS: Final = ("debug", "info", "warning", "error")

Logger = structlog.typing.FilteringBoundLogger


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
    return {name: _printable(value) if isinstance(value, str) else value for name, value in values.items()}


def _printable(text: str) -> str:
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
    """stderr as it is at each write; a closed or broken one loses the line, never the tunnel."""

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except (AttributeError, OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):
            return
