"""What is handed to the supervisor process and is nobody else's business: a token, and rules that stand in no file.

Neither argv nor environment, which other processes can read, nor a name in any folder: it inherits a descriptor.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator


class Handed:
    """Contents that the supervisor is to read, each by a name that only a process with these descriptors can open."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def add(self, content: str) -> str:
        """Hold `content`; return the name by which it is read."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tunnel-supervisor")
        else:
            with tempfile.TemporaryFile() as file:  # in no folder, from the beginning on
                descriptor = os.dup(file.fileno())
        self.descriptors.append(descriptor)
        os.write(descriptor, content.encode())
        return f"/dev/fd/{descriptor}"

    def rewind(self) -> None:
        """Have them read from the beginning: where a name gives a copy of the descriptor, each reader moves it."""
        for descriptor in self.descriptors:
            os.lseek(descriptor, 0, os.SEEK_SET)


@contextlib.contextmanager
def handing() -> Iterator[Handed]:
    """Hold things for the length of the block, in which the process is started."""
    handed = Handed()
    try:
        yield handed
    finally:
        for descriptor in handed.descriptors:
            os.close(descriptor)
