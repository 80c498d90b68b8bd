"""Why a visitor got an answer of this program's own, or one that may not be meant, and what can be done. Pure."""

import ssl
from typing import Final, NamedTuple

WARNING_INTERVAL: Final = 60.0
"""Seconds between two warnings for one reason: a visitor who reloads a broken page must not flood the log."""


class Reason(NamedTuple):
    """A word for logs, and what to try."""

    label: str
    hint: str


REFUSED: Final = Reason("bad_request", "the request is malformed or could be read in two ways; the origin never saw it")
TOO_LARGE: Final = Reason("too_large", "the address or the fields (cookies?) are longer than Cloudflare's edge takes")
NO_LENGTH: Final = Reason("no_length", "the request has a body that nothing announced; send it with Content-Length")
NOT_GATHERED: Final = Reason(
    "not_gathered", "send it with Content-Length; or let the rule allow chunks (disableChunkedEncoding: false)"
)
FULL: Final = Reason("full", "raise --max-streams if the origin can take more at once")
FAULT: Final = Reason("internal_fault", "the traceback is in the log: please report it; other requests go on")
OUT_OF_MEANS: Final = Reason("out_of_means", "raise this program's limit of open files (ulimit -n)")
REFUSED_CONNECTION: Final = Reason(
    "origin_refuses", "start the origin, or name where it listens: --port PORT or --url http://HOST:PORT"
)
UNREACHABLE: Final = Reason("origin_unreachable", "is the host in --url right, and is it up?")
CERTIFICATE: Final = Reason(
    "certificate",
    "give the certificate's root (--origin-ca FILE) or its name (--origin-server-name NAME), or take any "
    "(--no-tls-verify)",
)
TLS: Final = Reason("tls", "if the origin speaks no TLS, give --url http://HOST:PORT")
CONNECT_TIMEOUT: Final = Reason(
    "connect_timeout", "the origin accepts no connection: is it stuck, or a firewall there?"
)
SLOW: Final = Reason("origin_slow", "--origin-response-timeout gives it longer")
BAD_ANSWER: Final = Reason(
    "bad_answer", "if the origin speaks TLS, give --url https://HOST:PORT; else its own log may say more"
)
BROKEN_OFF: Final = Reason("broken_off", "the origin's own log may say why")
WRONG_LENGTH: Final = Reason("wrong_length", "the request's body is longer or shorter than its Content-Length")
VISITOR_LEFT: Final = Reason("visitor_left", "the visitor went away before the answer was complete")
FOREIGN_HOST: Final = Reason(
    "foreign_host", "if the origin refuses names that it does not know, give --host-header rewrite"
)
NO_RULE: Final = Reason(
    "no_rule", "give the rules one more, without a hostname and a path, for what no other one is meant for"
)
MANAGEMENT: Final = Reason(
    "management", "the request was for the tunnel's management, which this program does not offer; no origin saw it"
)
ACCESS_ABSENT: Final = Reason(
    "access_absent", "does an application of Cloudflare Access protect this hostname? Its visitors have a token"
)
ACCESS_REFUSED: Final = Reason("access_refused", "the tag (AUD) of the application must be among the rule's audTag")
ACCESS_BROKEN: Final = Reason("access_broken", "is the rule's teamName right, and this machine's clock?")
ACCESS_KEYS: Final = Reason("access_keys", "this machine must reach the team's address by HTTPS")
GUARD: Final = "guard_"
"""How the words for what the guard refuses begin."""

GUARD_ADDRESS: Final = Reason(
    "guard_address", "let the visitor's address in: --allow-ip ADDRESS, or a narrower --deny-ip"
)
GUARD_PATH: Final = Reason("guard_path", "let the path in: --allow-path PATTERN, or a narrower --deny-path")
GUARD_RATE: Final = Reason("guard_rate", "--rate-limit gives each visitor more, as in 20/s,burst=50")
GUARD_IN_FLIGHT: Final = Reason("guard_in_flight", "--max-in-flight allows more requests at once")
GUARD_LOGIN_ABSENT: Final = Reason("guard_login_absent", "give the visitor a name and a password, or an access token")
GUARD_LOGIN_WRONG: Final = Reason(
    "guard_login_wrong", "does the visitor have what stands in --auth-file or --access-token-file?"
)
GUARD_WEBHOOK_WRONG: Final = Reason(
    "guard_webhook_wrong",
    "is the secret in the file of --verify-webhook the one that the sender shows for this address?",
)
GUARD_WEBHOOK_LATE: Final = Reason(
    "guard_webhook_late", "is this machine's clock right? An old delivery that is sent again is refused on purpose"
)
GUARD_BODY: Final = Reason("guard_body", "a body that is checked is held, and must be short and whole")
GUARD_BUSY: Final = Reason("guard_busy", "more is to be checked at once than may be; the visitor is told to come again")
GUARDS: Final = (
    *(GUARD_ADDRESS, GUARD_PATH, GUARD_RATE, GUARD_IN_FLIGHT, GUARD_LOGIN_ABSENT, GUARD_LOGIN_WRONG),
    *(GUARD_WEBHOOK_WRONG, GUARD_WEBHOOK_LATE, GUARD_BODY, GUARD_BUSY),
)
"""Why the guard refuses a visitor, who is not told which of them it is."""
NO_WEB_PAGE: Final = Reason("no_web_page", "the rule is for a TCP service: a browser can make nothing of it")
NO_PORT: Final = Reason("no_port", "say in the rule which port the service listens at: SCHEME://HOST:PORT")
NO_DESTINATION: Final = Reason("no_destination", "a bastion goes where the client says, as HOST:PORT")
NO_ANSWER: Final = Reason("no_answer", "give the rule's http_status one of 200 to 999")
REPLAY_CUT: Final = Reason(
    "replay_cut", "a replay is broken off after 60 s, and after 16 MiB of its answer; what is shown of it is whole"
)
EVENT_STREAM: Final = Reason(
    "event_stream", "send events in the answer to a POST, or over a WebSocket; or use a tunnel of your own account"
)

HOST_REFUSALS: Final = frozenset((400, 403, 421))
"""What servers answer to a Host that they do not know: Django 400, Vite and Jupyter 403, MCP servers 421."""


def refusal(status: int) -> Reason:
    """Why a request was refused with `status` before the origin saw it."""
    return TOO_LARGE if status in (414, 431) else REFUSED


def failure(error: BaseException, status: int) -> Reason:
    """Why there is no answer of the origin: `error` says so, and what caused it more exactly; `status` is what the
    visitor gets for it."""
    match error.__cause__:
        case ssl.SSLCertVerificationError():
            return CERTIFICATE
        case ssl.SSLError():
            return TLS
        case TimeoutError():
            return CONNECT_TIMEOUT
        case ConnectionRefusedError():
            return REFUSED_CONNECTION
        case OSError():
            return OUT_OF_MEANS if status == 503 else UNREACHABLE
        case _:
            return BAD_ANSWER


class Throttle:
    """Lets one warning through for each reason and interval, and counts those that it holds back."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def due(self, reason: Reason, now: float) -> int | None:
        """How many warnings for it were held back before the one that is due `now` (seconds of any clock); or None: it
        is to be held back as well."""
        if now < self._next.get(reason.label, now):
            self._held[reason.label] = self._held.get(reason.label, 0) + 1
            return None
        self._next[reason.label] = now + WARNING_INTERVAL
        return self._held.pop(reason.label, 0)
