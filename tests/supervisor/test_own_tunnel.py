"""Where the token of a tunnel of one's own is looked for, who wins, and what is said of it."""

import io
import json
from pathlib import Path

import pytest

from actors.errors import UsageError
from actors.supervisor.cli import read_settings
from actors.supervisor.settings import OWN_CONNECTIONS, Settings
from actors.supervisor.token import MAX_BYTES
from tests.supervisor.test_token import GOLDEN, OF_IT, OTHER_ID, token

TOKEN: str = GOLDEN["token"]
BROKEN = "eyJicm9rZW4"
"""Whoever reads it fails: it shows that it was not read."""


def run(*flags: object, **variables: str) -> Settings:
    return read_settings(["run", *map(str, flags)], variables)


def tunnel_of(settings: Settings) -> object:
    assert settings.tunnel is not None
    return settings.tunnel.credentials


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "token", f"\n {TOKEN}\n")


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    return written(tmp_path / "credentials.json", json.dumps(GOLDEN["credentials_file"]))


def test_every_way_to_give_it(file: Path, credentials: Path, tmp_path: Path) -> None:
    written(tmp_path / "tunnel-token", TOKEN)
    ways = [
        run("--token-file", file),
        run(TUNNEL_TOKEN=TOKEN),
        run(TUNNEL_TOKEN_FILE=str(file)),
        run(TUNNEL_SUPERVISOR_TOKEN=f"{TOKEN}\r"),
        run(TUNNEL_SUPERVISOR_TOKEN_FILE=str(file)),
        run("--credentials-file", credentials),
        run(TUNNEL_CRED_FILE=str(credentials)),
        run(TUNNEL_SUPERVISOR_CREDENTIALS_FILE=str(credentials)),
        run("--config", written(tmp_path / "a.toml", f"token-file = '{file}'")),
        run(CREDENTIALS_DIRECTORY=str(tmp_path)),
        read_settings(["tunnel", "run", "--token-file", str(file)], {}),
        run(OF_IT.tunnel_id, "--token-file", file),
    ]
    assert [tunnel_of(settings) for settings in ways] == [OF_IT] * len(ways)
    assert [settings.warnings for settings in ways] == [()] * len(ways)


def test_token_comes_by_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(io.BytesIO(f"{TOKEN}\n".encode())) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert tunnel_of(run("--token-file", "-")) == OF_IT


def test_credentials_are_found_where_the_go_client_leaves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cloudflared").mkdir()
    written(tmp_path / ".cloudflared" / f"{OF_IT.tunnel_id}.json", json.dumps(GOLDEN["credentials_file"]), 0o400)
    assert tunnel_of(run(OF_IT.tunnel_id.upper())) == OF_IT
    for nothing in ((), (OTHER_ID,), ("by-name",)):
        with pytest.raises(UsageError, match="give --token-file FILE"):
            run(*nothing)


def test_token_in_argv_works_and_is_warned_about() -> None:
    settings = run("--token", TOKEN)
    assert tunnel_of(settings) == OF_IT
    (warning,) = settings.warnings
    assert "every user of this machine can read it" in warning
    assert TOKEN not in warning


def test_flags_win_over_variables_and_a_token_over_files(file: Path, credentials: Path) -> None:
    bad = {"TUNNEL_TOKEN": BROKEN, "TUNNEL_SUPERVISOR_TOKEN": BROKEN, "TUNNEL_CRED_FILE": "/nowhere"}
    assert tunnel_of(run("--token-file", file, **bad)) == OF_IT
    assert tunnel_of(run("--credentials-file", credentials, **bad)) == OF_IT
    assert tunnel_of(run(TUNNEL_SUPERVISOR_TOKEN=TOKEN, TUNNEL_TOKEN=BROKEN)) == OF_IT
    both = run(TUNNEL_TOKEN=TOKEN, TUNNEL_TOKEN_FILE="/nowhere", TUNNEL_CRED_FILE="/nowhere")
    assert tunnel_of(both) == OF_IT
    assert both.warnings == ("--token is used, and --token-file and --credentials-file is not looked at",)
    said = run("--credentials-file", "/nowhere", "--token-file", file).warnings
    assert said == ("--token-file is used, and --credentials-file is not looked at",)


