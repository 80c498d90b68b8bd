"""The file in which all workers of the tunnel count together; the supervisor makes it, and takes out the dead."""

import mmap
import os
from pathlib import Path
from typing import Final

from actors.guard.shared import KEY_BYTES, SIZE, Shared, row_of

NAME: Final = "guard"


class GuardFile:
    """The file."""

    def __init__(self, folder: Path) -> None:
        """Make it in the run folder, which is this user's alone.

        Raises:
            OSError: it cannot be made.
        """
        self.path = folder / NAME
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, os.urandom(KEY_BYTES))
            os.ftruncate(file, SIZE)
            self._shared = Shared(mmap.mmap(file, SIZE))
        finally:
            os.close(file)

    def gone(self, slot: int, generation: int) -> None:
        """A worker is gone: none of its requests is in flight any more."""
        self._shared.clear(row_of(slot, generation))
