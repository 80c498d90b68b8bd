"""The supervisor's log, as a program's `logging` says it."""

import asyncio
import logging
import subprocess
import sys

import pytest

from actors.api import program_log
from actors.api.program_log import LOGGER, read_line, relay
from tests.kit.processes import PATIENCE


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (
            b'{"event": "nothing answers", "level": "warning", "timestamp": "t", "actor": "supervisor"}\n',
            logging.WARNING,
            "tunnel: nothing answers",
        ),
        (
            b'{"event": "connection ended", "slot": 0, "reason": "lost", "level": "warning"}\n',
            logging.WARNING,
            "tunnel: connection ended (slot=0, reason=lost)",
        ),
        (
            b'{"event": "internal fault", "exception": "Traceback\\nValueError", "level": "error"}',
            logging.ERROR,
            "tunnel: internal fault\nTraceback\nValueError",
        ),
        (b"Fatal Python error: no home\n", logging.ERROR, "tunnel: Fatal Python error: no home"),
        (b"\xff\n", logging.ERROR, "tunnel: \ufffd"),
        (b'["no", "object"]\n', logging.ERROR, 'tunnel: ["no", "object"]'),
        (b'{"event": "%s of 100%", "level": "info"}\n', logging.INFO, "tunnel: %s of 100%"),
    ],
)
async def test_lines(line: bytes, level: int, text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read_line(line) == (level, text)
    caplog.set_level(logging.DEBUG, LOGGER.name)
    reader = asyncio.StreamReader()
    reader.feed_data(line)
    reader.feed_eof()
    await relay(reader)
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        ("tunnel_supervisor", level, text)
    ]


async def test_line_without_an_end_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    reader = asyncio.StreamReader(limit=100)
    reader.feed_data(b"x" * 1000 + b"\n" + b'{"event": "on", "level": "error"}\n')
    reader.feed_eof()
    await relay(reader)
    assert caplog.messages[-1] == "tunnel: on"


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "debug"), (10, "debug"), (15, "info"), (20, "info"), (30, "warning"), (35, "error"), (50, "error")],
)
def test_supervisor_says_what_the_logger_lets_through(number: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOGGER, "getEffectiveLevel", lambda: number)
    assert program_log.level() == name


def test_program_without_logging_sees_warnings_in_plain_text() -> None:
    program = """
import asyncio
from actors.api.program_log import relay
async def main():
    reader = asyncio.StreamReader()
    reader.feed_data(b'{"event": "nothing answers", "level": "warning"}\\n{"event": "x", "level": "info"}\\n')
    reader.feed_eof()
    await relay(reader)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == "tunnel: nothing answers\n"
