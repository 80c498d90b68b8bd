"""Files of this machine that rules name: the roots by which an origin is trusted."""

import os
import stat
from typing import Final

MAX_ROOTS_BYTES: Final = 4 * 1024 * 1024
"""Of a file of roots: the system's own has a quarter of a MB."""


def check_roots(path: str) -> None:
    """See that it is a file, and that we can read it. What is in it is seen by whoever uses it.

    Raises:
        OSError: it is none, or cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would keep us
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "is no file")
        if about.st_size > MAX_ROOTS_BYTES:
            raise OSError(None, f"has more than {MAX_ROOTS_BYTES} bytes")
    finally:
        os.close(file)
