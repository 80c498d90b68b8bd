"""What the supervisor of a program's tunnel logs, said by the program's own `logging`: the logger `tunnel_supervisor`.

A program that has not set up logging sees warnings on stderr, as plain text: that is what `logging` does by itself.
"""

import asyncio
import logging
from typing import Final

import msgspec

from actors.bus.messages import DECODE_ERRORS

LOGGER: Final = logging.getLogger("tunnel_supervisor")

_ABOUT_THE_LINE: Final = frozenset(("event", "level", "timestamp", "actor", "exception"))
"""Fields of a line that are no detail of what it says."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def level() -> str:
    """The `--log-level` that fits what the program's logging lets through."""
    effective = LOGGER.getEffectiveLevel()
    return next((name for name, number in _LEVELS.items() if effective <= number), "error")


async def relay(stderr: asyncio.StreamReader) -> None:
    """Pass on what the supervisor and its children say, until they have ended."""
    while True:
        try:
            line = await stderr.readline()
        except ValueError:  # longer than any line of the log is: the reader has thrown it away
            continue
        if not line:
            return
        number, text = read_line(line)
        LOGGER.log(number, "%s", text)


def read_line(line: bytes) -> tuple[int, str]:
    """The level of a line of the log, and its text: what it says, and the details in brackets.

    Whatever is no line of the log (an interpreter that could not begin, say) is an error, as it stands.
    """
    try:
        told = msgspec.json.decode(line, type=dict[str, object])
    except DECODE_ERRORS:
        return logging.ERROR, f"tunnel: {line.decode(errors='replace').rstrip()}"
    details = ", ".join(f"{name}={value}" for name, value in told.items() if name not in _ABOUT_THE_LINE)
    text = f"tunnel: {told.get('event', '')}" + (f" ({details})" if details else "")
    if exception := told.get("exception"):
        text += f"\n{exception}"
    return _LEVELS.get(str(told.get("level")), logging.ERROR), text
