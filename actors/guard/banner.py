"""The page that browsers are shown first, with `--banner`: that this is somebody's own machine. Pure."""

from typing import Final

from actors.exchange.gate import Reply
from actors.exchange.request import Request
from actors.guard import fields
from actors.guard.tokens import set_cookie

COOKIE: Final = b"tunnel_banner"

LIFETIME: Final = 86400
"""Seconds for which a browser is not shown it again."""

_PAGE: Final = b"""\
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Before you go on</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1rem }
</style>
<h1>Before you go on</h1>
<p>This address leads to a program on somebody's own machine. Go on if you know who gave it to you and trust them, and
enter no password here that you use elsewhere.</p>
<p><a href="">Go on</a></p>
"""
"""Nothing of the request is in it: an empty link leads to where it is."""


def due(request: Request) -> bool:
    """Whether it is a browser's that has not seen the page: one asks for HTML, and brings a cookie."""
    return fields.is_a_browsers(request) and not fields.cookies(request, COOKIE)


def page(*, is_secure: bool) -> Reply:
    """The page, which gives the browser its cookie."""
    return Reply(
        200,
        (
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Content-Length", b"%d" % len(_PAGE)),
            (b"Cache-Control", b"no-store"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"X-Robots-Tag", b"noindex"),
            (b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            set_cookie(COOKIE, b"seen", seconds=LIFETIME, is_secure=is_secure),
        ),
        _PAGE,
    )
