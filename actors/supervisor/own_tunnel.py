"""Which tunnel `run` runs: where its token or credentials file stands, read.

Flags win over variables, and those over the files; within each of them a token wins over a file with one, and that over
a credentials file. What was given besides is named, since somebody meant it.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from actors.errors import UsageError
from actors.processes.environment import variable
from actors.supervisor import secret_files
from actors.supervisor.secret_files import STDIN
from actors.supervisor.sources import PROOFS, in_words
from actors.supervisor.token import MAX_BYTES, OwnTunnel, looks_like_token, read_credentials, read_token, tunnel_id

SYSTEMD_CREDENTIAL: Final = "tunnel-token"
"""`LoadCredential=tunnel-token:FILE` of a unit: systemd shows it to nobody else (systemd.exec(5))."""

GO_FOLDERS: Final = (
    "~/.cloudflared",
    "~/.cloudflare-warp",
    "~/cloudflare-warp",
    "/etc/cloudflared",
    "/usr/local/etc/cloudflared",
)
"""Where `cloudflared tunnel create` leaves credentials, and its client looks for them: ID.json."""

NOT_OF_A_RUN: Final = {
    **dict.fromkeys(("service_url", "user_agent"), "no API is asked for a tunnel of your own"),
    "keep": "a tunnel of your own and its hostnames stay as they are",
    "renew": "a tunnel of your own is not replaced by another",
    "probe": "no URL is known of a tunnel of your own",
    "qr": "no URL is known of a tunnel of your own",
}
"""Flags that make no sense with `run`, and why."""


IN_ARGV: Final = (
    "--token: every user of this machine can read it in the list of processes; give --token-file FILE, or TUNNEL_TOKEN "
    "in the environment"
)


class Found(NamedTuple):
    """The tunnel to run."""

    tunnel: OwnTunnel
    warnings: list[str]


def check(given: argparse.Namespace) -> None:
    """See to it that what is said of quick tunnels and of one's own is not mixed.

    Raises:
        UsageError: it is.
    """
    if given.run is None:
        for name in (*PROOFS, "region", "remote_services"):
            if getattr(given, name) is not None:
                flag = in_words(name)
                raise UsageError(f"{flag} is for a tunnel of your own: tunnel-supervisor run {flag} …")
        return
    if given.lifeline and STDIN in (given.token_file, given.credentials_file):
        raise UsageError("--lifeline and a token on stdin exclude each other: give the token's file by its name")
    for name, why in NOT_OF_A_RUN.items():
        if getattr(given, name):
            raise UsageError(f"{in_words(name)} does not go with `run`: {why}")


def find(
    given: argparse.Namespace, environment: Mapping[str, str], *, named: str = "", credentials_file: str = ""
) -> Found:
    """Find and read what proves the tunnel to be ours.

    `given`: flags, filled from the environment. `named` and `credentials_file`: what the rules' file says of them.

    Raises:
        UsageError: there is nothing, or it cannot be read; no message shows any of it.
    """
    warnings: list[str] = []
    named = given.run or named
    said = [name for name in PROOFS if getattr(given, name) is not None]
    if said[1:]:
        warnings.append(f"{in_words(said[0])} is used, and {' and '.join(map(in_words, said[1:]))} is not looked at")
    if said[:1] == ["token"]:
        tunnel = read_token(given.token, "the token", named=named)
    elif said[:1] == ["token_file"]:
        tunnel = _token_file(given.token_file, named, warnings)
    elif said:
        tunnel = _credentials_file(given.credentials_file, named, warnings)
    elif credentials_file:
        tunnel = _credentials_file(Path(credentials_file).expanduser(), named, warnings)
    elif (left := _left_there(environment, named)) is None:
        raise UsageError(
            "run: give --token-file FILE, with the token that Cloudflare's dashboard shows for your tunnel (or "
            "TUNNEL_TOKEN in the environment, or --credentials-file FILE)"
        )
    elif left.name == SYSTEMD_CREDENTIAL:
        tunnel = _token_file(left, named, warnings)
    else:
        tunnel = _credentials_file(left, named, warnings)
    return Found(tunnel, warnings)


def _left_there(environment: Mapping[str, str], named: str) -> Path | None:
    """A file that nobody named, where systemd or the Go client leaves it."""
    candidates = []
    if folder := variable(environment, "CREDENTIALS_DIRECTORY"):
        candidates.append(Path(folder, SYSTEMD_CREDENTIAL))
    if (identifier := tunnel_id(named)) is not None:
        candidates += [Path(os.path.expanduser(folder), f"{identifier}.json") for folder in GO_FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def _token_file(path: Path, named: str, warnings: list[str]) -> OwnTunnel:
    what = "the token on stdin" if path == STDIN else f"the token in {path}"
    content = _read(path, "--token-file", warnings)
    try:
        text = content.decode("utf-8-sig")
    except ValueError:
        raise UsageError(f"{what} is no text") from None
    return read_token(text, what, named=named)


def _credentials_file(path: Path, named: str, warnings: list[str]) -> OwnTunnel:
    return read_credentials(_read(path, "--credentials-file", warnings), f"the credentials file {path}", named=named)


def _read(path: Path, flag: str, warnings: list[str]) -> bytes:
    if looks_like_token(str(path)):
        raise UsageError(f"{flag} takes the name of a file, and what was given looks like a token; put it into one")
    return secret_files.read_file(path, flag, "your tunnel", warnings, MAX_BYTES)
