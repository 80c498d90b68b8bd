"""What people type out of habit."""

import pytest

from actors.bus.routes import Origin
from actors.errors import UsageError
from actors.supervisor import habits
from actors.supervisor.cli import read_settings
from actors.supervisor.flags import make_parser

PORT = Origin(host="localhost", port=8080)


@pytest.mark.parametrize(
    ("line", "origin"),
    [
        ("8080", PORT),
        (":8080", PORT),
        ("localhost:8080", PORT),
        ("127.0.0.1:8080", Origin(host="127.0.0.1", port=8080)),
        ("[::1]:8080", Origin(host="::1", port=8080)),
        ("http://localhost:8080", PORT),
        ("https://app.test", Origin(scheme="https", host="app.test", port=443)),
        ("unix:/run/app.sock", Origin(scheme="unix", path="/run/app.sock")),
        ("-p 8080", PORT),
        ("-p8080", PORT),
        ("-p=8080", PORT),
        ("http 8080", PORT),
        ("http localhost:8080", PORT),
        ("http -p 8080", PORT),
        ("tunnel --url http://localhost:8080", PORT),
        ("tunnel --url localhost:8080/", PORT),
        ("--url localhost:8080", PORT),
        ("--url :8080", PORT),
        ("--connections 3 8080", PORT),
        ("8080 --connections 3", PORT),
        ("http 8080 --host-header=rewrite", Origin(host="localhost", port=8080, host_header="localhost:8080")),
    ],
)
def test_habits_that_are_taken(line: str, origin: Origin) -> None:
    assert read_settings(line.split(), {}).origin == origin


def test_command_alone_says_nothing_of_what_to_show() -> None:
    assert read_settings(["tunnel", "--hello-world"], {}).origin is None
    assert read_settings(["http"], {"TUNNEL_SUPERVISOR_PORT": "8080"}).origin == PORT
    assert read_settings(["8080"], {"TUNNEL_SUPERVISOR_PORT": "9"}).origin == PORT, "a flag beats a variable"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("8080 --http-host-header x", "unrecognized flag --http-host-header; give --host-header"),
        ("8080 --loglevel debug", "give --log-level"),
        ("http 8080 --subdomain=mine", "gets its name from the service"),
        ("tunnel run --token abc", "is no token"),
        ("run one two", "one word too many"),
        ("run 8080 --token abc", "give --port 8080"),
        ("run localhost:8080", "give --url localhost:8080"),
        ("run --no-autoupdate", "leave it out"),
        ("start mine", "are made in Cloudflare's dashboard"),
        ("tunnel --name mine", "gets its name from the service"),
        ("tcp 22", "HTTP and WebSockets only"),
        ("8080 --conections 3", "did you mean --connections"),
        ("8080 --xyzzy", "see --help"),
        ("-v 8080", "--log-level debug"),
        ("8080 9090", "one word too many"),
        ("8080 --port 9090", "both say what to show"),
        ("http 8080 --hello-world", "both say what to show"),
        ("--port 1 --hello-world", "exclude"),
        ("-p", "as in -p 8080"),
        ("-p x", "tunnel-supervisor 8080"),
        ("myapp", "tunnel-supervisor 8080"),
        ("70000", "no port"),
        ("localhost:70000", "HOST:PORT"),
        ("8080 --metrics localhost:9090", "--metrics-http"),
    ],
)
def test_others_are_told_what_to_write(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(line.split(), {})


def test_advice_names_flags_that_there_are() -> None:
    flags = make_parser()._option_string_actions
    for theirs, ours in habits._OTHER_NAMES.items():
        assert ours.split()[0].rstrip(",") in flags, theirs
        assert theirs not in flags
    assert not set(habits._WITHOUT) & set(flags)
