"""Which proxy the environment names, and for what."""

import base64

import pytest

from actors.bus.messages import EdgeAddress, Proxy
from actors.supervisor.proxies import ProxyRules

EDGE = EdgeAddress(host="198.41.192.7", port=7844, region="region1.v2.argotunnel.com")
EDGE_6 = EdgeAddress(host="2606:4700:a0::1", port=7844, region="region1.v2.argotunnel.com")


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, Proxy("proxy.example", 3128)),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, Proxy("a", 1)),
        ({"HTTPS_PROXY": "http://b:2", "ALL_PROXY": "http://c:3"}, Proxy("b", 2)),
        ({"ALL_PROXY": "http://c:3"}, Proxy("c", 3)),
        ({"HTTP_PROXY": "http://c:3"}, None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, Proxy("proxy.example", 3128)),
        ({"HTTPS_PROXY": "HTTP://proxy.example/"}, Proxy("proxy.example", 80)),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:3128"}, Proxy("2001:db8::1", 3128)),
    ],
)
def test_proxy_is_the_one_that_is_named(environment: dict[str, str], proxy: Proxy | None) -> None:
    rules = ProxyRules.read(environment)
    assert rules.for_edge(EDGE) == proxy
    assert not rules.problem


@pytest.mark.parametrize(
    ("written", "meant"), [("user:pass", b"user:pass"), ("us%40er:p%3A%20w", b"us@er:p: w"), ("user", b"user:")]
)
def test_credentials_go_into_the_field_and_into_no_text(written: str, meant: bytes) -> None:
    proxy = ProxyRules.read({"HTTPS_PROXY": f"http://{written}@proxy.example:3128"}).for_edge(EDGE)
    assert proxy is not None
    assert base64.b64decode(proxy.authorization.removeprefix("Basic ")) == meant
    assert str(proxy) == "proxy.example:3128"
    assert proxy.authorization not in repr(proxy)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://user:hunter2@proxy.example:1080",
        "https://user:hunter2@proxy.example:443",
        "http://user:hunter2@proxy.example:70000",
        "http://user:hunter2@[::1:3128",
        "http://user:hunter2@:3128",
    ],
)
def test_proxy_that_cannot_be_used_is_named_without_its_secret(value: str) -> None:
    rules = ProxyRules.read({"HTTPS_PROXY": value})
    assert rules.for_edge(EDGE) is None
    assert rules.problem.startswith("HTTPS_PROXY cannot be used for the tunnel: it is")
    assert "hunter2" not in f"{rules!r}"


@pytest.mark.parametrize(
    ("exempt", "direct"),
    [
        ("", False),
        ("*", True),
        ("example.com", False),
        ("argotunnel.com", True),
        (".argotunnel.com", True),
        ("*.argotunnel.com", True),
        ("tunnel.com", False),
        ("REGION1.v2.argotunnel.com", True),
        ("argotunnel.com:7844", True),
        ("argotunnel.com:443", False),
        ("198.41.192.7", True),
        ("198.41.192.8", False),
        ("198.41.192.0/24", True),
        ("198.41.192.7:7844", True),
        ("10.0.0.0/8", False),
        ("localhost, 198.41.0.0/16", True),
        ("[::1", False),
        ("a:b:c, .", False),
    ],
)
def test_exempt_ones_are_reached_directly(exempt: str, direct: bool) -> None:
    rules = ProxyRules.read({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": exempt})
    assert (rules.for_edge(EDGE) is None) is direct


@pytest.mark.parametrize(
    ("exempt", "direct"),
    [
        ("2606:4700:a0::/48", True),
        ("2606:4700:a0::1", True),
        ("[2606:4700:a0::1]:7844", True),
        ("2001:db8::/32", False),
    ],
)
def test_exempt_ones_of_ipv6(exempt: str, direct: bool) -> None:
    rules = ProxyRules.read({"HTTPS_PROXY": "http://proxy.example:3128", "no_proxy": exempt})
    assert (rules.for_edge(EDGE_6) is None) is direct
