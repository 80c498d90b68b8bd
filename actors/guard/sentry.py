"""One guard: what a request has to pass, and in which order. Pure.

    address → rate → path → proof (ticket, token, login or webhook: any of them) → place → banner

What costs little comes first: a path that is made for it takes a hundredth of a second. Nothing of a body is asked for,
and no password verified, before a visitor's rate allows it; and only who has proved something gets one of the places of
`--max-in-flight`.
"""

import re
from typing import Final

from actors.bus.guards import Guard
from actors.exchange import reasons
from actors.exchange.gate import Need, Passed, Refusal, Reply
from actors.exchange.request import Field, Request
from actors.guard import addresses, banner, fields, logins, tokens, webhooks
from actors.guard.addresses import Networks
from actors.guard.logins import Credentials, Logins
from actors.guard.paths import Paths
from actors.guard.shared import Shared
from actors.guard.tokens import Tokens
from actors.guard.webhooks import Delivery, Finding

NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")

REALM: Final = b'Basic realm="tunnel", charset="UTF-8"'

NOT_CACHED: Final[tuple[Field, ...]] = ((b"Cloudflare-CDN-Cache-Control", b"no-store"),)
"""The edge keeps files by their endings (.js, .png, …), and would give them to those whom we never see: this is said to
it alone, and goes no further."""

_OWN_COOKIES: Final = (tokens.COOKIE, banner.COOKIE)

RETRY_IN_FLIGHT: Final = b"1"
"""Seconds: places become free all the time."""


