"""What makes sense as a setting of the guard."""

import pytest

from actors.bus.guards import Login, Rate, Webhook
from actors.guard import values
from actors.guard.wanted import GuardWanted

HASH = "$2y$05$" + "a" * 53


@pytest.mark.parametrize(
    ("text", "network"),
    [("203.0.113.7", "203.0.113.7/32"), ("10.0.0.0/8", "10.0.0.0/8"), ("2001:DB8::/32", "2001:db8::/32")],
)
def test_networks(text: str, network: str) -> None:
    assert values.network(text) == network


def test_network_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"did you mean 10\.0\.0\.0/8\?"):
        values.network("10.1.2.3/8")
    for text in ("", "localhost", "10.0.0.0/33", "10.0.0"):
        with pytest.raises(ValueError, match="is no network"):
            values.network(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(0.1, 10)),
        ("100/m,burst=20", Rate(0.6, 20)),
        ("1/h, burst=1", Rate(3600.0, 1)),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert values.rate(text) == rate


@pytest.mark.parametrize("text", ["", "10", "0/s", "10/d", "10/s,burst=0", "-1/s", "1.5/s", "９/s", "10/s burst=2"])
def test_rate_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"10/s,burst=20"):
        values.rate(text)


@pytest.mark.parametrize("text", ["", "admin", "/a b", "/a?b", "/a#b", "/" + "a" * 600, "/a\n"])
def test_pattern_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        values.pattern(text)


def test_webhooks() -> None:
    assert values.webhook("GitHub=/run/secrets/a=b") == ("github", "/run/secrets/a=b")
    for text in ("", "github", "github=", "paypal=FILE", "=FILE"):
        with pytest.raises(ValueError, match="SENDER=FILE"):
            values.webhook(text)


def test_all_of_a_rule_s_guard_is_checked_by_name() -> None:
    values.check(GuardWanted(allow_ip=("10.0.0.0/8",), rate_limit="", max_in_flight="5", banner=True))
    for wanted, match in (
        (GuardWanted(allow_ip=("10.0.0.0/8", "x")), "allow-ip: 'x'"),
        (GuardWanted(deny_path=("x",)), "deny-path: 'x'"),
        (GuardWanted(rate_limit="x"), "rate-limit: 'x'"),
        (GuardWanted(max_in_flight="0"), "max-in-flight: '0'"),
        (GuardWanted(verify_webhook=("x",)), "verify-webhook: 'x'"),
        (GuardWanted(allow_ip=("10.0.0.0/8",) * 1001), "allow-ip: has 1001 entries"),
    ):
        with pytest.raises(ValueError, match=match):
            values.check(wanted)


def test_what_a_rule_says_goes_before_the_flags() -> None:
    flags = GuardWanted(auth_file="a", allow_ip=("10.0.0.0/8",), banner=True)
    rule = GuardWanted(auth_file="", rate_limit="1/s", banner=False)
    assert rule.over(flags) == GuardWanted(auth_file="", allow_ip=("10.0.0.0/8",), rate_limit="1/s", banner=False)


def test_file_of_logins() -> None:
    content = f"\ufeff# comment\n\nann:{HASH}\nbob:{HASH}\r\n".encode()
    assert values.logins(content) == (Login("ann", HASH), Login("bob", HASH))
    assert values.logins(b"ann:open: sesame\n") == (Login("ann", "open: sesame", is_hash=False),)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\n# nothing\n", "is empty"),
        (b"\xff\xfe", "is no text"),
        (b"ann", "line 1 is not NAME:PASSWORD"),
        (b"ann:", "line 1 is not NAME:PASSWORD"),
        (b":x", "line 1 is not NAME:PASSWORD"),
        (b"ann:$apr1$xyz$abc", "line 1 has no hash of bcrypt's; make it by: htpasswd -B"),
        (b"ann:{SHA}abc", "line 1 has no hash"),
        (b"ann:one\nbob:two", "line 1 has no hash"),
        (f"ann:{HASH}\nann:{HASH}".encode(), "line 2 has a name that is there already"),
        (b"a:b\n" * 1001, "more than 1000 lines"),
        (f"ann:{HASH.replace('$05$', '$16$')}".encode(), "line 1 has a hash of cost 16"),
    ],
)
def test_file_of_logins_that_is_none(content: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match) as error:
        values.logins(content)
    assert HASH not in str(error.value)


def test_file_of_tokens() -> None:
    assert values.access_tokens(b"one\n# old\ntwo\none\n") == ("one", "two")
    for content in (b"", b"a b", "naïve".encode()):
        with pytest.raises(ValueError, match=r"is empty|line 1 is no token"):
            values.access_tokens(content)


def test_file_of_a_webhook_s_secrets() -> None:
    assert values.secrets("github", b"old\nnew secret\n") == Webhook("github", ("old", "new secret"))
    assert values.secrets("whatsapp", b"app\nverify: agreed\n") == Webhook("whatsapp", ("app",), ("agreed",))
    assert values.secrets("github", b"verify: x") == Webhook("github", ("verify: x",))
    with pytest.raises(ValueError, match="has no secret"):
        values.secrets("whatsapp", b"verify: agreed\n")
    with pytest.raises(ValueError, match="line 1: Svix's secrets are base64"):
        values.secrets("svix", b"not base64!")
