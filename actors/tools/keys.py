"""`bin/tunnel-keys`: CURVE keys for a bus that is offered to the network."""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from zmq.auth import create_certificates

from actors.tools.running import Failed, Status, run

NAME: Final = "tunnel-keys"

SERVER: Final = "server"
"""The name of the tunnel's own key."""

CLIENTS: Final = "clients"
"""The folder of the allow-list."""


def make_keys(folder: Path, names: list[str]) -> list[Path]:
    """Make the server's key, and one for each name, where there is none yet; return the files that are new.

    Raises:
        OSError: a file cannot be written.
    """
    before = os.umask(0o077)  # no secret is readable to others, not even for a moment
    try:
        (folder / CLIENTS).mkdir(parents=True, exist_ok=True)
        made: list[Path] = []
        for name in (SERVER, *names):
            if (folder / f"{name}.key_secret").exists():
                continue
            made += (Path(path) for path in create_certificates(folder, name))
            if name != SERVER:
                made.append(Path(shutil.copyfile(folder / f"{name}.key", folder / CLIENTS / f"{name}.key")))
        return made
    finally:
        os.umask(before)


def parser() -> argparse.ArgumentParser:
    """Its flags."""
    made = argparse.ArgumentParser(
        prog=NAME,
        description="Make CURVE keys: the tunnel's own (server.key_secret), and a pair for each client. The public "
        "keys in DIR/clients are the allow-list. A client needs its own .key_secret, and server.key.",
        allow_abbrev=False,
    )
    made.add_argument("folder", type=Path, metavar="DIR", help="where the keys go; what is there is kept")
    made.add_argument("clients", nargs="+", metavar="CLIENT", help="names of clients that may connect")
    return made


def _work() -> int:
    given = parser().parse_args()
    if bad := [name for name in given.clients if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name == SERVER]:
        raise Failed(Status.USAGE, f"{bad[0]!r} cannot be a client's name: letters, digits, - and _; not {SERVER}")
    try:
        for path in make_keys(given.folder, given.clients):
            print(path)
    except OSError as error:
        raise Failed(Status.USAGE, f"cannot write {error.filename}: {error.strerror}") from None
    return 0


def main() -> int:
    """Run the program; return its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
