"""What people type out of habit: with other programs of this kind a port is enough, or the flag has another name. Pure.

`tunnel-supervisor 8080`, `-p 8080`, `http 8080`, `tunnel --url http://localhost:8080` and `tunnel run` are taken. Of
what is not, the error names the flag that is.
"""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Final

from actors.errors import UsageError
from actors.supervisor.token import looks_like_token

_COMMANDS: Final = ("http", "tunnel")
"""Words before what is shown, which say no more than that."""

_OTHER_NAMES: Final = {
    "--host": "--url http://HOST:PORT",
    "--local-host": "--url http://HOST:PORT",
    "--unix-socket": "--url unix:/PATH",
    "--http-host-header": "--host-header",
    "--hostheader": "--host-header",
    "--origin-ca-pool": "--origin-ca",
    "--insecure": "--no-tls-verify",
    "--ha-connections": "--connections",
    "--retries": "--max-reconnect-attempts",
    "--quick-service": "--service-url",
    "--cacert": "--edge-ca",
    "--loglevel": "--log-level",
    "--transport-loglevel": "--log-level",
    "--verbose": "--log-level debug",
    "-v": "--log-level debug",
    "--debug": "--log-level debug",
    "--quiet": "--log-level error",
    "-q": "--log-level error",
    "-V": "--version",
    "--log-format": "--json, for events on stdout (the log is JSON wherever stderr is no terminal)",
    "--output": "--json, for events on stdout (the log is JSON wherever stderr is no terminal)",
}
"""A flag of another program → ours."""

_NAMED: Final = (
    "a quick tunnel gets its name from the service, without an account; one of your own has those that you gave it "
    "there: tunnel-supervisor run --token-file FILE"
)
_MADE_THERE: Final = (
    "tunnels of one's own are made in Cloudflare's dashboard; then: tunnel-supervisor run --token-file FILE"
)
_ITSELF: Final = "leave it out: nothing is to be said about that here"

_WITHOUT: Final = {
    **dict.fromkeys(("--hostname", "--subdomain", "--domain", "--name", "--lb-pool"), _NAMED),
    **dict.fromkeys(("--authtoken", "--origincert"), _NAMED),
    **dict.fromkeys(("--no-autoupdate", "--autoupdate-freq", "--no-chunked-encoding"), _ITSELF),
    "--logfile": "redirect stderr instead: 2>FILE",
    "--log": "the log is on stderr: redirect it with 2>FILE",
    "--pidfile": "tunnel.json in the state folder has the process's number",
    "--basic-auth": "whoever knows the address reaches the application: ask for a password there",
    "--auth": "whoever knows the address reaches the application: ask for a password there",
    "--oauth": "whoever knows the address reaches the application: ask for a password there",
}
"""A flag of another program that has none here → what to do instead."""

_OTHER_COMMANDS: Final = {
    **dict.fromkeys(("tcp", "tls", "ssh", "rdp"), "a quick tunnel carries HTTP and WebSockets only"),
    **dict.fromkeys(("start", "login", "create", "route", "service", "config"), _MADE_THERE),
    "update": "upgrade it as it was installed, by pip, pipx or uv",
    "version": "give --version",
    "help": "give --help",
}


def own_tunnel(extras: Sequence[str], flags: Collection[str]) -> str | None:
    """The tunnel that `run` names (empty: none, its token says it all); None: this is no `run`.

    Raises:
        UsageError: there is more than a name.
    """
    words = list(extras[1:] if extras[:2] == ["tunnel", "run"] else extras)
    if words[:1] != ["run"]:
        return None
    for word in words[1:]:
        _check_word(word, flags)
    if more := words[2:]:
        raise UsageError(f"{more[0][:100]!r} is one word too many: `run` takes the id of one tunnel, or none")
    if words[1:] and (words[1].isdecimal() or ":" in words[1].removeprefix("urn:uuid:")):
        flag = "--port" if words[1].isdecimal() else "--url"
        raise UsageError(
            f"{words[1][:100]!r}: after `run` stands the tunnel's id, if anything; give {flag} {words[1][:100]}"
        )
    return words[1] if words[1:] else ""


def read(extras: Sequence[str], flags: Collection[str]) -> list[str]:
    """Turn what the parser did not know into flags that it knows. `flags`: those that there are.

    Raises:
        UsageError: it is no habit that is taken; with what to write instead.
    """
    words = list(extras)
    if words and words[0] in _COMMANDS:
        del words[0]
    if words and (short := re.fullmatch(r"-p=?(\d*)", words[0])):
        words[0:1] = [short[1]] if short[1] else []
        if not words:
            raise UsageError("-p: give the port, as in -p 8080")
        return ["--port", *_only(words, flags)]
    if not words:
        return []
    (what,) = _only(words, flags)
    return ["--port" if what.isdecimal() else "--url", what]


def _only(words: list[str], flags: Collection[str]) -> list[str]:
    """One word that says what to show.

    Raises:
        UsageError: it does not, or there are more.
    """
    for word in words:
        _check_word(word, flags)
    first, *more = words
    if advice := _OTHER_COMMANDS.get(first):
        raise UsageError(f"{first}: there is no such command; {advice}")
    if not re.search(r"\d|[:/]", first):
        raise UsageError(f"{first[:100]!r}: give a port, as in tunnel-supervisor 8080")
    if more:
        raise UsageError(f"{more[0][:100]!r} is one word too many: one port, or one URL, is shown")
    return words


def _check_word(word: str, flags: Collection[str]) -> None:
    """Refuse a flag that there is not, and a token, which no error may show."""
    if word.startswith("-"):
        raise UsageError(_unknown_flag(word.partition("=")[0], flags))
    if looks_like_token(word):
        raise UsageError("a token stands alone there; put it into a file, and run --token-file FILE")


def _unknown_flag(flag: str, flags: Collection[str]) -> str:
    if ours := _OTHER_NAMES.get(flag):
        return f"unrecognized flag {flag}; give {ours}"
    if advice := _WITHOUT.get(flag):
        return f"unrecognized flag {flag}; {advice}"
    close = difflib.get_close_matches(flag, flags, n=1)
    return f"unrecognized flag {flag[:100]}; " + (f"did you mean {close[0]}?" if close else "see --help for all")
