"""What the log says of requests."""

from typing import Any

import pytest
from structlog.testing import CapturingLogger

from actors.exchange import reasons
from actors.exchange.journal import Journal, visitor_of
from actors.exchange.request import Kind, Request


class Lines:
    """A journal and what it wrote."""

    def __init__(self, url: str = "https://a.trycloudflare.com", *, all_requests: bool = True) -> None:
        self.now = 0.0
        self._log = CapturingLogger()
        self.journal = Journal(self._log, url=url, all_requests=all_requests, clock=lambda: self.now)

    def take(self) -> list[tuple[str, str, dict[str, Any]]]:
        taken = [(call.method_name, call.args[0], call.kwargs) for call in self._log.calls]
        self._log.calls.clear()
        return taken


def request(*fields: tuple[str, bytes], target: bytes = b"/path?secret=1") -> Request:
    return Request(Kind.HTTP, b"GET", target, b"a", tuple((name.encode(), value) for name, value in fields))


class Seen:
    """An exchange, as an observer knows it."""

    def __init__(self, request: Request, status: int | None = 200) -> None:
        self.request = request
        self.method = "GET"
        self.status = status
        self.reason: reasons.Reason | None = None
        self.error = ""
        self.is_substitute = self.is_renamed = self.is_repeated = False
        self.is_admitted = True
        self.rule = ""
        self.held = b""
        self.is_heard_out = True
        self.seconds = 0.0
        self.bytes_in = self.bytes_out = 0


def failed(reason: reasons.Reason, error: str, status: int = 502) -> Seen:
    """One that this program answered itself."""
    seen = Seen(request(), status)
    seen.reason, seen.error, seen.is_substitute = reason, error, True
    return seen


def test_request_is_one_line_without_its_query() -> None:
    lines = Lines()
    visitor = ("CF-Connecting-IP", b"2001:DB8::1")
    seen = Seen(request(visitor), 502)
    seen.method, seen.seconds, seen.bytes_in, seen.bytes_out, seen.reason = "POST", 0.01234, 10, 20, reasons.TLS
    lines.journal.ended(seen)
    lines.journal.answered(Seen(request(visitor), 101), [])
    about = {"path": "/path", "visitor": "2001:db8::1"}
    assert lines.take() == [
        (
            "info",
            "request",
            {"method": "POST", "status": 502, "ms": 12.3, "bytes_in": 10, "bytes_out": 20, "reason": "tls", **about},
        ),
        ("info", "websocket opened", about),
    ]


def test_request_that_went_well_has_no_reason_and_one_that_was_refused_may_have_no_path() -> None:
    lines = Lines()
    lines.journal.ended(Seen(request(target=b"no/url")))
    ((_, _, values),) = lines.take()
    assert "reason" not in values
    assert values["path"] == "no/url"


def test_path_that_is_no_text_can_be_logged() -> None:
    lines = Lines()
    seen = Seen(request(target=b"/\xff\xfe" + b"x" * 1000), 400)
    seen.method = "G" * 500
    lines.journal.ended(seen)
    ((_, _, values),) = lines.take()
    assert values["path"].startswith("/\\xff\\xfex")
    assert len(values["path"]) < 250
    assert len(values["method"]) == 32


@pytest.mark.parametrize("said", [b"", b"1.2.3.4, 5.6.7.8", b"\x1b[31m", b"\xff", b"a" * 1000])
def test_visitor_s_address_is_one_or_nothing(said: bytes) -> None:
    assert visitor_of(request(("Cf-Connecting-Ip", said))) == ""
    assert visitor_of(request(("cf-connecting-ip", b"203.0.113.9"))) == "203.0.113.9"


def test_no_upgrade_is_logged_unasked() -> None:
    lines = Lines(all_requests=False)
    lines.journal.answered(Seen(request(), 101), [])
    lines.journal.ended(Seen(request(), 101))
    assert lines.take() == []


def test_warning_says_why_and_what_to_try_once_in_a_while() -> None:
    lines = Lines(all_requests=False)
    for _ in range(5):
        lines.journal.ended(failed(reasons.CERTIFICATE, "TLS with https://x failed: self-signed"))
    ((level, _, values),) = lines.take()
    assert level == "warning"
    assert values == {
        "reason": "certificate",
        "status": 502,
        "error": "TLS with https://x failed: self-signed",
        "hint": reasons.CERTIFICATE.hint,
    }
    lines.now += reasons.WARNING_INTERVAL
    lines.journal.ended(failed(reasons.CERTIFICATE, "again"))
    ((_, _, values),) = lines.take()
    assert values["not_logged"] == 4


@pytest.mark.parametrize("status", [400, 403, 421])
def test_origin_that_refuses_all_names_but_its_own_is_suspected(status: int) -> None:
    lines = Lines()
    lines.journal.answered(Seen(request(), 404), [])
    lines.journal.answered(Seen(request(), status), [])
    ((_, text, values),) = lines.take()
    assert str(status) in text
    assert "--host-header rewrite" in values["hint"]


def test_refusals_of_an_origin_that_accepts_others_are_its_own_affair() -> None:
    lines = Lines()
    lines.journal.answered(Seen(request(), 200), [])
    lines.journal.answered(Seen(request(), 403), [])
    assert lines.take() == []
    lines.journal.answered(Seen(request(("Origin", b"https://a.trycloudflare.com")), 403), [])
    assert len(lines.take()) == 1


def test_event_stream_on_a_quick_tunnel_is_warned_of_once() -> None:
    lines = Lines()
    lines.journal.answered(Seen(request()), [(b"X", b"text/event-stream"), (b"Content-Type", b"text/html")])
    assert lines.take() == []
    assert lines.journal.looks_for_event_streams
    lines.journal.answered(Seen(request()), [(b"content-type", b"Text/Event-Stream; charset=utf-8")])
    ((level, _, values),) = lines.take()
    assert level == "warning"
    assert "POST" in values["hint"]
    assert "WebSocket" in values["hint"]
    assert not lines.journal.looks_for_event_streams


def test_edges_that_hold_nothing_back_are_not_blamed() -> None:
    assert not Lines("http://a-b-c-d.localhost:8080").journal.looks_for_event_streams
    assert not Lines("https://trycloudflare.com.example").journal.looks_for_event_streams
