"""Whether the package on disk is still the one that runs: an upgrade changes the files, and no process that lives."""

import re
from pathlib import Path
from typing import Final

import actors

_VERSION: Final = re.compile(r'^__version__: Final = "([^"]+)"', re.MULTILINE)

Identity = tuple[int, int, int]
"""Device, inode and time of the file that names the version: whoever installs a package writes it anew."""


class Package:
    """The package as it was when this was made, and what became of it."""

    def __init__(self, file: Path | None = None) -> None:
        """`file`: the one that names the version."""
        self._file = file or Path(actors.__file__)
        self._seen = self._running = self._identity()

    def news(self) -> str | None:
        """What to say about a change since the last question; None: nothing new."""
        before, self._seen = self._seen, self._identity()
        if self._seen in (before, self._running):
            return None
        runs = f"this tunnel goes on with version {actors.__version__}, which is in memory"
        if self._seen is None:
            return f"the package is gone from {self._file.parent}; {runs}. Install it again before you start another."
        return (
            f"the package in {self._file.parent} was replaced ({self._version()}); {runs}. Restart to run the new one."
        )

    def _identity(self) -> Identity | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def _version(self) -> str:
        try:
            found = _VERSION.search(self._file.read_text(errors="replace"))
        except OSError:
            found = None
        return f"now version {found[1]}" if found is not None else "its version cannot be read yet"
