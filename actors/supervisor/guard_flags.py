"""The flags that decide who may come, and what was asked for by them."""

import argparse
from collections.abc import Callable
from typing import Final

import msgspec

from actors.guard import values
from actors.guard.wanted import GuardWanted

_PLACE: Final = "FILE may be env:NAME, a variable, or credential:NAME, one of systemd's"


def _checked(read: Callable[[str], object]) -> Callable[[str], str]:
    """A flag's value as it is, if it makes sense."""

    def take(text: str) -> str:
        try:
            read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return take


def _place(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of the file is empty")
    return text


def add_guard_flags(group: argparse._ActionsContainer) -> None:
    """Who may come, and how often. A rule of a file may say something else for itself (`guard:`)."""
    group.add_argument(
        "--auth-file",
        type=_place,
        metavar="FILE",
        help="let in who has a login: a file of htpasswd -B, or one NAME:PASSWORD. Of login, access token and webhook "
        f"any one will do. {_PLACE}",
    )
    group.add_argument(
        "--access-token-file",
        type=_place,
        metavar="FILE",
        help="let in who has an access token: as Authorization: Bearer TOKEN, or in a link, ?access_token=TOKEN, which "
        "gives a browser a cookie; one in each line",
    )
    group.add_argument(
        "--verify-webhook",
        type=_checked(values.webhook),
        action="append",
        metavar="SENDER=FILE",
        help=f"let in webhooks that are signed with the secret in FILE; SENDER is one of {', '.join(values.SENDERS)}; "
        "may be repeated",
    )
    group.add_argument(
        "--allow-ip",
        type=_checked(values.network),
        action="append",
        metavar="NETWORK",
        help="let in these addresses alone, as 203.0.113.7 or 2001:db8::/32; may be repeated",
    )
    group.add_argument(
        "--deny-ip", type=_checked(values.network), action="append", metavar="NETWORK", help="never let in these"
    )
    group.add_argument(
        "--allow-path",
        type=_checked(values.pattern),
        action="append",
        metavar="PATTERN",
        help="let in requests for these paths alone, and all below them: /hooks, /api/*/public, /**/feed.xml; may be "
        "repeated",
    )
    group.add_argument(
        "--deny-path",
        type=_checked(values.pattern),
        action="append",
        metavar="PATTERN",
        help="never let in requests for these, however they are written",
    )
    group.add_argument(
        "--rate-limit",
        type=_checked(values.rate),
        metavar="RATE",
        help="requests of one visitor, as 10/s or 100/m,burst=20; then 429 (default: any number)",
    )
    group.add_argument(
        "--max-in-flight",
        type=_checked(values.in_flight),
        metavar="N",
        help="requests at once, of all visitors; then 503 (default: any number; of a quick tunnel the service takes "
        "200)",
    )
    group.add_argument(
        "--banner",
        action="store_true",
        default=None,
        help="show browsers a page first, that this is somebody's own machine",
    )


def wanted(given: argparse.Namespace) -> GuardWanted:
    """What the flags ask for."""
    return msgspec.convert({name: getattr(given, name) for name in GuardWanted.__struct_fields__}, GuardWanted)
