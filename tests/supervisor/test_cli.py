"""Flags, environment, mistakes."""

import sys
from pathlib import Path

import pytest

from actors.bus.addresses import HostPort
from actors.bus.guards import Guard, Rate
from actors.bus.messages import Transport
from actors.bus.routes import Origin
from actors.errors import ExitCode, UsageError
from actors.supervisor.cli import read_settings
from actors.supervisor.flags import ENVIRONMENT_PREFIX, make_parser
from actors.supervisor.guards import Guards
from actors.supervisor.settings import DEFAULT_KEEP_FOR, Inspecting, Settings

CA = str(Path(__file__).parents[2] / "actors" / "data" / "edge-roots.pem")


def settings(*arguments: str, **environment: str) -> Settings:
    return read_settings(
        arguments, {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in environment.items()}
    )


def test_defaults() -> None:
    made = settings("--port", "8080")
    assert made.origin == Origin(host="localhost", port=8080)
    assert (made.connections, made.timeout, made.grace_period) == (2, 30.0, 30.0)
    assert made.max_reconnect_attempts == 10
    assert made.service_url == "https://api.trycloudflare.com"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("1.5s", 1.5), ("90m", 5400.0), ("24h", 86400.0), ("366d", 31_622_400.0)]
)
def test_times_with_units(text: str, seconds: float) -> None:
    assert settings("--port", "1", "--keep", "--keep-for", text).keep_for == seconds


def test_kept_tunnel_is_looked_for_in_one_folder() -> None:
    """In one beside it there may be another's, and its address would lead to another origin after the next start."""
    assert settings("--port", "1").state_folder_is_usual
    made = settings("--port", "1", "--keep")
    assert made.state_folder == settings("--port", "1").state_folder
    assert not made.state_folder_is_usual
    assert made.keep_for == DEFAULT_KEEP_FOR
    assert settings("--port", "1", "--keep", "--lifeline", "--state-dir", "/tmp/x").keep_for == DEFAULT_KEEP_FOR


def test_every_flag_has_its_variable() -> None:
    variables = {
        "port": "81",
        "local_edge": "0",
        "local_edge_tls": "0",
        "as_cloudflare": "0",
        "connections": "3",
        "keep": "1",
        "keep_for": "90m",
        "timeout": "5.5",
        "grace_period": "1",
        "max_reconnect_attempts": "0",
        "service_url": "http://api.example",
        "edge": "192.0.2.1, edge.example:99",
        "edge_ip_version": "6",
        "edge_ca": CA,
        "state_dir": "/tmp/x",
        "events": "tcp://127.0.0.1:0",
        "metrics": "tcp://localhost:55",
        "metrics_http": "[::1]:9090",
        "events_format": "json",
        "json": "yes",
        "log_level": "debug",
        "hello_world": "0",
        "url": "",
        "remote_services": "",
        "host_header": "rewrite",
        "forwarded_host": "1",
        "refuse_underscore_twins": "1",
        "no_tls_verify": "0",
        "origin_ca": "",
        "origin_server_name": "",
        "origin_response_timeout": "3",
        "origin_keep_alive": "0",
        "max_streams": "7",
        "spare": "0",
        "renew": "1",
        "probe": "no",
        "user_agent": "somebody/1.0",
        "lifeline": "1",
        "owner": "12345",
        "curve_key": "",
        "curve_clients": "",
        "congestion_control": "cubic",
        "quic_engine": "aioquic",
        "protocol": "quic",
        "post_quantum": "1",
        "qr": "1",
        "log_requests": "1",
        "inspect": "yes",
        "inspect_body": "1000",
        "inspect_mask": "X-Api-Key, x-other",
        "inspect_password_file": "",
        "token": "",
        "token_file": "",
        "credentials_file": "",
        "region": "",
        "auth_file": "",
        "access_token_file": "",
        "verify_webhook": "",
        "allow_ip": "10.0.0.0/8, ::1",
        "deny_ip": "10.1.0.0/16",
        "allow_path": "/hooks",
        "deny_path": "/admin, /x",
        "rate_limit": "10/s,burst=20",
        "max_in_flight": "50",
        "banner": "1",
        "expires": "8h",
    }
    flags = {action.option_strings[0].removeprefix("--").replace("-", "_") for action in make_parser()._actions} - {
        "_h",
        "version",
        "config",
    }
    assert flags == set(variables)
    assert settings(**variables) == Settings(
        guards=Guards(
            Guard(
                allow_ips=("10.0.0.0/8", "::1/128"),
                deny_ips=("10.1.0.0/16",),
                allow_paths=("/hooks",),
                deny_paths=("/admin", "/x"),
                rate=Rate(0.1, 20),
                max_in_flight=50,
                banner=True,
            )
        ),
        expires=8 * 3600.0,
        origin=Origin(
            host="localhost",
            port=81,
            host_header="localhost:81",
            forwarded_host=True,
            refuse_twins=True,
            response_timeout=3.0,
            keep_alive=0.0,
        ),
        max_streams=7,
        connections=3,
        timeout=5.5,
        grace_period=1.0,
        max_reconnect_attempts=0,
        spare=False,
        renew=True,
        keep_for=5400.0,
        user_agent="somebody/1.0",
        lifeline=True,
        owner=12345,
        service_url="http://api.example",
        edges=(("192.0.2.1", 7844), ("edge.example", 99)),
        edge_ip_version="6",
        edge_ca=Path(CA),
        state_folder=Path("/tmp/x"),
        events_endpoint="tcp://127.0.0.1:*",
        metrics_endpoint="tcp://127.0.0.1:55",
        metrics_http=HostPort("::1", 9090),
        events_format="json",
        transport=Transport("aioquic", "cubic", post_quantum=True),
        protocol="quic",
        json=True,
        qr=True,
        log_requests=True,
        inspecting=Inspecting(body_limit=1000, mask=("x-api-key", "x-other")),
        log_level="debug",
        log_json=settings("--port", "1").log_json,
    )