def test_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    (warning,) = run("--token-file", written(tmp_path / "open", TOKEN, 0o644)).warnings
    assert warning.endswith(f"chmod 600 {tmp_path / 'open'}")


def test_region_is_the_token_s_or_the_flag_s(file: Path, tmp_path: Path) -> None:
    bound = written(tmp_path / "bound", GOLDEN["token_with_endpoint"])
    assert run("--token-file", file).region == ""
    assert run("--token-file", bound).region == "us"
    assert run("--token-file", bound, "--region", "US").region == "us"
    assert run("--token-file", file, "--region", "fed").region == "fed"
    with pytest.raises(UsageError, match="this tunnel's token is for region us"):
        run("--token-file", bound, "--region", "fed")
    with pytest.raises(UsageError, match="is no region"):
        run("--token-file", file, "--region", "../x")


def test_four_connections_unless_a_number_is_given(file: Path) -> None:
    settings = run("--token-file", file)
    assert (settings.connections, settings.limits.one_per_address) == (OWN_CONNECTIONS, True)
    settings = run("--token-file", file, "--connections", 3)
    assert (settings.connections, settings.limits.one_per_address) == (3, False)
    assert settings.limits.is_own
    quick = read_settings(["--port", "1"], {}).limits
    assert (quick.connections, quick.one_per_address, quick.is_own) == (2, False, False)


def test_rules_may_be_here_or_there(file: Path) -> None:
    assert not run("--token-file", file).has_rules
    assert run("--token-file", file, "--port", 8080).has_rules
    assert run("--token-file", file, "--hello-world").helpers == ("metrics", "hello_world")
    assert run("--token-file", file).helpers == ("metrics",)


def test_quick_tunnel_takes_no_notice_of_a_token_in_the_environment() -> None:
    assert read_settings(["--port", "1"], {"TUNNEL_TOKEN": BROKEN, "TUNNEL_SUPERVISOR_TOKEN": BROKEN}).tunnel is None
    for flag in ("--token", "--token-file", "--credentials-file", "--region"):
        with pytest.raises(UsageError, match=f"tunnel-supervisor run {flag}"):
            read_settings(["--port", "1", flag, "x"], {})


@pytest.mark.parametrize("flag", ["--renew", "--keep", "--probe", "--qr", "--service-url=http://x"])
def test_what_is_for_quick_tunnels_alone_is_refused(file: Path, flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag.partition('=')[0]} does not go with `run`"):
        run("--token-file", file, flag)


def test_errors_name_the_source_and_never_the_token(tmp_path: Path) -> None:
    long = written(tmp_path / "long", "x" * (MAX_BYTES + 1))
    cases: list[tuple[list[object], dict[str, str], str]] = [
        (["--token-file", tmp_path / "none"], {}, "No such file"),
        (["--token-file", tmp_path], {}, "Is a directory"),
        (["--token-file", "a\0b"], {}, "cannot be read"),
        (["--token-file", ""], {}, "empty"),
        (["--token-file", TOKEN], {}, "looks like a token"),
        (["--token-file", "-", "--lifeline"], {}, "exclude each other"),
        (["--credentials-file", TOKEN], {}, "looks like a token"),
        (["--token-file", long], {}, "more than"),
        ([], {"TUNNEL_TOKEN_FILE": TOKEN}, "looks like a token"),
        ([TOKEN], {}, "a token stands alone"),
        (["--token"], {}, "expected one argument"),
        (["--token", TOKEN[:60]], {}, "was it cut off"),
        (["--tokn", TOKEN], {}, "--token"),
        (["--config", written(tmp_path / "c.toml", f"token = '{TOKEN}'")], {}, "file of its own"),
        ([OTHER_ID, "--token", TOKEN], {}, OTHER_ID),
        (["--token", token(s="AAAA")], {}, "3 bytes"),
    ]
    for flags, variables, complaint in cases:
        with pytest.raises(UsageError) as raised:
            run(*flags, **variables)
        assert complaint.lower() in str(raised.value).lower()
        assert TOKEN[:20] not in str(raised.value)
    with pytest.raises(UsageError, match="a token stands alone"):
        read_settings([TOKEN], {})
