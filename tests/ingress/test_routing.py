"""Routes from rules: every field of `originRequest` arrives, or is refused by name; and what a push may reach."""

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from actors.bus import routes as bus
from actors.bus.routes import Origin
from actors.ingress import parse
from actors.ingress.allowed import EVERYTHING, USUAL, WORDS, Allowed, is_near
from actors.ingress.errors import IngressError
from actors.ingress.model import OriginRequest
from actors.ingress.routing import LONGEST, MOST_IDLE, routes

PAGE: Final = Origin(host="127.0.0.1", port=4)
PUSHED: Final = Allowed.parse(USUAL)


def route(service: str, allowed: Allowed = EVERYTHING, **request: Any) -> bus.Route:
    data = json.dumps({"ingress": [{"service": service, "originRequest": request}]}).encode()
    made = routes(parse.remote(data), version=5, hello_world=PAGE, allowed=allowed)
    assert made.version == 5
    return made.routes[0]


def origin(service: str = "https://h", **request: Any) -> Origin:
    made = route(service, **request).destination
    assert isinstance(made, Origin)
    return made


USUAL_ORIGIN: Final = Origin(
    host="h",
    port=443,
    scheme="https",
    connect_timeout=30.0,
    tls_timeout=10.0,
    keep_alive=90.0,
    keep_alive_connections=100,
    keep_alive_period=30.0,
)

