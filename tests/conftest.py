"""Nothing of a test outlives it: no process, no run folder."""

import contextlib
import datetime
import importlib.util
import os
import shutil
import signal
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest
import structlog

from tests.kit import foreign_edge

WITHOUT_FAST = Path(__file__).parent / "data" / "without_fast"
"""On the path of a Python, it hides uvloop from it."""

TAKEN_HERE = "picoquic" if importlib.util.find_spec("aiopquic") else "aioquic"
"""The engine that `--quic-engine auto` takes in this environment."""

OVER_BOTH_ENGINES = {
    "test_differential",
    "test_engines",
    "test_hostile",
    "test_life",
    "test_load",
    "test_main_job",
    "test_odd_requests",
    "test_origins",
    "test_requests",
    "test_smuggling",
    "test_survival_actors",
    "test_survival_edge",
    "test_survival_network",
    "test_websocket_conformance",
}
"""Modules of tests/integration whose outcome depends on what speaks QUIC: traffic, limits, and how connections end."""

# A machine that is busy makes an example slow, and says nothing about the code.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")


@pytest.fixture(scope="session", autouse=True)
def run_folders() -> Iterator[Path]:
    """A place of the tests' own for run folders: a tunnel that somebody has open on this machine is no leak of ours."""
    folder = Path(tempfile.mkdtemp(prefix="ts-"))  # short, as paths of sockets must be
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    shutil.rmtree(folder, ignore_errors=True)  # browsers leave files of theirs there


