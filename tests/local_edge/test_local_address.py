"""Who came by the local address, and what the origin and he are told of each other's names."""

import pytest

from actors.local_edge.local_address import Alias, is_local_address

LOCAL, PUBLIC = b"http://127.0.0.1:80", b"http://a-b.localhost:80"
ALIAS = Alias(LOCAL, PUBLIC)


@pytest.mark.parametrize("host", [b"127.0.0.1:1", b"LocalHost:8000", b"localhost", b"[::1]:1", b"10.0.0.1", b"[::1]"])
def test_local(host: bytes) -> None:
    assert is_local_address(host)


@pytest.mark.parametrize("host", [b"", b"a.localhost:1", b"127.0.0.1.evil.example", b"x", b"\xff", b"127.1:1"])
def test_not_local(host: bytes) -> None:
    assert not is_local_address(host)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (b"host", b"127.0.0.1:80", b"a-b.localhost:80"),
        (b"Origin", LOCAL, PUBLIC),
        (b"Referer", LOCAL + b"/page?q#f", PUBLIC + b"/page?q#f"),
        (b"Destination", LOCAL + b"/to", PUBLIC + b"/to"),
        (b"Origin", b"http://foreign.example", b"http://foreign.example"),
        (b"Origin", b"http://127.0.0.1:8080", b"http://127.0.0.1:8080"),
        (b"Origin", b"null", b"null"),
        (b"X-Url", LOCAL, LOCAL),
    ],
)
def test_origin_is_told_the_public_name(name: bytes, value: bytes, told: bytes) -> None:
    assert ALIAS.to_origin([(name, value), (b"Y", b"1")]) == [(name, told), (b"Y", b"1")]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (b"location", PUBLIC + b"/next", LOCAL + b"/next"),
        (b"Location", b"/next", b"/next"),
        (b"Location", b"http://a-b.localhost:8000/", b"http://a-b.localhost:8000/"),
        (b"Location", b"https://elsewhere.example/", b"https://elsewhere.example/"),
        (b"Content-Location", PUBLIC, LOCAL),
        (b"Link", PUBLIC, PUBLIC),
    ],
)
def test_visitor_is_led_back_here(name: bytes, value: bytes, told: bytes) -> None:
    assert ALIAS.to_visitor([(name, value)]) == [(name, told)]
