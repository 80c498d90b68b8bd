"""What is asked for of the inspector: where it is, for whom, and what makes no sense."""

from pathlib import Path

import pytest

from actors.bus.addresses import HostPort
from actors.bus.messages import InspectorOrders, SpareOrders
from actors.errors import UsageError
from actors.supervisor.children import Name
from actors.supervisor.cli import read_settings
from actors.supervisor.settings import INSPECTOR, Inspecting, Settings
from actors.supervisor.vocabulary import SpawnWorker
from tests.supervisor.test_orders import EDGE, book


def asked(*flags: object, **variables: str) -> Settings:
    given = {f"TUNNEL_SUPERVISOR_{name.upper()}": value for name, value in variables.items()}
    return read_settings(["--port", "8080", *map(str, flags)], given)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\nsecond line\n")
    path.chmod(0o600)
    return path


def test_alone_it_is_where_programs_look() -> None:
    assert asked().inspecting is None
    assert "inspector" not in asked().helpers
    settings = asked("--inspect")
    assert settings.inspecting == Inspecting(http=INSPECTOR, may_move=True)
    assert settings.helpers == ("metrics", "inspector")
    assert asked(inspect="1").inspecting == Inspecting()
    assert asked(inspect="0").inspecting is None


def test_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for line, found in (
        ("inspect = true", Inspecting()),
        ("inspect = false", None),
        ('inspect = "127.0.0.1:9"', Inspecting(http=HostPort("127.0.0.1", 9), may_move=False)),
        ('inspect = true\ninspect-mask = ["X-A", "x-b"]', Inspecting(mask=("x-a", "x-b"))),
    ):
        file.write_text(line)
        assert asked("--config", file).inspecting == found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.2"])
def test_address_of_this_machine_needs_no_password(host: str) -> None:
    inspecting = asked("--inspect", f"{host}:5").inspecting
    assert inspecting is not None
    assert (inspecting.http.port, inspecting.may_move, inspecting.password) == (5, False, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "box.example", "localhost.example"])
def test_address_that_others_reach_does(host: str, password: Path) -> None:
    with pytest.raises(UsageError, match="whoever reaches this address"):
        asked("--inspect", f"{host}:5")
    settings = asked("--inspect", f"{host}:5", "--inspect-password-file", password)
    assert settings.inspecting is not None
    assert settings.inspecting.password == "correct horse"
    assert "correct horse" not in repr(settings)
    assert settings.inspecting.token not in repr(settings)


def test_password_files_that_are_none(tmp_path: Path, password: Path) -> None:
    def refused(why: str) -> None:
        with pytest.raises(UsageError, match=why) as error:
            asked("--inspect", "--inspect-password-file", password)
        assert "correct" not in str(error.value)

    password.chmod(0o644)
    refused("chmod 600")
    password.chmod(0o600)
    for content in (b"", b"\ncorrect horse", b"short", b"x" * 2000):
        password.write_bytes(content)
        refused("8 to 1024 bytes")
    password.write_bytes(b"\xff\xfe\xff")
    refused("is no text")
    password.unlink()
    refused("cannot be read")
    password.mkdir()
    refused("cannot be read")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--inspect-body", "1"], "needs --inspect"),
        (["--inspect-mask", "A"], "needs --inspect"),
        (["--inspect-password-file", "x"], "needs --inspect"),
        (["--inspect", "8080"], "--port 8080"),
        (["--inspect", "127.0.0.1"], "is no HOST:PORT"),
        (["--inspect", "--inspect-body", "1048577"], "more than 1048576"),
        (["--inspect", "--inspect-body", "-1"], "expected one argument|whole number"),
        (["--inspect", "--inspect-mask", "a b"], "is no name of a field"),
    ],
)
def test_what_makes_no_sense(flags: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        asked(*flags)


def test_ports_of_origins_are_left_to_them(tmp_path: Path) -> None:
    assert asked("--inspect").origin_ports == (8080,)
    rules = tmp_path / "rules.yml"
    rules.write_text("ingress:\n- hostname: a.example\n  service: http://localhost:4041\n- service: http_status:404\n")
    assert read_settings(["--config", str(rules), "--inspect"], {}).origin_ports == (4041,)


def test_orders() -> None:
    orders = book()
    command = SpawnWorker(0, 1, EDGE, 0, False, False)
    assert orders.worker(Name("worker", 0, 1), command).inspection is None
    orders.inspecting, orders.origin_ports = Inspecting(password="geheim geheim", body_limit=7), (4040,)
    first = orders.helper(Name("inspector", 0, 1))
    assert isinstance(first, InspectorOrders)
    assert not isinstance(first, SpareOrders)
    assert (first.http, first.may_move, first.avoid, first.body_limit) == (INSPECTOR, True, [4040], 7)
    assert "geheim" not in repr(first)
    assert first.token not in repr(first)
    orders.learn({"metrics": {"metrics": "x"}, "inspector": {"http": "127.0.0.1:4043"}})
    again = orders.helper(Name("inspector", 0, 2))
    assert isinstance(again, InspectorOrders)
    assert (again.http.port, again.may_move, again.token) == (4043, False, first.token), "it comes back where it was"
    told = orders.worker(Name("worker", 0, 2), command).inspection
    assert told is not None
    assert (told.endpoint, told.body_limit, told.http) == (first.endpoint, 7, again.http)