FIELDS: Final[dict[str, tuple[Any, dict[str, Any] | str]]] = {
    "connectTimeout": (3, {"connect_timeout": 3.0}),
    "tlsTimeout": (3, {"tls_timeout": 3.0}),
    "tcpKeepAlive": (3, {"keep_alive_period": 3.0}),
    "noHappyEyeballs": (True, {"happy_eyeballs": False}),
    "keepAliveTimeout": (3, {"keep_alive": 3.0}),
    "keepAliveConnections": (3, {"keep_alive_connections": 3}),
    "httpHostHeader": ("inner:8", {"host_header": "inner:8", "forwarded_host": True}),
    "originServerName": ("name.example", {"server_name": "name.example"}),
    "matchSNItoHost": (True, {"match_sni_to_host": True}),
    "caPool": ("/etc/roots.pem", {"extra_ca_file": "/etc/roots.pem"}),
    "noTLSVerify": (True, {"verify": False}),
    "disableChunkedEncoding": (True, {"chunked": False}),
    "http2Origin": (True, "http2Origin"),
    # They have no effect on what has an address of HTTP.
    "proxyAddress": ("0.0.0.0", {}),
    "proxyPort": (8, {}),
    "proxyType": ("socks", {}),
    "ipRules": ([{"prefix": "10.0.0.0/8"}], {}),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_arrives_or_is_refused_by_name(name: str) -> None:
    value, changes = FIELDS[name]
    if isinstance(changes, str):
        with pytest.raises(IngressError, match=f"Rule #1: {changes}"):
            origin(**{name: value})
    else:
        assert origin(**{name: value}) == msgspec.structs.replace(USUAL_ORIGIN, **changes)


def test_no_field_is_forgotten() -> None:
    names = {field.encode_name for field in msgspec.structs.fields(OriginRequest)}
    assert names == {*FIELDS, "bastionMode", "access"}


def test_no_limit_and_limits_beyond_sense() -> None:
    made = origin(connectTimeout=0, tlsTimeout=-1, keepAliveTimeout=0, keepAliveConnections=-1, tcpKeepAlive=2**62)
    assert (made.connect_timeout, made.tls_timeout, made.keep_alive) == (0.0, 0.0, LONGEST)
    assert (made.keep_alive_connections, made.keep_alive_period) == (0, LONGEST)
    assert origin(keepAliveConnections=2**62).keep_alive_connections == MOST_IDLE


@pytest.mark.parametrize(
    ("service", "destination"),
    [
        ("ws://h:1", {"scheme": "http", "port": 1}),
        ("wss://h", {"scheme": "https", "port": 443}),
        ("unix:/a.sock", {"scheme": "unix", "path": "/a.sock", "host": "", "port": 0}),
        ("unix+tls:/a.sock", {"scheme": "unix+tls", "path": "/a.sock", "host": "", "port": 0}),
    ],
)
def test_services_of_http(service: str, destination: dict[str, Any]) -> None:
    assert origin(service) == msgspec.structs.replace(USUAL_ORIGIN, **destination)


def test_a_socket_has_no_other_host() -> None:
    assert origin("unix:/a.sock", httpHostHeader="inner").host_header is None


RULES: Final = [{"prefix": "10.0.0.0/8", "ports": [80], "allow": True}]


@pytest.mark.parametrize(
    ("service", "request_", "destination"),
    [
        ("hello_world", {}, PAGE),
        ("http_status:418", {}, bus.Status(418)),
        ("ssh://h", {"connectTimeout": 2}, bus.Tcp("h", 22, "ssh://h:22", 2.0)),
        ("ftp://h", {"tcpKeepAlive": 2}, bus.Tcp("h", 0, "ftp://h", keep_alive_period=2.0)),
        ("bastion", {"connectTimeout": 2}, bus.Bastion(2.0)),
        ("http://h", {"bastionMode": True}, bus.Bastion()),
        ("socks-proxy", {"ipRules": RULES}, bus.Socks((bus.IpRule("10.0.0.0/8", (80,), True),))),
        ("tcp://h:1", {"proxyType": "socks", "ipRules": RULES}, bus.Socks((bus.IpRule("10.0.0.0/8", (80,), True),))),
    ],
)
def test_other_services(service: str, request_: dict[str, Any], destination: bus.Destination) -> None:
    assert route(service, **request_).destination == destination


def test_routes_pass_over_the_bus() -> None:
    made = bus.Routes((route("https://h"), route("socks-proxy", ipRules=RULES), route("ssh://h")), 3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=bus.Routes) == made


@pytest.mark.parametrize(
    ("service", "request_", "text"),
    [
        ("http://h", {"httpHostHeader": "a\r\nX: y"}, "httpHostHeader"),
        ("https://h", {"originServerName": "a b"}, "originServerName"),
        ("https://h", {"originServerName": "a..b"}, "originServerName"),
        ("https://h", {"caPool": "a\0"}, "caPool holds a zero byte"),
        ("unix:a\0", {}, "zero byte"),
        ("http://a..b", {}, "no name that a resolver takes"),
        ("ssh://" + "a" * 64, {}, "no name that a resolver takes"),
        ("http://h", {"access": {"required": True, "teamName": "evil.example/#"}}, "no name of a team"),
    ],
)
def test_what_would_fail_each_request_is_refused(service: str, request_: dict[str, Any], text: str) -> None:
    with pytest.raises(IngressError, match="Rule #1: ") as error:
        route(service, **request_)
    assert text in str(error.value)


def test_hello_world_needs_its_page() -> None:
    configuration = parse.remote(b'{"ingress":[{"service":"hello_world"}]}')
    assert configuration.has_hello_world
    assert not parse.remote(b"{}").has_hello_world
    with pytest.raises(IngressError, match="hello_world is not there"):
        routes(configuration, version=1, hello_world=None, allowed=EVERYTHING)


def test_access_of_the_top_is_in_force() -> None:
    data = json.dumps(
        {
            "originRequest": {"access": {"required": True, "teamName": "lab", "audTag": ["q"]}},
            "ingress": [
                {"hostname": "a", "service": "http://h:1"},
                {"hostname": "b", "service": "http://h:1", "originRequest": {"access": {"required": False}}},
                {"hostname": "c", "service": "http://h:1", "originRequest": {"access": {"required": True}}},
                {
                    "service": "http_status:404",
                    "originRequest": {"access": {"required": True, "teamName": "gov", "environment": "fed"}},
                },
            ],
        }
    ).encode()
    made = routes(parse.remote(data), version=1, hello_world=None, allowed=EVERYTHING).routes
    assert [route.access for route in made] == [
        bus.Access("https://lab.cloudflareaccess.com", ("q",)),
        None,
        bus.Access("", ()),
        bus.Access("https://gov.fed.cloudflareaccess.com", ()),
    ]


# --- files ----------------------------------------------------------------------------------------------------------


def test_each_file_is_asked_for_once_and_only_where_it_is_used() -> None:
    asked: list[str] = []
    data = json.dumps(
        {
            "originRequest": {"caPool": "/roots"},
            "ingress": [
                *({"hostname": name, "service": "https://h"} for name in "ab"),
                {"service": "http_status:404", "originRequest": {"caPool": "/other"}},
            ],
        }
    ).encode()
    routes(parse.remote(data), version=1, hello_world=None, allowed=EVERYTHING, read_file=asked.append)
    assert asked == ["/roots"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    data = json.dumps({"ingress": [{"service": "https://h", "originRequest": {"caPool": str(tmp_path)}}]}).encode()
    with pytest.raises(IngressError, match=r"open .*: is a directory"):
        routes(
            parse.remote(data),
            version=1,
            hello_world=None,
            allowed=EVERYTHING,
            read_file=lambda path: Path(path).read_bytes(),
        )


# --- what a push may reach ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service",
    [
        *("http://localhost:1", "https://10.1.2.3", "http://[::1]:1", "http://192.168.0.1", "ws://172.16.0.1"),
        *(
            "http://web:80",
            "http://app.internal",
            "http://nas.local",
            "http_status:404",
            "hello_world",
            "http://0.0.0.0:1",
        ),
        *("http://[fd00::1]:1", "http://[::ffff:10.0.0.1]:1", "http://x.localhost"),
    ],
)
def test_usually_allowed(service: str) -> None:
    route(service, PUSHED)


PUBLIC_HOSTS: Final = (
    *("8.8.8.8", "app.example.com", "134744072", "0x08080808", "8.8", "8.8.8.8.", "100.64.0.1"),
    *("[2001:db8::1]", "[::ffff:8.8.8.8]", "[64:ff9b::a00:1]"),
)


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        *((f"http://{host}", "public") for host in PUBLIC_HOSTS),
        ("http://169.254.169.254", "public"),
        ("http://localhost.example.com", "public"),
        ("unix:/run/docker.sock", "unix"),
        ("unix+tls:/x", "unix"),
        ("ssh://127.0.0.1", "tcp"),
        ("x://127.0.0.1", "tcp"),
        ("bastion", "bastion"),
        ("socks-proxy", "socks"),
    ],
)
def test_usually_not_allowed(service: str, missing: str) -> None:
    with pytest.raises(IngressError) as error:
        route(service, PUSHED)
    assert str(error.value).startswith(f"Rule #1: {parse_text(service)} is not allowed here: ")
    assert str(error.value).endswith(f"--remote-services has no {missing!r}")
    route(service, Allowed.parse(f"{USUAL},{missing}"))


def parse_text(service: str) -> str:
    return "ssh://127.0.0.1:22" if service.startswith("ssh") else service


def test_bastion_mode_of_a_push_is_a_bastion() -> None:
    with pytest.raises(IngressError, match="Rule #1: bastion is not allowed here"):
        route("http://localhost:1", PUSHED, bastionMode=True)


def test_a_public_service_of_tcp_needs_both_words() -> None:
    with pytest.raises(IngressError, match="'public'"):
        route("ssh://example.com", Allowed.parse("tcp"))
    route("ssh://example.com", Allowed.parse("tcp, public"))


def test_words() -> None:
    assert Allowed.parse(",".join(WORDS)) == EVERYTHING
    assert Allowed.parse("") == Allowed(frozenset())
    with pytest.raises(ValueError, match=r"'htp' is none of http, https"):
        Allowed.parse("http,htp")


def test_near_names_end_with_a_dot_as_well() -> None:
    assert is_near("web.internal.")
    assert not is_near("internal.example")
