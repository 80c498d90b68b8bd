"""Hostnames of rules: which are any, and how they stand in DNS. Pure."""

import re
import unicodedata
from typing import Final

from actors.bus.addresses import without_port
from actors.bus.routes import EVERY_HOST
from actors.ingress.errors import IngressError

MAX_LENGTH: Final = 253
"""Characters of a hostname: DNS has none that is longer."""

_KEPT: Final = "ßς"
"""Letters that have names of their own in DNS today: they are not made others."""

_JOINERS: Final = "\u200c\u200d"
"""Of what cannot be seen, what changes the letters around it: it is not passed over."""

_NOT_IN_NAMES: Final = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"))
"""Categories of Unicode that no name has: spaces, controls, what is not assigned."""

_LABEL: Final = re.compile(r"(?!-)(?!..--)[a-z0-9-]*(?<!-)|xn--[a-z0-9-]*[a-z0-9]|", re.ASCII)


def check(hostname: str, path: str, *, number: int, is_last: bool) -> None:
    """Say what is wrong with a rule's hostname, or with its place.

    Args:
        hostname: of the rule.
        path: of the rule; without both it matches everything.
        number: of the rule, from 1.
        is_last: whether no rule follows it.

    Raises:
        IngressError: with the words of Go, where Go refuses it too.
    """
    if len(hostname) > MAX_LENGTH:
        raise IngressError(
            f"Hostname {hostname[:50]}… has {len(hostname)} characters; no name in DNS has over {MAX_LENGTH}"
        )
    # What takes a port off takes brackets off, too: either way there was a port.
    if without_port(hostname.encode(errors="replace")) != hostname.encode(errors="replace"):
        raise IngressError("Hostname cannot contain a port")
    if hostname.rfind("*") > 0:
        raise IngressError(
            'Hostname patterns can have at most one wildcard character ("*") and it can only be used for subdomains, '
            'e.g. "*.example.com"'
        )
    matches_all = hostname in EVERY_HOST and not path
    if is_last and not matches_all:
        raise IngressError(
            "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)"
        )
    if matches_all and not is_last:
        raise IngressError(
            f"Rule #{number} is matching the hostname '{hostname}', but this will match every hostname, meaning the "
            "rules which follow it will never be triggered."
        )


def punycode(hostname: str) -> str:
    """The hostname as it stands in DNS, in lower case; empty: it is the same, or no name that DNS can have.

    As Unicode's technical standard 46 maps it, but for which scripts may stand beside each other.
    """
    plain = hostname.lower() if hostname.isascii() else _mapped(hostname)
    labels = [_in_dns(label) for label in plain.split(".")]
    if any(label is None for label in labels):
        return ""
    made = ".".join(label or "" for label in labels)
    return "" if made == hostname else made


def _mapped(hostname: str) -> str:
    whole = unicodedata.normalize("NFKC", hostname)
    return unicodedata.normalize("NFKC", "".join(map(_lowered, whole))).replace("\u3002", ".")


def _lowered(char: str) -> str:
    if (unicodedata.category(char) == "Cf" and char not in _JOINERS) or "\ufe00" <= char <= "\ufe0f":
        return ""  # what cannot be seen is not there
    return char if char in _KEPT else char.casefold()


def _in_dns(label: str) -> str | None:
    if not label.isascii():
        if any(unicodedata.category(char) in _NOT_IN_NAMES for char in label) or unicodedata.combining(label[0]):
            return None
        if not re.fullmatch(r"[a-z0-9-]*", "".join(filter(str.isascii, label))):
            return None
        return f"xn--{label.encode('punycode').decode()}"
    return label if _LABEL.fullmatch(label) else None
