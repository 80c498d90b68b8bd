"""Flags, environment and file: who wins, and what is refused."""

from pathlib import Path

import pytest

from actors.errors import UsageError
from actors.supervisor.cli import read_settings
from actors.supervisor.settings import Settings


def read(path: Path, content: str, *flags: str, **variables: str) -> Settings:
    path.write_text(content)
    environment = {f"TUNNEL_SUPERVISOR_{name.upper()}": value for name, value in variables.items()}
    return read_settings(["--config", str(path), *flags], environment)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tunnel.toml"


def test_flag_wins_over_variable_and_that_over_the_file(path: Path) -> None:
    content = 'port = 81\nconnections = 1\ntimeout = 1.5\nrenew = true\nlog-level = "debug"\n'
    settings = read(path, content, "--connections", "3", connections="2", timeout="5")
    assert settings.origin is not None
    assert settings.origin.port == 81
    assert (settings.connections, settings.timeout) == (3, 5.0)
    assert (settings.renew, settings.log_level) == (True, "debug")


def test_values_as_toml_has_them(path: Path) -> None:
    content = 'port = 81\nedge = ["192.0.2.1", "192.0.2.2:99"]\nspare = false\nmax-reconnect-attempts = 0\n'
    settings = read(path, content)
    assert settings.edges == (("192.0.2.1", 7844), ("192.0.2.2", 99))
    assert (settings.spare, settings.max_reconnect_attempts) == (False, 0)


def test_what_to_show_is_one_decision(path: Path) -> None:
    for flags, variables in ((("--url", "http://a:5"), {}), ((), {"url": "http://a:5"})):
        origin = read(path, "port = 81\n", *flags, **variables).origin
        assert origin is not None
        assert origin.port == 5
    with pytest.raises(UsageError, match="exclude each other"):
        read(path, 'port = 81\nurl = "http://a:5"\n')
    with pytest.raises(UsageError, match="exclude each other"):
        read(path, "", port="81", url="http://a:5")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("prot = 81", "there is no setting 'prot'; did you mean port?"),
        ("[tunnel]\nport = 81", "there is no setting 'tunnel'"),
        ("config = 'x'", "there is no setting 'config'"),
        ("version = true", "there is no setting 'version'"),
        ("port = ", "is no TOML"),
        ("port = 81\nport = 82", "is no TOML"),
        ("port = 0", "port: '0' is no port"),
        ("port = 80.5", "port: '80.5' is no port"),
        ("port = true", "port: a bool makes no sense here"),
        ("port = [1]", "port: a list makes no sense here"),
        ("port = 1979-05-27", "port: a date makes no sense here"),
        ("renew = 5", "renew='5': give 1 or 0"),
        ("log-level = 'loud'", "give one of debug, info"),
        ("edge = ['']", "is no HOST:PORT"),
        ("port = " + "9" * 5000, "is no TOML"),
        ("port = 0x" + "f" * 5000, "thousands of digits"),
        ("port = " + "[" * 3000, "is no TOML"),
        ('url = "unix:/a\\u0000"', "there is a NUL in it"),
    ],
)
def test_nonsense_is_named(path: Path, content: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(path, content)
    assert complaint in str(raised.value)
    assert str(path) in str(raised.value)


def test_file_that_cannot_be_read(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is no text"):
        read_settings(["--config", str(path)], {})
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(["--config", str(path.parent / "none")], {})


def test_file_is_named_by_the_flag_only(path: Path) -> None:
    path.write_text("port = 81\n")
    with pytest.raises(UsageError, match="give --port"):
        read_settings([], {"TUNNEL_SUPERVISOR_CONFIG": str(path)})


def test_flags_that_say_no(path: Path) -> None:
    assert not read(path, "port = 81\nno-spare = true\n").spare
    assert not read(path, "port = 81\n", no_spare="1").spare
    assert read(path, "port = 81\nno-spare = true\n", "--spare").spare


def test_file_of_an_editor_of_another_system(path: Path) -> None:
    path.write_bytes('\ufeffport = 81\r\nedge = [" 192.0.2.1 "]\r\nlog-level = " debug\t"\r\n'.encode())
    settings = read_settings(["--config", str(path)], {})
    assert settings.origin is not None
    assert (settings.origin.port, settings.edges, settings.log_level) == (81, (("192.0.2.1", 7844),), "debug")


@pytest.mark.parametrize("value", ["81\r", " 81 ", "\ufeff81", "81\t\r\n"])
def test_variable_of_a_file_of_another_system(value: str) -> None:
    origin = read_settings([], {"TUNNEL_SUPERVISOR_PORT": value, "TUNNEL_SUPERVISOR_QR": " \r"}).origin
    assert origin is not None
    assert origin.port == 81


NONSENSE = {"TUNNEL_SUPERVISOR_PORT": "tcp://10.0.0.1:80", "TUNNEL_SUPERVISOR_TIMEOUT": "soon"}


@pytest.mark.parametrize("what", [["--port", "81"], ["--url", "http://localhost:81"]])
def test_what_a_flag_overrules_need_make_no_sense(path: Path, what: list[str]) -> None:
    settings = read_settings([*what, "--timeout", "5"], NONSENSE)
    assert settings.origin is not None
    assert (settings.origin.port, settings.timeout) == (81, 5.0)
    path.write_text('port = "eighty"\ntimeout = "soon"\n')
    assert read_settings([*what, "--timeout", "5", "--config", str(path)], {}).timeout == 5.0


def test_addresses_that_kubernetes_sets_are_not_meant_for_us(path: Path) -> None:
    """A service of the name `tunnel-supervisor` puts these into each pod of its namespace."""
    links = {"TUNNEL_SUPERVISOR_PORT": "tcp://10.0.0.1:80", "TUNNEL_SUPERVISOR_SERVICE_HOST": "10.0.0.1"}
    path.write_text("port = 81\n")
    origin = read_settings(["--config", str(path)], links).origin
    assert origin is not None
    assert origin.port == 81
