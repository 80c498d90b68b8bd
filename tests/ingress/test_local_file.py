"""The Go client's YAML, as its users have it."""

import json

import pytest

from actors.ingress import defaults, local_file
from actors.ingress.local_file import LocalFileError, read
from actors.ingress.model import Configuration, Http
from tests.ingress.golden import GOLDEN

OF_A_GO_USER = """\
tunnel: 11111111-2222-4333-8444-555555555555
credentials-file: /root/.cloudflared/11111111-2222-4333-8444-555555555555.json
loglevel: debug
protocol: quic
metrics: 127.0.0.1:0
no-autoupdate: true
retries: 6
originRequest:
  connectTimeout: 7s
  noTLSVerify: true
ingress:
  - hostname: a.example
    path: ^/x
    service: http://127.0.0.1:8080
    originRequest:
      connectTimeout: 1m30s
      httpHostHeader: inner
      ipRules:
        - prefix: 10.0.0.0/8
          ports: [80, 443]
          allow: true
      access:
        required: true
        teamName: lab
        audTag:
          - q
  - hostname: "*.b.example"
    service: hello_world
  - hostname: t.example
    service: ssh://127.0.0.1:8080
  - hostname: u.example
    service: unix+tls:/run/app.sock
  - service: http_status:404
warp-routing:
  connectTimeout: 2s
  maxActiveFlows: 9
  tcpKeepAlive: 15s
"""


def test_golden_local_configuration() -> None:
    found = read(OF_A_GO_USER)
    assert found.tunnel == "11111111-2222-4333-8444-555555555555"
    assert found.credentials_file.endswith(".json")
    assert found.flags == {"loglevel": "debug", "protocol": "quic", "metrics": "127.0.0.1:0", "retries": "6"}
    assert found.ignored == ()
    assert found.lines == (12, 27, 29, 31, 33)
    told = defaults.local_configuration(found.configuration, {**found.flags, "no-autoupdate": "true"})
    assert told.decode() == GOLDEN["local_configuration_from_yaml"]


def test_local_configuration_without_rules_and_with_nothing_to_say() -> None:
    told = json.loads(defaults.local_configuration(Configuration(), {}))
    assert told == {
        "__configuration_flags": {},
        "ingress": [
            {
                "service": "http_status:503",
                "originRequest": {
                    "connectTimeout": 0,
                    "tlsTimeout": 0,
                    "tcpKeepAlive": 0,
                    "keepAliveTimeout": 0,
                    "keepAliveConnections": 0,
                },
            }
        ],
        "warp-routing": {},
    }
    told = json.loads(defaults.local_configuration(read("ingress: [{service: 'http://h:1'}]").configuration, {}))
    assert told["ingress"] == [{"service": "http://h:1", "originRequest": {}}]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "ingress:\n", "ingress: []\n", "\ufefftunnel:\n", "protocol:\n"]
)
def test_nothing_said(text: str) -> None:
    found = read(text)
    assert (found.configuration, found.tunnel, found.flags) == (Configuration(), "", {})


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("1m30s", 90.0), ("1h", 3600.0), ("1.5s", 1.5), ("500ms", 0.5), ("-1s", -1.0), ("0", 0.0), (".5m", 30.0)],
)
def test_durations_of_go(duration: str, seconds: float) -> None:
    assert read(f"originRequest: {{connectTimeout: {duration}}}").configuration.request.connect_timeout == seconds


def test_half_a_second_is_told_as_one() -> None:
    told = json.loads(defaults.local_configuration(read("warp-routing: {connectTimeout: 500ms}").configuration, {}))
    assert told["warp-routing"] == {"connectTimeout": 0.5}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [\n", 2, "while parsing"),
        ("tunnel: x\ningress:\n  - hostname: *.a.example\n", 3, "stands in quotes"),
        ("- a\n", 1, "no map"),
        ("ingress:\n  - hostname: a\n    service: http://h:1\n", 2, "rule #1: The last ingress rule must match"),
        ("ingress:\n  - service: http://h:1/x\n", 2, "different path"),
        ("ingress: x\n", 1, "ingress takes a list"),
        ("ingress:\n  - x\n", 2, "ingress takes a map"),
        ("ingress:\n  -\n", 2, "empty part"),
        ("originRequest:\n  noTLSVerify: 'x'\n", 2, "true or false"),
        ("originRequest:\n  connectTimeout: 30\n", 2, "write 30s"),
        ("originRequest:\n  connectTimeout: soon\n", 2, "as in 1m30s"),
        ("originRequest:\n  connectTimeout: 9999999999999h\n", 2, "longer"),
        ("originRequest:\n  proxyPort: -1\n", 2, "whole number"),
        ("originRequest:\n  caPool: [x]\n", 2, "single value"),
        ("tunnel: a\ntunnel: b\n", 2, "stands in line 1, too"),
        ("tunnel: a\n---\ntunnel: b\n", 2, "document"),
        ("<<: 5\n", 1, "<<"),
        ("protocol: {a: b}\n", 1, "a flag takes"),
        ("a: &a {b: *a}\noriginRequest: &x {<<: *x}\n", 2, "no end"),
    ],
)
def test_what_is_wrong_has_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(LocalFileError) as error:
        read(text)
    assert error.value.line == line
    assert str(error.value).startswith(f"line {line}: ")
    assert words in str(error.value)


