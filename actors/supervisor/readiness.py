"""What is true of the tunnel as a whole, in one word. Pure.

    starting ─► assigned ─► registered ─► visible ◄─► degraded ◄─► down ─► stopping ─► stopped
                                             ▲
                                             └─► unreachable (with --probe)

A tunnel serves when a connection is registered, a rule says where requests go, and nothing says that its name cannot be
found.
"""

import enum
from typing import Final


class State(enum.StrEnum):
    """The states, from the first to the last."""

    STARTING = "starting"
    """The tunnel is being asked for."""
    ASSIGNED = "assigned"
    """There is a URL, and nothing behind it yet."""
    REGISTERED = "registered"
    """All connections are registered. Whether the name is in DNS is not known, or not asked for."""
    VISIBLE = "visible"
    """And the name's own servers know it."""
    DEGRADED = "degraded"
    """Some connections are down; the others serve."""
    UNREACHABLE = "unreachable"
    """The connections stand, and the public URL does not answer: the service has dropped the name."""
    DOWN = "down"
    """No connection is up; tries are being made."""
    STOPPING = "stopping"
    """A stop was asked for; what is in flight may finish."""
    STOPPED = "stopped"
    """The end."""


class Visibility(enum.StrEnum):
    """What is known about the name."""

    NOT_ASKED = enum.auto()
    """Another service than Cloudflare's, whose names need no lookup; or nobody answers such a question."""
    UNSEEN = enum.auto()
    """It is being asked for."""
    SEEN = enum.auto()


SERVING: Final = frozenset((State.REGISTERED, State.VISIBLE, State.DEGRADED))


def in_words(rules: int) -> str:
    """How a tunnel of one's own is, which has no URL to be shown, once it is registered."""
    if not rules:
        return "registered, no rules yet"
    return f"registered, {rules} rules in force" if rules > 1 else "registered, 1 rule in force"


def serves(state: State, visibility: Visibility) -> bool:
    """Whether a visitor who opens the URL now gets an answer of the origin's."""
    return state in SERVING and visibility is not Visibility.UNSEEN


def called(url: str, tunnel_id: str) -> str:
    """What people call a tunnel: its URL, or its id where it has none; empty while there is no tunnel."""
    return url or (f"tunnel {tunnel_id}" if tunnel_id else "")
