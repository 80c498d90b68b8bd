"""From flags and rules to guards: who says what, and where the secrets stand."""

from pathlib import Path

import msgspec
import pytest

from actors.bus.guards import OPEN, Guard, Login, Rate
from actors.bus.routes import Access, Origin, Route, Routes
from actors.errors import UsageError
from actors.exchange.guard_gate import Guarding
from actors.guard.wanted import NOTHING, GuardWanted
from actors.supervisor import guards
from actors.supervisor.cli import read_settings
from actors.supervisor.guard_file import GuardFile
from actors.supervisor.guards import Guards

TOKEN = "a-long-token-of-chance"
HERE = Origin(host="localhost", port=8080)


def secret(folder: Path, name: str, content: str = TOKEN, mode: int = 0o600) -> Path:
    path = folder / name
    path.touch(mode)
    path.write_text(content)
    path.chmod(mode)
    return path


def read(*arguments: str | Path, variables: dict[str, str] | None = None) -> Guards:
    return read_settings(["8080", *map(str, arguments)], variables or {}).guards


def test_flags(tmp_path: Path) -> None:
    made = read(
        *("--auth-file", secret(tmp_path, "auth", "ann:sesame"), "--access-token-file", secret(tmp_path, "token")),
        *(f"--verify-webhook=github={secret(tmp_path, 'hook', 'a secret')}", "--allow-ip", "10.0.0.0/8"),
        *("--allow-ip", "203.0.113.7", "--deny-ip", "10.1.0.0/16", "--allow-path", "/hooks", "--deny-path", "/x"),
        *("--rate-limit", "10/s,burst=20", "--max-in-flight", "50", "--banner"),
    ).common
    assert made.logins == (Login("ann", "sesame", is_hash=False),)
    assert made.access_tokens == (TOKEN,)
    assert [(each.sender, each.secrets) for each in made.webhooks] == [("github", ("a secret",))]
    assert (made.allow_ips, made.deny_ips) == (("10.0.0.0/8", "203.0.113.7/32"), ("10.1.0.0/16",))
    assert (made.allow_paths, made.deny_paths) == (("/hooks",), ("/x",))
    assert (made.rate, made.max_in_flight, made.banner) == (Rate(0.1, 20), 50, True)
    shown = repr(read_settings(["8080", "--access-token-file", str(tmp_path / "token")], {}))
    assert TOKEN not in shown
    for hidden in ("sesame", TOKEN, "a secret"):
        assert hidden not in repr(made)


def test_nothing_asked_for_is_no_guard() -> None:
    assert read() == guards.NO_GUARDS
    routes = Routes((Route(HERE),))
    assert guards.NO_GUARDS.over(routes) is routes


