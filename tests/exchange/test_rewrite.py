"""Two names of one origin: what changes on the way in and back, and what must not."""

import pytest

from actors.bus.routes import Origin
from actors.exchange.http1 import build_request_head
from actors.exchange.request import Kind, Request
from actors.exchange.rewrite import Rewrite

PUBLIC = b"a-b.trycloudflare.com"
AT_HOME = Origin(host="localhost", port=8000, host_header="localhost:8000")
FORWARDED = Origin(host="localhost", port=8000, host_header="localhost:8000", forwarded_host=True)


def request(*fields: tuple[str, bytes], host: bytes = PUBLIC) -> Request:
    return Request(Kind.HTTP, b"GET", b"/", host, tuple((name.encode(), value) for name, value in fields))


def sent(*fields: tuple[str, bytes], origin: Origin = AT_HOME, host: bytes = PUBLIC) -> list[bytes]:
    """What the origin gets."""
    head = build_request_head(Rewrite(request(*fields, host=host), origin).request())
    return head.data.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]


def answered(name: bytes, value: bytes, origin: Origin = AT_HOME, *fields: tuple[str, bytes]) -> bytes:
    """What the visitor gets of that field."""
    ((_, changed),) = Rewrite(request(*fields), origin).answer([(name, value)])
    return changed


def test_origin_is_asked_for_by_its_own_name() -> None:
    assert sent(
        ("Origin", b"https://a-b.trycloudflare.com"),
        ("Referer", b"https://A-B.trycloudflare.com:443/form?x=1"),
        ("Destination", b"https://a-b.trycloudflare.com/copy"),
        ("X-Forwarded-Proto", b"https"),
        ("X-Forwarded-Host", b"forged.example"),
        ("Host", PUBLIC),
        ("Accept", b"*/*"),
    ) == [
        b"Host: localhost:8000",
        b"Origin: http://localhost:8000",
        b"Referer: http://localhost:8000/form?x=1",
        b"Destination: http://localhost:8000/copy",
        b"X-Forwarded-Proto: http",
        b"Accept: */*",
    ]


def test_public_name_goes_on_where_that_is_asked_for() -> None:
    fields = (("Origin", b"https://a-b.trycloudflare.com"), ("X-Forwarded-Proto", b"https"))
    assert sent(*fields, ("X-Forwarded-Host", b"forged.example"), origin=FORWARDED) == [
        b"Host: localhost:8000",
        b"X-Forwarded-Host: a-b.trycloudflare.com",
        b"Origin: https://a-b.trycloudflare.com",
        b"X-Forwarded-Proto: https",
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        b"https://evil.example",
        b"https://a-b.trycloudflare.com.evil.example",
        b"https://a-b.trycloudflare.com:8443",
        b"https://a-b.trycloudflare.com@evil.example",
        b"https://evil.example/?https://a-b.trycloudflare.com",
        b"https://a-b.trycloudflare.com\\.evil.example",
        b"chrome-extension://a-b.trycloudflare.com",
        b"null",
        b"",
    ],
)
@pytest.mark.parametrize("name", ["Origin", "Referer"])
def test_foreign_origin_stays_foreign(name: str, foreign: bytes) -> None:
    assert sent((name, foreign))[1] == f"{name}: ".encode() + foreign


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        (b"http://localhost:8000/login?next=/", b"https://a-b.trycloudflare.com/login?next=/"),
        (b"https://LOCALHOST:8000", b"https://a-b.trycloudflare.com"),
        (b"//localhost:8000/x", b"//a-b.trycloudflare.com/x"),
        (b"/login", b"/login"),
        (b"login?at=http://localhost:8000/", b"login?at=http://localhost:8000/"),
        (b"http://localhost:8001/", b"http://localhost:8001/"),
        (b"http://localhost/", b"http://localhost/"),
        (b"http://localhost:8000@evil.example/", b"http://localhost:8000@evil.example/"),
        (
            b"https://accounts.example/?back=http://localhost:8000",
            b"https://accounts.example/?back=http://localhost:8000",
        ),
    ],
)
@pytest.mark.parametrize("name", [b"Location", b"content-location"])
def test_redirect_to_itself_leads_back_to_the_public_name(name: bytes, value: bytes, changed: bytes) -> None:
    assert answered(name, value) == changed


def test_scheme_is_the_visitor_s() -> None:
    redirect = b"http://localhost:8000/"
    assert answered(b"Location", redirect, AT_HOME, ("X-Forwarded-Proto", b"http")) == b"http://a-b.trycloudflare.com/"
    assert answered(b"Location", redirect, AT_HOME, ("X-Forwarded-Proto", b"x")) == b"https://a-b.trycloudflare.com/"


def test_port_that_goes_without_saying() -> None:
    origin = Origin(scheme="https", host="app.test", port=443, host_header="app.test")
    assert answered(b"Location", b"https://app.test:443/x", origin) == b"https://a-b.trycloudflare.com/x"
    assert answered(b"Location", b"http://app.test:443/x", origin) == b"http://app.test:443/x"
    assert sent(("Origin", b"https://a-b.trycloudflare.com"), origin=origin)[1] == b"Origin: https://app.test"


def test_refresh() -> None:
    assert answered(b"Refresh", b"5; URL=http://localhost:8000/x") == b"5; URL=https://a-b.trycloudflare.com/x"
    assert answered(b"Refresh", b"5") == b"5"


@pytest.mark.parametrize(
    ("host", "value", "changed"),
    [
        ("localhost:8000", b"a=b; Domain=localhost; Path=/", b"a=b; Domain=a-b.trycloudflare.com; Path=/"),
        ("app.test", b"a=b; path=/;domain=.APP.test", b"a=b; path=/;domain=a-b.trycloudflare.com"),
        ("www.app.test", b"a=b; Domain=app.test", b"a=b; Domain=a-b.trycloudflare.com"),
        ("app.test", b"a=b; Domain=www.app.test", b"a=b; Domain=www.app.test"),
        ("app.test", b"a=b; Domain=other.test", b"a=b; Domain=other.test"),
        ("app.test", b"domain=app.test; Secure", b"domain=app.test; Secure"),
        ("app.test", b"a=b", b"a=b"),
    ],
)
def test_cookie_of_the_origin_s_own_name_becomes_one_of_the_public_name(
    host: str, value: bytes, changed: bytes
) -> None:
    assert answered(b"Set-Cookie", value, Origin(host="h", port=1, host_header=host)) == changed


def test_nothing_else_changes() -> None:
    fields = [(b"Content-Security-Policy", b"connect-src http://localhost:8000"), (b"X", b"//localhost:8000/")]
    assert Rewrite(request(), AT_HOME).answer(fields) == fields


@pytest.mark.parametrize(
    "bad",
    [
        request(host=b"a b"),
        request(("Host", b"other.example")),
        request(host=PUBLIC + b", " + PUBLIC),
        request(host=b""),
    ],
    ids=["no host", "two hosts", "host twice", "none"],
)
def test_what_is_refused_without_is_refused_with_it(bad: Request) -> None:
    for built in (bad, Rewrite(bad, AT_HOME).request(), Rewrite(bad, FORWARDED).request()):
        with pytest.raises(Exception, match="host"):
            build_request_head(built)
