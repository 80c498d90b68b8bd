"""A file of rules beside flags and variables: a Go user's, unchanged, and what is wrong with others."""

import json
from pathlib import Path

import pytest

from actors.bus.routes import Origin, Status
from actors.errors import UsageError
from actors.supervisor import local_rules
from actors.supervisor.cli import read_settings
from actors.supervisor.settings import Settings
from tests.supervisor.test_token import GOLDEN, OF_IT

RULES = """
ingress:
  - hostname: app.example.com
    path: ^/api/
    service: http://127.0.0.1:8001
  - hostname: "*.example.com"
    service: hello_world
  - service: http_status:404
"""

GO = """# a Go user's
tunnel: {id}
credentials-file: {file}
protocol: http2
loglevel: info
metrics: 127.0.0.1:0
no-autoupdate: true
url: http://localhost:9999
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(RULES)
    return path


def read(path: Path, *flags: str, **variables: str) -> Settings:
    return read_settings([*flags, "--config", str(path)], variables)


def test_rules_go_for_a_quick_tunnel_too(file: Path) -> None:
    settings = read(file)
    assert settings.configuration is not None
    assert settings.has_rules
    assert (settings.tunnel, settings.origin, settings.warnings) == (None, None, ())
    assert settings.helpers == ("metrics", "hello_world")
    page = Origin(host="127.0.0.1", port=5)
    routes = local_rules.routes(settings.configuration, page)
    assert routes.version == -1
    assert routes.hostnames == ["app.example.com", "*.example.com"]
    assert [str(route.destination) for route in routes.routes] == ["127.0.0.1:8001", "127.0.0.1:5", "http_status:404"]


def test_go_users_file_runs_unchanged(tmp_path: Path) -> None:
    credentials = tmp_path / "c.json"
    credentials.write_text(json.dumps(GOLDEN["credentials_file"]))
    credentials.chmod(0o400)
    path = tmp_path / "config.yaml"
    path.write_text(GO.format(id=OF_IT.tunnel_id, file=credentials) + RULES)
    settings = read(path, "run")
    assert settings.tunnel is not None
    assert settings.tunnel.credentials == OF_IT
    assert settings.configuration is not None
    assert len(settings.configuration.rules) == 3
    assert (settings.protocol, str(settings.metrics_http)) == ("http2", "127.0.0.1:0")
    assert settings.warnings == (f"--config {path}: means nothing here, and is passed over: url",)
    assert read(path, "run", "--protocol", "quic").protocol == "quic", "a flag beats the file"
    (_, warning) = read(path).warnings
    assert "names a tunnel, which is for `tunnel-supervisor run`" in warning
    path.write_text(GO.format(id=OF_IT.tunnel_id, file=credentials))
    alone = read(path, "run")
    assert alone.configuration is None
    assert alone.origin == Origin(host="localhost", port=9999)


def test_old_credentials_are_named_by_the_file(tmp_path: Path) -> None:
    credentials = tmp_path / "c.json"
    credentials.write_text(json.dumps({**GOLDEN["credentials_file"], "TunnelID": None}))
    credentials.chmod(0o600)
    path = tmp_path / "config.yml"
    path.write_text(f"tunnel: {OF_IT.tunnel_id}\n")
    settings = read(path, "run", "--credentials-file", str(credentials))
    assert settings.tunnel is not None
    assert settings.tunnel.credentials == OF_IT


def test_yaml_is_known_by_its_name_or_by_its_looks(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(RULES)
    (tmp_path / "json").write_text('{"ingress": [{"service": "http_status:200"}]}')
    assert read(tmp_path / "rules").configuration is not None
    routes = local_rules.routes(read(tmp_path / "json").configuration, None)  # type: ignore[arg-type]
    assert [route.destination for route in routes.routes] == [Status(200)]
    (tmp_path / "toml").write_text('# x: y\n\nport = 80\nuser-agent = "a: b"\n')
    assert read(tmp_path / "toml").origin is not None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("ingress:\n  - service: 5 x\n", "line 2"),
        ("ingress:\n  - hostname: a.example\n    service: http://a\n", "must match all URLs"),
        ("ingress:\n  - service: https://a\n    originRequest: {caPool: /nowhere.pem}\n", "/nowhere.pem"),
        ("ingress:\n  - service: http://a\n    originRequest: {http2Origin: true}\n", "http2Origin"),
        ("protocol: carrier-pigeon\nurl: http://a:1\n", "config.yml: protocol='carrier-pigeon': give one of"),
        ("- a\n", "is no map"),
        ("ingress: [", "line"),
        ("tunnel: x\n", "give --port PORT"),
    ],
)
def test_what_is_wrong_is_named(file: Path, content: str, complaint: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageError) as raised:
        read(file)
    assert complaint in str(raised.value)


def test_rules_and_an_origin_are_two_answers(file: Path) -> None:
    with pytest.raises(UsageError, match="both say where requests go"):
        read(file, "--port", "80")
    with pytest.raises(UsageError, match="--host-header needs --port"):
        read(file, "--host-header", "a")