def test_post_quantum_keys_are_promised_over_quic_only() -> None:
    assert settings("--port", "1").limits.protocol == "auto"
    assert settings("--port", "1", "--protocol", "http2").limits.protocol == "http2"
    assert settings("--port", "1", "--post-quantum").limits.protocol == "quic", "it never falls back"
    with pytest.raises(UsageError, match="needs QUIC"):
        settings("--port", "1", "--post-quantum", "--protocol", "http2")


def test_proxy_of_the_environment_is_for_the_world_s_edge_only() -> None:
    environment = {"HTTPS_PROXY": "http://user:hunter2@proxy.example:3128"}
    read = read_settings(["--port", "1"], environment)
    assert read.proxies.proxy is not None
    assert read.limits.has_proxy
    assert "hunter2" not in repr(read)
    assert read.proxies.proxy.authorization not in repr(read)
    assert read_settings(["--port", "1", "--local-edge"], environment).proxies.proxy is None


def test_flag_wins_over_variable() -> None:
    assert settings("--port", "1", port="2", connections="4").origin == Origin(host="localhost", port=1)
    assert settings("--edge", "a:1", edge="b:2", port="1").edges == (("a", 1),)
    assert settings("--hello-world", port="2").origin is None
    assert settings("--port", "1", hello_world="1", url="http://x").origin == Origin(host="localhost", port=1)


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        (["--url", "http://localhost:3000"], Origin(host="localhost", port=3000)),
        (["--url", "http://[::1]/"], Origin(host="::1", port=80)),
        (["--url", "unix:/run/app.sock"], Origin(scheme="unix", path="/run/app.sock")),
        (
            ["--url", "https://app.test", "--no-tls-verify", "--origin-server-name", "x", "--origin-ca", CA],
            Origin(scheme="https", host="app.test", port=443, verify=False, ca_file=CA, server_name="x"),
        ),
        (["--port", "80", "--host-header", "rewrite"], Origin(host="localhost", port=80, host_header="localhost")),
        (["--port", "8", "--host-header", "a.test:1"], Origin(host="localhost", port=8, host_header="a.test:1")),
    ],
)
def test_origins(arguments: list[str], origin: Origin) -> None:
    assert settings(*arguments).origin == origin


