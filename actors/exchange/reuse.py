"""Which connections to the origin may serve another exchange, as far as requests and answers say. Pure.

One visitor's bytes, and what one visitor is allowed to do, must never become another's.
"""

import re
from typing import Final

from actors.exchange.http1 import Body, RequestHead
from actors.exchange.response import Told

_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

_BOUND = re.compile(rb"\b(?:ntlm|negotiate|nego2|kerberos)\b", re.IGNORECASE)
"""Schemes that prove who somebody is once for a connection, not for each request (RFC 4559 section 6)."""


def may_go_on_used(head: RequestHead) -> bool:
    """Whether a request may be sent on a connection that the origin may just be closing.

    It is sent a second time then, so that it must be repeatable (RFC 9110 section 9.2.2) and have no body.
    """
    return head.method in _REPEATABLE and head.body is Body.NONE and not head.upgrade


def request_allows(head: RequestHead) -> bool:
    """Whether a request leaves its connection fit for somebody else, if nothing but the head is sent."""
    if head.upgrade:
        return False
    if b"\r\nauthorization:" not in (lowered := head.data.lower()):
        return True
    return not any(line.startswith(b"authorization:") and _BOUND.search(line) for line in lowered.split(b"\r\n"))


def response_allows(told: Told) -> bool:
    """Whether a response leaves its connection fit for somebody else. A word too many costs a connection only."""
    if b"persistent-auth" in told:
        return False
    return not any(_BOUND.search(value) for name in told if b"auth" in name for value in told[name])
