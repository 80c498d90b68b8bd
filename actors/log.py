"""Structured logs on stderr: readable on a terminal, one JSON object per line otherwise."""

import asyncio
import logging
import sys
from typing import Any, Final

import structlog

LEVELS: Final = ("debug", "info", "warning", "error")

Logger = structlog.typing.FilteringBoundLogger


def configure(*, level: str, as_json: bool, **bound: Any) -> Logger:
    """Set up structlog for this process and return its logger, with `bound` in every line.

    Tracebacks are plain: those that show local variables could show a secret.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr is not None and sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_json:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
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
