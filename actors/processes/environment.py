"""Environment variables as they were meant.

A file of variables (`.env`, `--env-file`, EnvironmentFile) that an editor of another system wrote has a byte-order
mark and carriage returns, and whoever reads it passes them on.
"""

import ctypes
import os
from collections.abc import Collection, Mapping
from typing import Final

AROUND: Final = " \t\r\n\ufeff"
"""What is around a value, and is none of it."""


def cleaned(text: str) -> str:
    """A value without blanks, line ends and byte-order marks around it."""
    return text.strip(AROUND)


def variable(environment: Mapping[str, str], name: str) -> str:
    """The value of a variable; empty if there is none."""
    # Looked for among all: in a C locale `os.environ` cannot be asked for such a name.
    marked = (text for key, text in environment.items() if key == f"\ufeff{name}")
    return cleaned(environment.get(name) or next(marked, ""))


def forget(names: Collection[str]) -> None:
    """Take variables with a secret out of this process's environment, for all children too.

    Where the kernel shows the environment that a process began with (/proc/PID/environ), it is overwritten there.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    for name in [name for name in os.environ if name.removeprefix("\ufeff") in names]:
        if (place := getenv(os.fsencode(name))) is not None:
            ctypes.memset(place, 0, len(ctypes.string_at(place)))
        del os.environ[name]
