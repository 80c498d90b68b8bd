"""Where applications are installed, over which edge they are used, and a word at the end of what was tried."""

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.applications.kit import VERSIONS

HERE = Path(__file__).parent

MOST_SECONDS = 900
"""For a test with its installation: hundreds of packages over a slow line."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here."""
    for item in items:
        if HERE in item.path.parents:
            for marker in (pytest.mark.applications, pytest.mark.slow, pytest.mark.timeout(MOST_SECONDS)):
                item.add_marker(marker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what docs/applications.md records."""
    if VERSIONS:
        terminalreporter.write_sep("-", "applications")
        terminalreporter.write_line(", ".join([f"Python {platform.python_version()}", *sorted(VERSIONS)]))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the module's application is installed. It is big, and gone when its tests are done."""
    with tempfile.TemporaryDirectory(prefix="tried-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    """Whether the visitor comes by https, as to a public address."""
    return bool(request.param)
