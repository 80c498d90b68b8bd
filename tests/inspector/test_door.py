"""Who comes in, and who does not: rebound names, foreign pages, and whatever came through the tunnel."""

import base64

import pytest

from actors.bus.addresses import HostPort
from actors.inspector.door import Door

Field = tuple[bytes, bytes]

DOOR = Door(HostPort("127.0.0.1", 4040), token="right", password="")
OURS = (b"Host", b"127.0.0.1:4040")
TOKEN = (b"X-Inspector-Token", b"right")


def status(*fields: Field, door: Door = DOOR, method: str = "GET", path: str = "/api/status", token: str = "") -> int:
    refusal = door.refusal(method, path, fields, token)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4040", "localhost:4040", "LOCALHOST:4040", "[::1]:4040", "localhost.:4040"]
)
def test_own_names(host: str) -> None:
    assert status((b"Host", host.encode())) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example:4040", "evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:4041", "localhost", ""),
        *("127.0.0.1.evil.example:4040", "localhost.evil.example:4040", "evil.example#127.0.0.1:4040"),
        *("evil.example@127.0.0.1:4040", "127.0.0.1:4040@evil.example", "127.0.0.1:4040/", "127.0.0.1:4040 "),
        *("0.0.0.0:4040", "127.1:4040", "2130706433:4040", "0x7f.1:4040", "[::ffff:127.0.0.1]:4040", "[::]:4040"),
        *("127.0.0.1:4040:4040", "127.0.0.1:04o4", "\x00", "[", "xn--localhost:4040", "a.trycloudflare.com"),
    ],
)
def test_dns_rebinding(host: str) -> None:
    assert status((b"Host", host.encode()), TOKEN) == (200 if host.rstrip() == "127.0.0.1:4040" else 403)


def test_no_host_or_two() -> None:
    assert status(TOKEN) == 403
    assert status(OURS, OURS, TOKEN) == 403
    assert status(OURS, (b"Host", b"evil.example"), TOKEN) == 403


@pytest.mark.parametrize("name", [b"Cf-Ray", b"cf-connecting-ip", b"CF-Visitor", b"CDN-Loop", b"Cf-Anything"])
def test_never_through_the_tunnel(name: bytes) -> None:
    assert status(OURS, TOKEN, (name, b"x")) == 403
    assert status(OURS, (name, b"x"), path="/") == 403


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "WHATEVER"])
def test_what_changes_something_needs_the_token(method: str) -> None:
    assert status(OURS, method=method) == 403
    for wrong in (b"", b"wrong", b"right ", b"Right", b"r\xc3\xafght"):
        expected = 200 if wrong.strip() == b"right" else 403
        assert status(OURS, (b"X-Inspector-Token", wrong), method=method) == expected
    assert status(OURS, TOKEN, method=method) == 200
    assert status(OURS, (b"Authorization", b"bearer right"), method=method) == 200
    assert status(OURS, (b"Authorization", b"Basic right"), method=method) == 403
    assert status(OURS, method=method, token="right") == 200


@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"http://127.0.0.1:8080", b"https://127.0.0.1:4040"]
)
def test_pages_of_other_sites(origin: bytes) -> None:
    for method in ("GET", "POST"):
        assert status(OURS, TOKEN, (b"Origin", origin), method=method) == 403
    assert status(OURS, TOKEN, (b"Origin", b"http://127.0.0.1:4040"), method="POST") == 200
    assert status(OURS, TOKEN, (b"Origin", b"http://localhost:4040"), method="POST") == 200


@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"something new"])
def test_where_a_browser_says_that_it_comes_from(site: bytes) -> None:
    """Another port of localhost is of the same site: the application itself, with whatever it was made to run."""
    told = (b"Sec-Fetch-Site", site)
    assert status(OURS, told) == 403
    assert status(OURS, told, path="/assets/page.js") == 403
    assert status(OURS, told, path="/") == 200, "a link may lead to the page, which shows its reader nothing else"
    assert status(OURS, told, TOKEN, path="/", method="POST") == 403
    for ours in (b"same-origin", b"none"):
        assert status(OURS, (b"Sec-Fetch-Site", ours)) == 200


def basic(text: str) -> Field:
    return (b"Authorization", b"Basic " + base64.b64encode(text.encode()))


def test_password() -> None:
    door = Door(HostPort("0.0.0.0", 4040), token="right", password="geheim:wört", named="box.example")
    host = (b"Host", b"192.0.2.7:4040")
    refused = door.refusal("GET", "/", [host])
    assert refused is not None
    assert refused.status == 401
    assert refused.fields[0][0] == b"WWW-Authenticate"
    assert not refused.is_guess
    guessed = door.refusal("GET", "/", [host, basic("a:wrong")])
    assert guessed is not None
    assert guessed.is_guess
    for given, expected in (
        (basic("anybody:geheim:wört"), 200),
        (basic(":geheim:wört"), 200),
        (basic("geheim:wört"), 401),
        (basic("a:wrong"), 401),
        (basic("a:"), 401),
        ((b"Authorization", b"Basic ???"), 401),
        ((b"Authorization", b"Bearer wrong"), 401),
        ((b"Authorization", b"Bearer right"), 200),
        ((b"X-Inspector-Token", b"right"), 200),
    ):
        assert status(host, given, door=door) == expected, given
        assert status(host, given, door=door, path="/") == expected, given
    assert status(host, basic("a:geheim:wört"), door=door, method="POST") == 403, "the password is no token"


def test_names_of_one_that_others_reach() -> None:
    door = Door(HostPort("0.0.0.0", 4040), token="right", password="geheim", named="0.0.0.0")
    for host, expected in ((b"192.0.2.7:4040", 200), (b"[2001:db8::1]:4040", 200), (b"evil.example:4040", 403)):
        assert status((b"Host", host), basic("a:geheim"), door=door) == expected
    named = Door(HostPort("192.0.2.7", 80), token="right", password="geheim", named="box.example")
    for host, expected in ((b"192.0.2.7", 200), (b"box.example", 200), (b"192.0.2.8", 403), (b"box.example:81", 403)):
        assert status((b"Host", host), basic("a:geheim"), door=named) == expected


def test_token_is_seen_by_nobody_else() -> None:
    assert not DOOR.has_token([])
    assert not Door(HostPort("127.0.0.1", 1), token="right").has_token([(b"X-Inspector-Token", b"")])
    assert DOOR.has_token([], "right")
