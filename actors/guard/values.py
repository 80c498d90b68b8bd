"""What makes sense as a setting of the guard: text in, value out. Pure. Anything else is a ValueError in words.

No text of an error shows any of a secret.
"""

import ipaddress
import re
from typing import Final, get_args

from actors.bus.guards import Login, Rate, Sender, Webhook
from actors.guard.wanted import GuardWanted

MAX_ENTRIES: Final = 1000
"""Of a list, and lines of a file: each request may have to be held against all of them."""

MAX_PATTERN: Final = 500
"""Characters of a path's pattern."""

MAX_IN_FLIGHT: Final = 100_000

MAX_RATE: Final = 1_000_000
"""Requests in a unit of time, and of a burst."""

GOOD_TOKEN: Final = 16
"""Characters of a token that nobody guesses, if they were drawn by chance."""

SENDERS: Final[tuple[Sender, ...]] = get_args(Sender)

MAX_COST: Final = 15
"""Of a hash of bcrypt's: some three seconds of a core; one more is twice that."""

VERIFY: Final = "verify:"
"""How the line of WhatsApp's verify token begins."""

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE: Final = re.compile(r"([0-9]{1,9})/([smh])(?:,\s*burst=([0-9]{1,9}))?", re.ASCII)
_PATTERN: Final = re.compile(r"/[^\x00-\x20\x7f?#]*")
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)
_OTHER_HASH: Final = re.compile(r"\$[a-z0-9]{1,10}\$|\{[A-Z0-9]{2,10}\}", re.ASCII)
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


def network(text: str) -> str:
    """A network, or one address."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        meant = ", as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
    raise ValueError(f"{text[:100]!r} is no network{meant}")


def pattern(text: str) -> str:
    """A path, with `*` and `**` in it."""
    if not _PATTERN.fullmatch(text) or len(text) > MAX_PATTERN:
        raise ValueError(
            f"{text[:100]!r} is no pattern of a path, as /hooks or /api/*/public: it begins with /, has no ?, # or "
            f"blank, and at most {MAX_PATTERN} characters"
        )
    return text


def rate(text: str) -> Rate:
    """`10/s`, `100/m,burst=20`. A burst that is not named is as many as the number before the slash."""
    match = _RATE.fullmatch(text)
    count = int(match[1]) if match else 0
    burst = int(match[3] or count) if match else 0
    if match is None or not 1 <= count <= MAX_RATE or not 1 <= burst <= MAX_RATE:
        raise ValueError(f"{text[:100]!r} is no rate, as 10/s, 100/m or 10/s,burst=20")
    return Rate(_UNITS[match[2]] / count, burst)


def in_flight(text: str) -> int:
    """Requests at once."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_IN_FLIGHT):
        raise ValueError(f"{text[:100]!r} is no number of requests (1 to {MAX_IN_FLIGHT})")
    return int(text)


def webhook(text: str) -> tuple[Sender, str]:
    """A sender, and the file with its secret."""
    name, equals, file = text.partition("=")
    sender = next((each for each in SENDERS if each == name.lower()), None)
    if sender is None or not equals or not file:
        raise ValueError(f"{name[:30]!r}: give SENDER=FILE, where SENDER is one of {', '.join(SENDERS)}")
    return sender, file


def check(wanted: GuardWanted) -> None:
    """See that all of it makes sense, as far as can be said without its files.

    Raises:
        ValueError: it begins with the name of the setting.
    """
    readers = {
        "verify_webhook": webhook,
        "allow_ip": network,
        "deny_ip": network,
        "allow_path": pattern,
        "deny_path": pattern,
        "rate_limit": rate,
        "max_in_flight": in_flight,
    }
    for name, read in readers.items():
        said = getattr(wanted, name) or ()
        texts = (said,) if isinstance(said, str) else said
        try:
            if len(texts) > MAX_ENTRIES:
                raise ValueError(f"has {len(texts)} entries, which is more than {MAX_ENTRIES}")
            for text in texts:
                read(text)
        except ValueError as error:
            raise ValueError(f"{name.replace('_', '-')}: {error}") from None


# --- what stands in files ---


def _lines(content: bytes) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    try:
        text = content.decode("utf-8-sig")
    except ValueError:
        raise ValueError("is no text") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    said = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not said:
        raise ValueError("is empty")
    if len(said) > MAX_ENTRIES:
        raise ValueError(f"has more than {MAX_ENTRIES} lines")
    return said


def logins(content: bytes) -> tuple[Login, ...]:
    """Of a file of htpasswd's, with bcrypt's hashes; or one name and its password."""
    lines = _lines(content)
    found: dict[str, Login] = {}
    for number, line in lines:
        name, colon, password = line.partition(":")
        if not colon or not name or not password:
            raise ValueError(f"line {number} is not NAME:PASSWORD")
        if name in found:
            raise ValueError(f"line {number} has a name that is there already")
        is_hash = _BCRYPT.fullmatch(password) is not None
        if is_hash and int(password[4:6]) > MAX_COST:
            raise ValueError(f"line {number} has a hash of cost {password[4:6]}, which takes too long; -C 12 is enough")
        if not is_hash and (_OTHER_HASH.match(password) or len(lines) > 1):
            raise ValueError(f"line {number} has no hash of bcrypt's; make it by: htpasswd -B FILE NAME")
        found[name] = Login(name, password, is_hash)
    return tuple(found.values())


def access_tokens(content: bytes) -> tuple[str, ...]:
    """One in each line: while one is replaced there are two."""
    lines = _lines(content)
    for number, line in lines:
        if not _TOKEN.fullmatch(line):
            raise ValueError(f"line {number} is no token: it has blanks, or letters beyond ASCII")
    return tuple(dict.fromkeys(line for _, line in lines))


def secrets(sender: Sender, content: bytes) -> Webhook:
    """One secret in each line; WhatsApp's verify token in another one, behind `verify:`."""
    known: list[str] = []
    verify: list[str] = []
    for number, line in _lines(content):
        if sender == "whatsapp" and line.startswith(VERIFY):
            verify.append(line.removeprefix(VERIFY).strip())
            continue
        if sender == "svix":
            from actors.guard.webhooks import svix_key  # here, since every start imports this module

            try:
                svix_key(line.encode())
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
        known.append(line)
    if not known or not all(verify):
        raise ValueError("has no secret")
    return Webhook(sender, tuple(known), tuple(verify))