def test_bombs_are_small() -> None:
    lines = [
        "a0: &a0 {hostname: x, path: y, service: 'http://h:1'}",
        "l0: &l0 [*a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0]",
    ]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(LocalFileError, match="takes a map"):
        read("\n".join([*lines, "ingress: *l11"]))
    merges = ["a0: &a0 {connectTimeout: 1s}"]
    merges += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    with pytest.raises(LocalFileError, match="too large"):
        read("\n".join([*merges, "originRequest: *a11"]))
    with pytest.raises(LocalFileError):
        read("a: " + "[" * 100_000)
    with pytest.raises(LocalFileError):
        read("x: " + "{a: " * 50_000)
    with pytest.raises(LocalFileError, match="characters"):
        read("#" * (local_file.MAX_CHARACTERS + 1))
    with pytest.raises(LocalFileError):
        read("tunnel: \x00")
    with pytest.raises(LocalFileError):
        read("tunnel: \ud800")


def test_tags_make_nothing() -> None:
    assert read("tunnel: !!python/object/apply:os.getcwd []\n") if False else True
    with pytest.raises(LocalFileError):
        read("tunnel: !!python/object/apply:os.getcwd []\n")
    assert read("tunnel: !!python/name:os.getcwd x\n").tunnel == "x"


def test_anchors_and_merges() -> None:
    found = read(
        "x: &usual {noTLSVerify: true, connectTimeout: 1s}\n"
        "ingress:\n"
        "  - service: https://h\n"
        "    originRequest: {<<: *usual, connectTimeout: 2s}\n"
    )
    request = found.configuration.rules[0].request
    assert (request.no_tls_verify, request.connect_timeout) == (True, 2.0)
    assert found.ignored == ("x (line 1)",)


def test_unknown_keys_are_listed() -> None:
    found = read(
        "logDirectory: /x\nedge: [a:1, b:2]\nhostnam: y\n"
        "ingress:\n  - hostnam: x\n    service: http://h:1\n    originRequest: {noTlsVerify: true}\n"
    )
    assert found.ignored == ("logDirectory (line 1)", "hostnam (line 3)", "hostnam (line 5)", "noTlsVerify (line 7)")
    assert found.flags == {"edge": "a:1,b:2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ingress: [{service: s, guard: {acess-token-file: f}}]", "did you mean access-token-file?"),
        ("ingress: [{service: s, guard: {what: f}}]", "there are auth-file, access-token-file"),
        ("ingress: [{service: s, gaurd: {auth-file: f}}]", "looks like `guard` of a rule"),
        ("ingress: [{service: s, access-token-file: f}]", "looks like access-token-file below `guard` of a rule"),
        ("ingress: [{service: s, originRequest: {Guard: {auth-file: f}}}]", "looks like `guard` of a rule"),
        ("guard: {auth-file: f}\ningress: [{service: s}]", "looks like `guard` of a rule; for all rules"),
        ("allow_ip: 10.0.0.0/8\ningress: [{service: s}]", "looks like allow-ip below `guard`"),
    ],
)
def test_guard_that_would_be_passed_over_is_an_error(text: str, words: str) -> None:
    with pytest.raises(LocalFileError, match="line 1: ") as refused:
        read(text)
    assert words in str(refused.value)


def test_numbers_as_text_and_words_as_flags() -> None:
    found = read("tunnel: 123\ningress: [{service: 'http://h:1', originRequest: {noTLSVerify: yes}}]")
    assert found.tunnel == "123"
    assert found.configuration.rules[0].request.no_tls_verify
    assert found.configuration.rules[0].service == Http(False, "h", 1, "http://h:1")