@pytest.fixture(scope="session", autouse=True)
def signals() -> None:
    """Under nohup, or in a script's background, children would inherit that SIGHUP, SIGINT or SIGQUIT is ignored, and
    tests of a hang-up or of Ctrl-C would wait for nothing."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def quic_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine of every tunnel that a test starts, and what comes with it: uvloop is of the same extra."""
    engine = str(request.config.getoption("--quic-engine"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNNEL_SUPERVISOR_QUIC_ENGINE", engine)
        if (protocol := str(request.config.getoption("--protocol"))) != "auto":
            environment.setenv("TUNNEL_SUPERVISOR_PROTOCOL", protocol)
        if engine == "aioquic":
            environment.setenv("PYTHONPATH", str(WITHOUT_FAST), prepend=os.pathsep)
        yield engine


@pytest.fixture(scope="session")
def foreign_program(request: pytest.FixtureRequest) -> Path:
    """The foreign edge, built into pytest's cache."""
    try:
        return foreign_edge.build(request.config.cache.mkdir("foreign_edge"))
    except foreign_edge.NoGo as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def edge(request: pytest.FixtureRequest) -> Iterator[None]:
    """What every tunnel of a test registers at: the local edge, or the foreign one."""
    with pytest.MonkeyPatch.context() as environment:
        if request.config.getoption("--edge") == "foreign":
            environment.setenv(foreign_edge.VARIABLE, str(request.getfixturevalue("foreign_program")))
        yield


@pytest.fixture(params=["local", "foreign"])
def each_edge(request: pytest.FixtureRequest, foreign_program: Path) -> Iterator[str]:
    """Both edges in turn, whatever the tests around were told."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "foreign":
            environment.setenv(foreign_edge.VARIABLE, str(foreign_program))
        else:
            environment.delenv(foreign_edge.VARIABLE, raising=False)
        yield str(request.param)


@pytest.fixture(autouse=True)
def local_edge_only(request: pytest.FixtureRequest) -> None:
    """Skip what is marked `local_edge_only(why)` when another edge was chosen."""
    marker = request.node.get_closest_marker("local_edge_only")
    if marker is not None and request.config.getoption("--edge") != "local":
        pytest.skip(f"the local edge only: {marker.args[0]}")


@pytest.fixture(autouse=True)
def quic_only(request: pytest.FixtureRequest) -> None:
    """Skip what is marked `quic_only(why)` when the tunnels speak HTTP/2."""
    marker = request.node.get_closest_marker("quic_only")
    if marker is not None and request.config.getoption("--protocol") == "http2":
        pytest.skip(f"QUIC only: {marker.args[0]}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is run over both engines; and put files first whose tests may take longest, then those with most slow
    ones: with several at a time, a long one that begins last would be waited for by all. (xdist is kept from an order
    of its own in `pyproject.toml`.)"""
    longest: dict[Path, float] = defaultdict(float)
    slow: Counter[Path] = Counter()
    for item in items:
        if item.path.parent.name == "integration" and item.path.stem in OVER_BOTH_ENGINES:
            item.add_marker("over_both_engines")
        if (timeout := item.get_closest_marker("timeout")) is not None:
            longest[item.path] = max(longest[item.path], timeout.args[0])
        slow[item.path] += item.get_closest_marker("slow") is not None
    items.sort(key=lambda item: (-longest[item.path], -slow[item.path]))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile what the tests need, before the first of them has its timeout running."""
    if session.config.getoption("--edge") == "foreign":
        with contextlib.suppress(foreign_edge.NoGo):  # `foreign_program` says it as the reason of a skip
            foreign_edge.build(session.config.cache.mkdir("foreign_edge"))


@pytest.fixture(autouse=True)
def logs_as_they_come() -> Iterator[None]:
    """How one test sets up the log is nothing to the next."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def nothing_is_left(run_folders: Path) -> Iterator[None]:
    """Every child process is gone when a test ends, and every run folder."""
    yield
    children = [child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]
    assert not children, f"left running: {[child.cmdline() for child in children]}"
    assert not list(run_folders.glob("tunnel-supervisor-*")), "left a run folder behind"


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `bin/torture` and `.ci/run` ask for."""
    parser.addoption(
        "--quic-engine", choices=("aioquic", "picoquic"), default=TAKEN_HERE, help="of the tunnels under test"
    )
    parser.addoption("--protocol", choices=("auto", "quic", "http2"), default="auto", help="what the tunnels speak")
    parser.addoption("--edge", choices=("local", "foreign"), default="local", help="what the tunnels register at")
    parser.addoption("--rounds", type=int, default=2, help="how often a fault is injected in the matrix's rows")
    parser.addoption("--soak", type=float, default=5.0, help="seconds of the soak")
    parser.addoption("--table", type=Path, help="where to write how each row of the matrix went")


_matrix: dict[str, list[tuple[str, str, float]]] = {}
"""Row → its tests, how they ended, and the seconds they took."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a test of the matrix went."""
    if report.when == "call" or report.outcome == "skipped" or report.failed:
        for name, value in report.user_properties:
            if name == "row":
                _matrix.setdefault(str(value), []).append((report.nodeid, report.outcome, report.duration))


@pytest.fixture(autouse=True)
def noted_row(request: pytest.FixtureRequest) -> None:
    """Tell `pytest_runtest_logreport` which row a test belongs to."""
    if (marker := request.node.get_closest_marker("row")) is not None:
        request.node.user_properties.append(("row", marker.args[0]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table that was asked for."""
    path = session.config.getoption("--table")
    if path is None or hasattr(session.config, "workerinput"):  # one of several processes: the first one writes
        return
    rounds, soak = session.config.getoption("--rounds"), session.config.getoption("--soak")
    lines = [
        f"{datetime.date.today()}, `bin/torture`: {rounds} rounds, {soak:.0f} s of soak, {os.cpu_count()} cores.",
        "",
        "| row | tests | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row, tests in sorted(_matrix.items()):
        count = Counter(outcome for _, outcome, _ in tests)
        told = (len(tests), count["passed"], count["failed"], count["skipped"], round(sum(test[2] for test in tests)))
        lines.append(f"| {row} | {' | '.join(map(str, told))} |")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a test of the matrix injects its fault."""
    return int(request.config.getoption("--rounds"))


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> float:
    """Seconds that the soak lasts."""
    return float(request.config.getoption("--soak"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder."""
    return tmp_path / "state"
