"""The golden data of named tunnels, and the inputs of its cases."""

import json
from pathlib import Path
from typing import Any, Final

from actors.bus.routes import Origin
from actors.ingress import parse, routing
from actors.ingress.errors import IngressError

GOLDEN: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "named-tunnels-golden.json").read_text()
)

_ORIGIN: Final = "http://127.0.0.1:1"


def _rules(*rules: dict[str, Any]) -> bytes:
    return json.dumps({"ingress": rules}).encode()


def _service(service: str) -> bytes:
    return _rules({"service": service})


def _request(**request: Any) -> bytes:
    return _rules({"service": _ORIGIN, "originRequest": request})


def _at_the_top(**request: Any) -> bytes:
    return json.dumps({"originRequest": request}).encode()


def _before_the_last(**rule: Any) -> bytes:
    return _rules({"service": _ORIGIN, **rule}, {"service": "http_status:404"})


PUSHES: Final = {
    "no rules": b'{"ingress":[]}',
    "empty object": b"{}",
    "empty bytes": b"",
    "null": b"null",
    "bad JSON": b'{"ingress":',
    "a list": b"[]",
    "no catch-all": _rules({"hostname": "a.example", "service": _ORIGIN}),
    "catch-all first": _before_the_last(),
    "star first": _before_the_last(hostname="*"),
    "star last": _rules({"hostname": "*", "service": _ORIGIN}),
    "wildcard inside": _before_the_last(hostname="a.*.example"),
    "wildcard without dot": _before_the_last(hostname="*a.example"),
    "port in the hostname": _before_the_last(hostname="a.example:80"),
    "bad regex": _before_the_last(path="("),
    "lookahead": _before_the_last(path="(?=a)"),
    "empty strings": _rules({"hostname": "", "path": "", "service": _ORIGIN}),
    "empty service": _service(""),
    "rule without service": _rules({}),
    "no scheme": _service("localhost:8080"),
    "path in the service": _service("http://127.0.0.1:1/path"),
    "slash in the service": _service("http://127.0.0.1:1/"),
    "query in the service": _service("http://127.0.0.1:1?a=b"),
    "ftp": _service("ftp://127.0.0.1"),
    "status 99": _service("http_status:99"),
    "status 1000": _service("http_status:1000"),
    "status abc": _service("http_status:abc"),
    "unix without path": _service("unix:"),
    "hello_world": _service("hello_world"),
    "hello-world": _service("hello-world"),
    "bastion": _service("bastion"),
    "socks-proxy": _service("socks-proxy"),
    "duration 10": _request(connectTimeout=10),
    "duration 1.5": _request(connectTimeout=1.5),
    "duration text": _request(connectTimeout="10s"),
    "duration null": _request(connectTimeout=None),
    "duration 0": _request(connectTimeout=0),
    "duration -1": _request(connectTimeout=-1),
    "int as text": _at_the_top(keepAliveConnections="1"),
    "negative uint": _at_the_top(proxyPort=-1),
    "bool as text": _at_the_top(noTLSVerify="true"),
    "caPool missing": _request(caPool="/nonexistent.pem"),
    "access without team": _request(access={"required": True, "audTag": ["a"]}),
    "access without anything": _request(access={"required": True}),
    "bad ip rule": _rules({"service": "socks-proxy", "originRequest": {"ipRules": [{"prefix": "10.0.0.0/33"}]}}),
    "bad port in an ip rule": _rules(
        {"service": "socks-proxy", "originRequest": {"ipRules": [{"prefix": "10.0.0.0/8", "ports": [0]}]}}
    ),
    "keys in capitals": b'{"INGRESS":[{"SERVICE":"http://127.0.0.1:1"}]}',
    "unknown keys": b'{"ingress":[{"service":"http://127.0.0.1:1","x":1}],"y":{"z":[]}}',
    "warp-routing": b'{"warp-routing":{"enabled":true,"connectTimeout":2,"maxActiveFlows":9}}',
    "nulls": b'{"ingress":[{"hostname":null,"path":null,"service":"http://127.0.0.1:1","originRequest":null}],'
    b'"originRequest":null,"warp-routing":null}',
    "duplicate keys": b'{"ingress":[],"ingress":[{"service":"http_status:99","service":"http://127.0.0.1:1"}]}',
    "version inside": b'{"version":7,"ingress":[]}',
}
"""The configurations of the golden cases of validation, by their names there."""


def refused(push: bytes) -> str:
    """What is answered to a push where everything is allowed; empty: it is taken."""
    try:
        routing.routes(
            parse.remote(push),
            version=1,
            hello_world=Origin(host="127.0.0.1", port=1),
            allowed=routing.EVERYTHING,
            read_file=lambda path: Path(path).read_bytes(),
        )
    except IngressError as error:
        return str(error)
    return ""