class Sentry:
    """One guard, as a worker keeps it."""

    def __init__(self, guard: Guard, number: int, shared: Shared, row: int) -> None:
        """`number`: of this guard among those of the tunnel. `row`: of this worker in `shared`."""
        self._guard = guard
        self._number = number
        self._shared = shared
        self._row = row
        self._networks = Networks(guard.allow_ips, guard.deny_ips)
        self._paths = Paths(guard.allow_paths, guard.deny_paths)
        self._tokens = Tokens(guard.access_tokens)
        self.logins = Logins(guard.logins)

    # --- before anything costs anything ---

    def turned_away(self, request: Request, now: float) -> Refusal | None:
        """Why nobody looks any closer. `now`: seconds of CLOCK_MONOTONIC."""
        address = addresses.visitor(request)
        if self._networks and not self._networks.admit(address):
            told = f"the visitor's address, {address or 'which the edge does not say'}, is not let in"
            return _refused(403, told, reasons.GUARD_ADDRESS)
        if (rate := self._guard.rate) is not None:
            wait = self._shared.take(self._number, addresses.name(address), rate, now)
            if wait > 0.0:
                again = (b"Retry-After", b"%d" % (int(wait) + 1))
                return _refused(429, "one visitor asks more often than --rate-limit allows", reasons.GUARD_RATE, again)
        if self._paths and not self._paths.admit(request):
            return _refused(403, "the path, as it is or as servers may read it, is not let in", reasons.GUARD_PATH)
        return None

    # --- proofs ---

    def proof(self, request: Request, now: float, clock: float) -> Passed | Refusal | Reply | Need | Credentials:
        """What a request proves: it passes, or it does not, or is sent on to where it will; or its body is needed, or
        these credentials are to be verified. `now`: seconds of CLOCK_MONOTONIC; `clock`: since 1970."""
        guard = self._guard
        if not guard.proves:
            return Passed(request)
        token = tokens.in_address(request)
        has_token = token is not None and self._tokens.admit(token)
        if token is not None and has_token and fields.is_a_browsers(request):
            return self._led(request, token, clock)
        if has_token or any(self._tokens.honours(ticket, clock) for ticket in fields.cookies(request, tokens.COOKIE)):
            return Passed(request)
        authorization = fields.only(request, b"authorization") or b""
        bearer = tokens.bearer(authorization)
        if bearer is not None and self._tokens.admit(bearer):
            return Passed(request)
        if any(webhooks.is_set_up(webhook, request) for webhook in guard.webhooks):
            return Passed(request)
        credentials = logins.read(authorization) if self.logins else None
        is_right = self.logins.know(credentials, now) if credentials is not None else False
        if is_right:
            return Passed(request)
        if credentials is not None and is_right is None:
            return credentials
        return self.without_login(request)

    def without_login(self, request: Request) -> Need | Refusal:
        """No login lets it in: what it says may still be a webhook."""
        if any(webhooks.is_signed(webhook, request) for webhook in self._guard.webhooks):
            return Need.BODY
        challenges: list[Field] = []
        if self.logins:
            challenges.append((b"WWW-Authenticate", REALM))
        if self._tokens:
            challenges.append((b"WWW-Authenticate", b'Bearer realm="tunnel"'))
        if fields.values(request, b"authorization") or tokens.in_address(request) is not None:
            return _refused(
                401, "what the visitor has is not what is asked for", reasons.GUARD_LOGIN_WRONG, *challenges
            )
        # Every browser begins so: it is counted, and nothing for the log.
        return _refused(401, "", reasons.GUARD_LOGIN_ABSENT, *challenges)

    def _led(self, request: Request, token: bytes, clock: float) -> Reply:
        """A browser gets a cookie, and is led to the address without the token."""
        target = self._without_tokens(request).target
        # Two slashes at the beginning of a Location are another host; `/.` before them is this one.
        target = target if target.startswith(b"/") else b"/" + target
        target = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target)
        location = b"/." + target if target[1:2] in (b"/", b"\\") else target
        ticket = self._tokens.ticket(token, clock)
        return Reply(
            303,
            (
                (b"Location", location),
                tokens.set_cookie(tokens.COOKIE, ticket, seconds=tokens.LIFETIME, is_secure=_is_secure(request)),
                (b"Cache-Control", b"no-store"),
                (b"Referrer-Policy", b"no-referrer"),
                (b"Content-Length", b"0"),
            ),
        )

    def by_body(self, request: Request, body: bytes, clock: float) -> Passed | Refusal:
        """What a request proves that says it is a webhook."""
        delivery = Delivery(request, body, clock)
        signed = [webhook for webhook in self._guard.webhooks if webhooks.is_signed(webhook, request)]
        found = {webhooks.judge(webhook, delivery) for webhook in signed}
        if Finding.RIGHT in found:
            return Passed(request)
        of = " or ".join(webhook.sender for webhook in signed)
        if Finding.LATE in found:
            told = f"a webhook of {of} is more than {webhooks.TOLERANCE:.0f} s old, or as much ahead of this clock"
            return _refused(401, told, reasons.GUARD_WEBHOOK_LATE)
        return _refused(401, f"a webhook is not signed as {of} would", reasons.GUARD_WEBHOOK_WRONG)

    # --- inside ---

    def let_in(self, request: Request, now: float) -> Passed | Refusal | Reply:
        """It has proved all that it has to: a place, the banner, and what was meant for us alone taken out, whichever
        of it was the proof. `now`: seconds of CLOCK_MONOTONIC."""
        if self._guard.banner and banner.due(request):
            return banner.page(is_secure=_is_secure(request))
        if self._guard.proves or self._guard.banner:
            request = fields.without_cookies(request, _OWN_COOKIES)
            request = fields.without(request, b"authorization", lambda value: self._is_ours(value, now))
            request = self._without_tokens(request)
        said = NOT_CACHED if self._guard.closes else ()
        if not (most := self._guard.max_in_flight):
            return Passed(request, fields=said)
        if self._shared.in_flight(self._number) >= most:
            again = (b"Retry-After", RETRY_IN_FLIGHT)
            return _refused(503, f"{most} requests are in flight already", reasons.GUARD_IN_FLIGHT, again)
        self._shared.came(self._row, self._number)
        return Passed(request, lambda: self._shared.came(self._row, self._number, -1), said)

    def _is_ours(self, authorization: bytes, now: float) -> bool:
        """Whether it says a token or a login of ours, and not what the application asks for."""
        token = tokens.bearer(authorization)
        credentials = logins.read(authorization)
        return (token is not None and self._tokens.admit(token)) or (
            credentials is not None and self.logins.may_be_ours(credentials, now)
        )

    def _without_tokens(self, request: Request) -> Request:
        return fields.without_parameters(
            request, tokens.PARAMETER, lambda value: self._tokens.admit(tokens.as_token(value))
        )


def _refused(status: int, message: str, reason: reasons.Reason, *more: Field) -> Refusal:
    return Refusal(status, message, reason, more, is_told=False)


def _is_secure(request: Request) -> bool:
    """Whether the visitor speaks https; a local edge may be without, and browsers keep no Secure cookie then."""
    return fields.values(request, b"x-forwarded-proto") != [b"http"]