def test_variables_and_credentials_of_systemd(tmp_path: Path) -> None:
    secret(tmp_path, "door")
    variables = {"MY_LOGIN": "ann:sesame", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    made = read("--auth-file", "env:MY_LOGIN", "--access-token-file", "credential:door", variables=variables)
    assert made.common.logins[0].name == "ann"
    assert made.common.access_tokens == (TOKEN,)
    assert made.variables == ("MY_LOGIN",), "to be forgotten"
    ours = {"TUNNEL_SUPERVISOR_ACCESS_TOKEN_FILE": str(tmp_path / "door"), "TUNNEL_SUPERVISOR_ALLOW_IP": "10.0.0.1,::1"}
    made = read(variables=ours)
    assert made.common.access_tokens == (TOKEN,)
    assert made.common.allow_ips == ("10.0.0.1/32", "::1/128")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--auth-file", "/nowhere/at/all"], "--auth-file /nowhere/at/all: cannot be read: No such file"),
        (["--auth-file", ""], "--auth-file: the name of the file is empty"),
        (["--auth-file", "/"], "--auth-file /: cannot be read: Is a directory"),
        (["--auth-file", "env:NOT_THERE"], "--auth-file env:NOT_THERE: there is no such variable"),
        (["--auth-file", "credential:x"], "--auth-file credential:x: systemd gave no credentials"),
        (["--verify-webhook", "github"], "SENDER=FILE"),
        (["--verify-webhook", "github=/nowhere"], "--verify-webhook github /nowhere: cannot be read"),
        (["--allow-ip", "10.1.2.3/8"], r"did you mean 10.0.0.0/8"),
        (["--allow-path", "admin"], "is no pattern of a path"),
        (["--rate-limit", "fast"], "is no rate, as 10/s"),
        (["--max-in-flight", "0"], "is no number of requests"),
        (["--expires", "soon"], "is no time"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        read(*arguments, variables={"X": "y"})


@pytest.mark.parametrize("content", ["", "ann:$apr1$abc$secretsecret", "ann"])
def test_secret_that_is_none_is_not_shown(tmp_path: Path, content: str) -> None:
    with pytest.raises(UsageError, match="--auth-file") as error:
        read("--auth-file", secret(tmp_path, "auth", content))
    assert "secretsecret" not in str(error.value)


def test_warnings(tmp_path: Path) -> None:
    arguments = ["8080", "--access-token-file", str(secret(tmp_path, "token", "short", 0o644))]
    warnings = read_settings(arguments, {}).warnings
    assert [word for word in ("every user of this machine can read", "can be guessed") for w in warnings if word in w]
    assert len(warnings) == 2
    assert not any("short" in warning.split() for warning in warnings)


# --- rules ---

RULES = """
ingress:
  - hostname: hooks.example.com
    service: http://localhost:1
    guard:
      verify-webhook: github={hook}
      allow-path: [/hooks, /other]
      rate-limit: ""
  - hostname: open.example.com
    service: http://localhost:2
    guard: {{access-token-file: "", rate-limit: ""}}
  - service: http://localhost:3
"""


def ruled(tmp_path: Path, text: str, *arguments: str) -> Guards:
    (tmp_path / "rules.yml").write_text(text)
    return read_settings(["--config", str(tmp_path / "rules.yml"), *arguments], {}).guards


def test_rule_replaces_what_it_names(tmp_path: Path) -> None:
    text = RULES.format(hook=secret(tmp_path, "hook", "a secret"))
    made = ruled(tmp_path, text, "--access-token-file", str(secret(tmp_path, "token")), "--rate-limit", "1/s")
    hooks, opened, last = made.each
    assert (hooks.access_tokens, hooks.rate, hooks.allow_paths) == ((TOKEN,), None, ("/hooks", "/other"))
    assert hooks.webhooks[0].secrets == ("a secret",)
    assert opened == OPEN
    assert (last, last.rate) == (made.common, Rate(1.0, 1))
    routes = made.over(Routes(tuple(Route(HERE, hostname=name) for name in ("a", "b", ""))))
    assert [route.guard for route in routes.routes] == [1, None, 0]
    assert routes.guards[1] == hooks
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(routes), type=Routes) == routes


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "ingress:\n  - service: http://localhost:1\n    guard: {rate-limit: fast}\n",
            "line 2: rule #1: guard: rate-limit",
        ),
        (
            "ingress:\n  - service: http://localhost:1\n    guard: {auth-file: [a]}\n",
            "line 3: auth-file takes a single",
        ),
        ("ingress:\n  - service: http://localhost:1\n    guard: x\n", "line 3: guard takes a map"),
        ("ingress:\n  - service: http://localhost:1\n    guard: {banner: perhaps}\n", "banner takes true or false"),
        (
            "ingress:\n  - service: http://localhost:1\n    guard: {auth-file: /nowhere}\n",
            "rule #1: guard: --auth-file /nowhere: cannot be read",
        ),
    ],
)
def test_rule_that_makes_no_sense(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        ruled(tmp_path, text)


def test_key_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("ingress:\n  - service: http://localhost:1\n    guard: {auth: x}\n")
    with pytest.raises(UsageError, match=r"line 3: guard: 'auth' .* did you mean auth-file\?"):
        read_settings(["--config", str(tmp_path / "rules.yml")], {})


def test_pushed_rules_have_the_flags_guard_and_no_other() -> None:
    made = Guards(Guard(access_tokens=(TOKEN,)))
    routes = made.over(Routes((Route(HERE, hostname="a"), Route(HERE)), version=7))
    assert [route.guard for route in routes.routes] == [0, 0]
    assert (routes.version, routes.guards) == (7, (made.common,))
    from actors.ingress import parse

    pushed = parse.remote(b'{"ingress":[{"service":"http://localhost:1","guard":{"access-token-file":""}}]}')
    assert pushed.rules[0].guard is None


def test_there_are_not_too_many() -> None:
    with pytest.raises(UsageError, match="256 rules have a guard of their own"):
        guards.read(NOTHING, [GuardWanted(max_in_flight="1")] * 256, {}, [])
    many = GuardWanted(allow_ip=tuple(f"2001:db8:ffff:ffff:ffff:ffff:ffff:{number:x}/128" for number in range(1000)))
    with pytest.raises(UsageError, match="name fewer networks"):
        guards.read(NOTHING, [many] * 40, {}, [])


def test_file_in_which_workers_count_together(tmp_path: Path) -> None:
    file = GuardFile(tmp_path)
    assert file.path.stat().st_mode & 0o777 == 0o600
    workers = [Guarding(str(file.path), 0, 1), Guarding(str(file.path), 1, 1)]
    for worker in workers:
        worker.shared.came(worker.row, 0)
    assert workers[0].shared.in_flight(0) == 2
    file.gone(1, 1)
    assert workers[0].shared.in_flight(0) == 1
    assert Guarding(str(file.path), 0, 1).shared.in_flight(0) == 0, "a worker begins with none"
    rate = Rate(10.0, 1)
    assert [worker.shared.take(0, b"v", rate, 100.0) for worker in workers] == [0.0, 10.0]


# --- what is said ---


def test_what_a_person_is_told() -> None:
    token, login = Guard(access_tokens=(TOKEN,)), Guard(logins=(Login("a", "b", is_hash=False),))
    assert Guards(token).in_words() == ["guarded: it takes an access token"]
    assert Guards(OPEN, (login, token)).in_words() == ["guarded: it takes a login or an access token"]
    assert Guards(OPEN, (None, token)).in_words() == ["guarded: it takes an access token, but for some rules"]
    for made in (guards.NO_GUARDS, Guards(Guard(rate=Rate(1.0, 1)))):
        first, second = made.in_words()
        assert "public" in first
        assert "--access-token-file" in second


def test_open_door() -> None:
    routes = Routes((Route(HERE),))
    assert guards.NO_GUARDS.is_open(routes)
    assert Guards(Guard(banner=True)).is_open(Guards(Guard(banner=True)).over(routes))
    for closed in (Guard(access_tokens=(TOKEN,)), Guard(allow_ips=("10.0.0.0/8",))):
        made = Guards(closed)
        assert not made.is_open(made.over(routes))
    assert not guards.NO_GUARDS.is_open(Routes((Route(HERE, access=Access("i", ("a",))),)))
