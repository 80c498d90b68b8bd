"""Configurations that are pushed: the golden texts, and how Go reads JSON."""

import json
from typing import Any

import pytest

from actors.ingress import defaults, parse
from actors.ingress.errors import IngressError
from actors.ingress.json_text import MAX_BYTES
from actors.ingress.model import Configuration, HelloWorld, Http, Service, Status, Tcp, Unix
from tests.ingress.golden import GOLDEN, PUSHES, refused


@pytest.mark.parametrize(("name", "valid", "text"), GOLDEN["validation"])
def test_golden_validation(name: str, valid: bool, text: str) -> None:
    assert refused(PUSHES[name]) == text
    assert valid == (not text)


def test_every_golden_case_has_its_input() -> None:
    assert PUSHES.keys() == {name for name, _, _ in GOLDEN["validation"]}


@pytest.mark.parametrize("push", GOLDEN["pushes"])
def test_golden_pushes(push: dict[str, Any]) -> None:
    if push["version"] <= 2 and not push["err"]:
        assert len(parse.remote(json.dumps(push["config"]).encode()).rules) == 3
    else:
        with pytest.raises(IngressError) as error:
            parse.remote(json.dumps(push["config"]).encode())
        assert str(error.value) == push["err"]


def one(service: str, **request: Any) -> Configuration:
    return parse.remote(json.dumps({"ingress": [{"service": service, "originRequest": request}]}).encode())


@pytest.mark.parametrize(
    ("text", "service", "printed"),
    [
        ("http://127.0.0.1:1", Http(False, "127.0.0.1", 1, "http://127.0.0.1:1"), None),
        ("https://h", Http(True, "h", 443, "https://h"), None),
        ("ws://h:", Http(False, "h", 80, "ws://h"), "ws://h"),
        ("wss://[::1]:8443", Http(True, "::1", 8443, "wss://[::1]:8443"), None),
        ("HTTP://H?x=1", Http(False, "H", 80, "http://H?x=1"), "http://H?x=1"),
        ("http://who:secret@h:8", Http(False, "h", 8, "http://h:8"), "http://h:8"),
        ("ssh://h", Tcp("ssh", "h", 22, "ssh://h:22"), "ssh://h:22"),
        ("tcp://[::1]", Tcp("tcp", "::1", 7864, "tcp://[::1]:7864"), "tcp://[::1]:7864"),
        ("rdp://h", Tcp("rdp", "h", 3389, "rdp://h:3389"), "rdp://h:3389"),
        ("smb://h:1", Tcp("smb", "h", 1, "smb://h:1"), None),
        ("ftp://h", Tcp("ftp", "h", 0, "ftp://h"), None),
        ("unix:/run/a.sock", Unix("/run/a.sock"), None),
        ("unix+tls:/run/a.sock", Unix("/run/a.sock", tls=True), None),
        ("http_status:404", Status(404), None),
        ("hello-world", HelloWorld(), "hello_world"),
    ],
)
def test_services(text: str, service: Service, printed: str | None) -> None:
    made = one(text).rules[0].service
    assert made == service
    assert str(made) == (printed or text)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("http://127.0.0.1:abc", 'parse "http://127.0.0.1:abc": invalid port ":abc" after host'),
        ("127.0.0.1:8080", 'parse "127.0.0.1:8080": first path segment in URL cannot contain colon'),
        ("http://a b", 'parse "http://a b": invalid character " " in host name'),
        ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
        ("http://h:1/%zz", 'parse "http://h:1/%zz": invalid URL escape "%zz"'),
        (":x", 'parse ":x": missing protocol scheme'),
        ("http://a\nb", 'parse "http://a\\nb": net/url: invalid control character in URL'),
        ("//h:1", "//h:1 is an invalid address, please make sure it has a scheme and a hostname"),
        ("http_status:+99", "invalid HTTP status code: 99"),
        ("http_status:", 'invalid HTTP status code: strconv.Atoi: parsing "": invalid syntax'),
    ],
)
def test_services_that_are_none(text: str, wrong: str) -> None:
    with pytest.raises(IngressError) as error:
        one(text)
    assert str(error.value) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"ingress":}', "invalid character '}' looking for beginning of value"),
        ('{"ingress":[1 2]}', "invalid character '2' after array element"),
        ('{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ('{"a":"\\x"}', "invalid character 'x' in string escape code"),
        ('{"a":"', "unexpected end of JSON input"),
        (
            '{"ingress":["x"]}',
            "json: cannot unmarshal string into Go struct field RemoteConfigJSON.ingress of type "
            "config.UnvalidatedIngressRule",
        ),
        (
            '{"ingress":[{"hostname":5}]}',
            "json: cannot unmarshal number into Go struct field UnvalidatedIngressRule.ingress.hostname of type string",
        ),
        (
            '{"originRequest":{"access":{"audTag":[5]}}}',
            "json: cannot unmarshal number into Go struct field AccessConfig.originRequest.access.audTag of type "
            "string",
        ),
        (
            '{"originRequest":{"keepAliveConnections":1e3}}',
            "json: cannot unmarshal number 1e3 into Go struct field OriginRequestConfig.originRequest."
            "keepAliveConnections of type int",
        ),
        # The first that is of the wrong type is told, but a duration that is none ends it at once.
        (
            '{"originRequest":{"noTLSVerify":"x","connectTimeout":"y"}}',
            'strconv.ParseInt: parsing "\\"y\\"": invalid syntax',
        ),
        (
            '{"originRequest":{"connectTimeout":99999999999999999999}}',
            'strconv.ParseInt: parsing "99999999999999999999": value out of range',
        ),
    ],
)
def test_json_that_is_none_in_words_of_go(text: str, wrong: str) -> None:
    with pytest.raises(IngressError) as error:
        parse.remote(text.encode())
    assert str(error.value) == wrong


