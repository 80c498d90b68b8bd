"""Reasons of failures, and how often they are said."""

import errno
import ssl

import pytest

from actors.exchange import reasons


def caused(cause: BaseException | None) -> Exception:
    error = Exception("no answer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "status", "reason", "hint"),
    [
        (ConnectionRefusedError(), 502, reasons.REFUSED_CONNECTION, "--port"),
        (OSError(errno.EHOSTUNREACH, "no route"), 502, reasons.UNREACHABLE, "--url"),
        (OSError(errno.EMFILE, "too many"), 503, reasons.OUT_OF_MEANS, "ulimit"),
        (TimeoutError(), 504, reasons.CONNECT_TIMEOUT, "firewall"),
        (ssl.SSLCertVerificationError(1, "self-signed"), 502, reasons.CERTIFICATE, "--no-tls-verify"),
        (ssl.SSLError(1, "wrong version number"), 502, reasons.TLS, "--url http://"),
        (None, 502, reasons.BAD_ANSWER, "--url https://"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_reason_of_a_failure(cause: BaseException | None, status: int, reason: reasons.Reason, hint: str) -> None:
    found = reasons.failure(caused(cause), status)
    assert found is reason
    assert hint in found.hint


def test_reason_of_a_refusal() -> None:
    assert [reasons.refusal(status).label for status in (400, 414, 431)] == ["bad_request", "too_large", "too_large"]


def test_labels_are_few_and_differ() -> None:
    found = [value for value in vars(reasons).values() if isinstance(value, reasons.Reason)]
    assert len({reason.label for reason in found}) == len(found) < 48
    assert all(reason.hint for reason in found)


def test_one_warning_for_each_reason_and_interval() -> None:
    throttle = reasons.Throttle()
    assert throttle.due(reasons.TLS, 100.0) == 0
    assert throttle.due(reasons.TLS, 100.0 + reasons.WARNING_INTERVAL / 2) is None
    assert throttle.due(reasons.FULL, 101.0) == 0
    assert throttle.due(reasons.TLS, 99.0 + reasons.WARNING_INTERVAL) is None
    assert throttle.due(reasons.TLS, 100.0 + reasons.WARNING_INTERVAL) == 2
    assert throttle.due(reasons.TLS, 101.0 + reasons.WARNING_INTERVAL) is None
