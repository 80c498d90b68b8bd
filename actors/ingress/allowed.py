"""What a configuration that comes from elsewhere may reach of this machine and its networks. Pure.

Whoever holds the dashboard names addresses, sockets and hosts that this process then connects to. What is allowed is
this machine's say: `--remote-services`.
"""

import ipaddress
import re
from typing import Final

from actors.bus.tally import Message
from actors.ingress.errors import RuleError
from actors.ingress.model import Bastion, HelloWorld, Http, Service, Socks, Status, Tcp, Unix

FLAG: Final = "--remote-services"

PUBLIC: Final = "public"
"""The word by which http, https and tcp may go to any host, not only to near ones."""

WORDS: Final = ("http", "https", "status", "hello_world", "unix", "tcp", "bastion", "socks", PUBLIC)

USUAL: Final = "http,https,status,hello_world"

_NEAR: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "0.0.0.0/32"),
        *("::1/128", "fc00::/7", "fe80::/10", "::/128"),
    )
)
"""This machine, and private networks. 169.254.0.0/16 is none: it is where clouds keep the secrets of a machine."""

_NEAR_NAMES: Final = ("localhost", "local", "internal", "lan", "home.arpa", "test")
"""Names that end so are no public ones; nor is one without a dot, as containers have them."""

_NUMERIC: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]*))*", re.IGNORECASE | re.ASCII)
"""What a resolver may take for an address: 134744072 is 8.8.8.8."""


class Allowed(Message, frozen=True):
    """What may be reached, in `WORDS`."""

    words: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Read words with commas between them.

        Raises:
            ValueError: one is unknown.
        """
        words = frozenset(filter(None, (word.strip() for word in text.split(","))))
        if unknown := sorted(words.difference(WORDS)):
            raise ValueError(f"{unknown[0][:50]!r} is none of {', '.join(WORDS)}")
        return cls(words)

    def check(self, service: Service, number: int) -> None:
        """Say that a service is not allowed.

        Args:
            service: what a rule names.
            number: of the rule, from 1.

        Raises:
            RuleError: with the service and the flag.
        """
        word = _word(service)
        if word not in self.words:
            raise RuleError(f"Rule #{number}: {service} is not allowed here: {FLAG} has no {word!r}", number)
        if isinstance(service, Http | Tcp) and PUBLIC not in self.words and not is_near(service.host):
            raise RuleError(
                f"Rule #{number}: {service} is not allowed here: {service.host} is not on this machine or in a private "
                f"network, as far as its name tells, and {FLAG} has no {PUBLIC!r}",
                number,
            )


EVERYTHING: Final = Allowed(frozenset(WORDS))
"""For rules of this machine's own."""


def is_near(host: str) -> bool:
    """Whether a host is this machine, or in a private network. No resolver is asked."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _NUMERIC.fullmatch(host):
            return False
        name = host.lower().removesuffix(".")
        return "." not in name or name.endswith(tuple(f".{ending}" for ending in _NEAR_NAMES))
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _NEAR)


def _word(service: Service) -> str:
    match service:
        case Http():
            return "https" if service.tls else "http"
        case Unix():
            return "unix"
        case Status():
            return "status"
        case HelloWorld():
            return "hello_world"
        case Tcp():
            return "tcp"
        case Bastion():
            return "bastion"
        case Socks():
            return "socks"