def test_half_a_pair_and_bytes_that_are_no_text() -> None:
    rules = parse.remote(
        b'{"ingress":[{"path":"\\ud800","service":"unix:\xff"},{"service":"unix:\\ud83d\\ude00"}]}'
    ).rules
    assert [rule.service for rule in rules] == [Unix("\ufffd"), Unix("\U0001f600")]
    assert rules[0].path == "\ufffd"


def test_deep_and_large_are_refused() -> None:
    with pytest.raises(IngressError, match="max depth"):
        parse.remote(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert parse.remote(b'{"x":"' + b"[" * 1000 + b'"}') == Configuration()
    with pytest.raises(IngressError, match="bytes"):
        parse.remote(b" " * (MAX_BYTES + 1))
    with pytest.raises(IngressError, match="rules"):
        parse.remote(json.dumps({"ingress": [{"service": "x://y"}] * 6000}).encode())


def test_what_is_given_goes_before_what_is_inherited() -> None:
    made = parse.remote(
        json.dumps(
            {
                "originRequest": {
                    "connectTimeout": 7,
                    "noTLSVerify": True,
                    "httpHostHeader": "top",
                    "access": {"required": True, "teamName": "lab", "audTag": ["q"]},
                    "ipRules": [{"prefix": "10.0.0.0/8", "allow": True}],
                },
                "ingress": [
                    {
                        "hostname": "a",
                        "service": "http://h:1",
                        "originRequest": {"noTLSVerify": False, "httpHostHeader": ""},
                    },
                    {"service": "http://h:2", "originRequest": {"access": {"required": False}, "ipRules": []}},
                ],
            }
        ).encode()
    )
    first, second = (rule.request for rule in made.rules)
    assert (first.connect_timeout, first.no_tls_verify, first.host_header) == (7.0, False, "")
    assert first.access.required
    assert first.access.audiences == ("q",)
    assert first.tls_timeout == 10.0
    assert second.no_tls_verify
    assert not second.access.required
    assert second.ip_rules == ()


def test_keys_in_any_case_and_the_last_of_several() -> None:
    made = parse.remote(
        b'{"INGRESS":[{"SERVICE":"http://one:1"}],"ingre\xc5\xbf\xc5\xbf":[{"Service":"http://h:1","service":"http://h:2"}],'
        b'"originrequest":{"notlsverify":true,"noTLSVerify":null}}'
    )
    assert str(made.rules[0].service) == "http://h:2"
    assert not made.request.no_tls_verify


def test_hostnames() -> None:
    made = parse.remote(
        b'{"ingress":[{"hostname":"b","path":"x","service":"x://y"},{"hostname":"a","service":"x://y"},'
        b'{"hostname":"b","service":"x://y"},{"hostname":"*","path":"x","service":"x://y"},{"service":"x://y"}]}'
    )
    assert made.hostnames == ("b", "a")


def test_complete_configuration_names_every_default() -> None:
    told = defaults.complete(parse.remote(b"null"))
    assert told["ingress"][0]["service"] == "http_status:503"
    assert told["originRequest"]["keepAliveConnections"] == 100
    assert told["warp-routing"] == {"connectTimeout": 5, "maxActiveFlows": 0, "tcpKeepAlive": 30}
    assert parse.remote(json.dumps(told).encode()).request == Configuration().request


def test_bastion_mode_is_for_what_has_an_address() -> None:
    assert str(one("http://h:1", bastionMode=True).rules[0].service) == "bastion"
    assert str(one("http_status:404", bastionMode=True).rules[0].service) == "http_status:404"
    assert str(one("tcp://h:1", proxyType="socks").rules[0].service) == "socks-proxy"