@pytest.mark.parametrize(
    ("text", "edge"),
    [
        ("192.0.2.1:5", ("192.0.2.1", 5)),
        ("edge.example", ("edge.example", 7844)),
        ("[2001:db8::1]:5", ("2001:db8::1", 5)),
        ("[2001:db8::1]", ("2001:db8::1", 7844)),
        ("2001:db8::1", ("2001:db8::1", 7844)),
    ],
)
def test_edges(text: str, edge: tuple[str, int]) -> None:
    assert settings("--port", "1", "--edge", text).edges == (edge,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --port"),
        (["--port", "0"], "no port"),
        (["--port", "65536"], "no port"),
        (["--port", "٣"], "no port"),
        (["--port", "1", "--hello-world"], "exclude"),
        (["--port", "1", "--connections", "5"], "1 to 4"),
        (["--port", "1", "--timeout", "0"], "more than 0"),
        (["--port", "1", "--timeout", "nan"], "seconds"),
        (["--port", "1", "--grace-period", "-1"], "seconds"),
        (["--port", "1", "--max-reconnect-attempts", "x"], "whole number"),
        (["--port", "1", "--service-url", "ftp://x"], "URL"),
        (["--url", "http://foo..bar:80"], "http://HOST:PORT"),
        (["--port", "1", "--metrics-http", "9090"], "127.0.0.1:20241"),
        (["--port", "1", "--user-agent", "a\nb"], "printable"),
        (["--port", "1", "--edge", "a:b:c:d:x"], "HOST:PORT"),
        (["--port", "1", "--edge-ca", "/nonexistent"], "no file"),
        (["--port", "1", "--edge-ca", __file__], "PEM"),
        (["--port", "1", "--edge-ca", "x" * 5000], "cannot read"),
        (["--port", "9" * 5000], "no port"),
        (["--port", "1", "--service-url", "http://[::1"], "URL"),
        (["--url", "http://[::1"], "http://HOST"),
        (["--port", "1", "--events", "tcp://[::1"], "loopback|port"),
        (["--port", "1", "--state-dir", ""], "empty"),
        (["--port", "1", "--events", "ipc:///tmp/x", "--metrics", "ipc:///tmp/x"], "the same"),
        (["--port", "1", "--edge-ip-version", "5"], "invalid choice"),
        (["--port", "1", "--local-edge", "--edge", "a"], "brings its own"),
        (["--port", "1", "--local-edge-tls"], "--local-edge-tls needs --local-edge"),
        (["--port", "1", "--as-cloudflare"], "--as-cloudflare needs --local-edge"),
        (["--port", "1", "--events", "udp://x"], "--events"),
        (["--port", "1", "--events", "tcp://0.0.0.0:1"], "loopback"),
        (["--port", "1", "--metrics", "ipc://relative"], "absolute"),
        (["--port", "1", "--metrics", "ipc:///nonexistent/x"], "does not exist"),
        (["--port", "1", "--metrics", "ipc:///" + "x" * 110], "107"),
        (["--port", "1", "--metrics", "tcp://127.0.0.1:x"], "give a port"),
        (["--prot", "1"], "unrecognized"),
        (["--port", "1", "--url", "http://x"], "exclude"),
        (["--url", "ftp://x"], "http://HOST"),
        (["--url", "http://x:0"], "http://HOST"),
        (["--url", "http://x/path"], "leave the path out"),
        (["--url", "unix:relative"], "absolute"),
        (["--port", "1", "--no-tls-verify"], "https"),
        (["--hello-world", "--host-header", "x"], "needs --port"),
        (["--port", "1", "--host-header", "a b"], "HOST"),
        (["--port", "1", "--forwarded-host"], "goes with --host-header"),
        (["--hello-world", "--refuse-underscore-twins"], "needs --port"),
        (["--port", "1", "--max-streams", "0"], "at least 1"),
        (["--por", "1"], "unrecognized"),
        (["--port", "1", "--keep-for", "1h"], "--keep-for needs --keep"),
        (["--port", "1", "--keep", "--local-edge"], "ends with the supervisor"),
        (["--port", "1", "--keep", "--lifeline"], "needs --state-dir"),
        (["--port", "1", "--keep", "--owner", "1"], "needs --state-dir"),
        *((["--port", "1", "--keep", "--keep-for", text], "no time") for text in ("0", "1w", "1e3", "367d", "٣h")),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        settings(*arguments)
    assert caught.value.exit_code is ExitCode.USAGE


def test_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiopquic", None)
    with pytest.raises(UsageError, match=r"pip install 'tunnel-supervisor\[fast\]'"):
        settings("--port", "1", "--quic-engine", "picoquic")
    assert settings("--port", "1").transport.engine == "aioquic"


def test_engine_is_the_fast_one_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert settings("--port", "1").transport.engine == "picoquic"
    assert settings("--port", "1", "--quic-engine", "aioquic").transport.engine == "aioquic"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"port": "x"}, "TUNNEL_SUPERVISOR_PORT"),
        ({"port": "tcp://10.0.0.1:80"}, "TUNNEL_SUPERVISOR_PORT"),
        ({"port": "tcp://10.0.0.1:80", "service_host": "10.0.0.1"}, "give --port"),
        ({"port": "1", "json": "maybe"}, "TUNNEL_SUPERVISOR_JSON"),
        ({"port": "1", "log_level": "loud"}, "TUNNEL_SUPERVISOR_LOG_LEVEL"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(**environment)


def test_help_names_the_variables_and_every_exit_code() -> None:
    text = make_parser().format_help()
    assert ENVIRONMENT_PREFIX in text
    for code in ExitCode:
        assert f"\n  {code.value:>3}  " in text


@pytest.mark.parametrize("name", [".example", "a..b", "app.example ", "", "a" * 300])
def test_server_name_that_tls_would_not_take(name: str) -> None:
    with pytest.raises(UsageError, match="name that a certificate can have"):
        settings("--url", "https://x", "--origin-server-name", name)


@pytest.mark.parametrize("name", ["app.example", "app.example.", "127.0.0.1", "::1", "müller.example", "my_host"])
def test_server_name_that_it_takes(name: str) -> None:
    assert settings("--url", "https://x", "--origin-server-name", name).origin is not None
