"""What the log says of requests: each one if that is asked for, and what went wrong, seldom enough to be read."""

import http
import ipaddress
import urllib.parse
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from actors.exchange import reasons
from actors.exchange.observers import Observed, Observer
from actors.exchange.request import Field, Kind, Request
from actors.processes.log import Logger

MAX_LOGGED_PATH: Final = 200
"""Bytes of a path in the log."""

MAX_LOGGED_METHOD: Final = 32
"""Characters of a method there; the longest registered one has 17."""

QUICK_TUNNELS: Final = ".trycloudflare.com"
"""Where the names of those tunnels end whose edge holds back event streams that answer a GET."""


class Journal(Observer):
    """The log of one connection's requests."""

    def __init__(self, log: Logger, *, url: str, all_requests: bool, clock: Callable[[], float] = monotonic) -> None:
        """`url`: the tunnel's public address. `all_requests`: log each of them, too."""
        self._log = log
        self._all_requests = all_requests
        self._clock = clock
        self._throttle = reasons.Throttle()
        self._accepted = False
        """Whether the origin has answered anything with a status below 400 yet."""
        self.looks_for_event_streams = (urllib.parse.urlsplit(url).hostname or "").endswith(QUICK_TUNNELS)
        """Whether none has been seen where it would be held back."""

    # --- events (Observer) ---

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        assert exchange.status is not None
        if not exchange.is_renamed:
            self._judge_name(exchange.request, exchange.status)
        if self.looks_for_event_streams and exchange.method == "GET":
            self._look_for_event_stream(exchange.request, fields)
        if exchange.status == http.HTTPStatus.SWITCHING_PROTOCOLS and self._all_requests:
            self._log.info("websocket opened", path=_path(exchange.request), visitor=visitor_of(exchange.request))

    def ended(self, exchange: Observed) -> None:
        if exchange.error and exchange.reason is not None:
            status = exchange.status if exchange.is_substitute else None
            text = "the visitor did not get the origin's answer"
            self._warn(exchange.reason, text, status=status, error=exchange.error)
        if self._all_requests and exchange.request.kind is not Kind.TCP:
            self._log_request(exchange)

    # --- requests, one by one ---

    def _log_request(self, exchange: Observed) -> None:
        why = {"reason": exchange.reason.label} if exchange.reason is not None else {}
        self._log.info(
            "request",
            method=exchange.method[:MAX_LOGGED_METHOD],
            path=_path(exchange.request),
            status=exchange.status,
            ms=round(exchange.seconds * 1000, 1),
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            visitor=visitor_of(exchange.request),
            **why,
        )

    # --- what somebody should know ---

    def _judge_name(self, request: Request, status: int) -> None:
        """The origin has answered a request for a public name; is it one that it does not know?

        An origin that refuses all names but its own has accepted nothing yet; or it takes the visitor's Origin, which
        comes with a form, for a foreign one.
        """
        if status < 400:
            self._accepted = True
        elif status in reasons.HOST_REFUSALS and not (self._accepted and not _field(request, b"origin")):
            self._warn(reasons.FOREIGN_HOST, f"the origin answered {status}", status=status)

    def _look_for_event_stream(self, request: Request, fields: Sequence[Field]) -> None:
        """Somebody GETs what has these fields. If it is a stream of events, the edge will hold it back: say so once."""
        kinds = [value for name, value in fields if len(name) == 12 and name.lower() == b"content-type"]
        if any(map(_is_event_stream, kinds)):
            self.looks_for_event_streams = False
            text = "Cloudflare's edge holds back event streams that answer a GET on quick tunnels"
            self._log.warning(
                text, path=_path(request), reason=reasons.EVENT_STREAM.label, hint=reasons.EVENT_STREAM.hint
            )

    def _warn(self, reason: reasons.Reason, text: str, **values: object) -> None:
        held = self._throttle.due(reason, self._clock())
        if held is not None:
            more = {"not_logged": held} if held else {}
            self._log.warning(text, reason=reason.label, **values, hint=reason.hint, **more)


def _is_event_stream(value: bytes) -> bool:
    return value.partition(b";")[0].strip().lower() == b"text/event-stream"


def _path(request: Request) -> str:
    """The path, without the query: it may hold a secret."""
    path = request.target.partition(b"?")[0] or b"/"
    return path[:MAX_LOGGED_PATH].decode("utf-8", "backslashreplace")


def visitor_of(request: Request) -> str:
    """The visitor's address, as the edge says it; nothing if it says none."""
    try:
        return str(ipaddress.ip_address(_field(request, b"cf-connecting-ip").decode("ascii")))
    except ValueError:
        return ""


def _field(request: Request, name: bytes) -> bytes:
    """The value of the field with that name in lower case."""
    return next((value for given, value in request.fields if given.lower() == name), b"")
