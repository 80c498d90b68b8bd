"""Whoever is told what happens: one that fails costs nobody else anything."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import zmq
from structlog.testing import LogCapture

from actors.bus import events, sockets
from actors.supervisor.announcer import Announcer
from actors.supervisor.output import OutputWriter
from actors.supervisor.publisher import Publisher
from actors.supervisor.readiness import State
from actors.supervisor.service_manager import ServiceManager
from actors.supervisor.state_folder import StateFolder, TunnelState, read_state


async def test_listener_that_fails_ends_nothing_and_is_said_once(tmp_path: Path) -> None:
    """A terminal that cannot be drawn on: files, log and stdout are served all the same."""

    def fail(_: events.Event) -> None:
        raise ZeroDivisionError("broken by a test")

    with announcing(tmp_path, fail) as (announce, capture):
        for serves in (False, True):
            announce(events.Assigned(url="https://a.example", tunnel_id="id"))
            state = State.REGISTERED if serves else State.ASSIGNED
            announce(events.StateChanged(state=state, serves=serves, url="https://a.example", connections=1, slots=1))
        assert (tmp_path / "state" / "tunnel.url").read_text().strip() == "https://a.example"
        faults = [entry for entry in capture.entries if "internal fault" in entry["event"]]
        assert [entry["what"] for entry in faults] == [fail.__qualname__]


async def test_tunnel_of_one_s_own_has_files_and_no_url(tmp_path: Path) -> None:
    """What is told of it to a service manager, and in tunnel.json; there is no URL file."""
    with listening(tmp_path / "notify") as said, announcing(tmp_path, None, str(tmp_path / "notify")) as (announce, _):
        announce(events.ConfigurationApplied(version=-1, rules=0, hostnames=[]))
        announce(events.Assigned(url="", tunnel_id="id"))
        announce(state_of(State.ASSIGNED, rules=0))
        assert said() == ["STATUS=connecting to the edge (0 of 2 connections)"]
        announce(state_of(State.REGISTERED, connections=1, rules=0))
        assert said() == ["STATUS=registered, no rules yet (1 of 2 connections)", "READY=1"]
        announce(events.ConfigurationApplied(version=4, rules=3, hostnames=["a.example", "*.b.example"]))
        announce(state_of(State.REGISTERED, connections=2, rules=3, serves=True))
        assert said() == ["STATUS=registered, 3 rules in force (2 of 2 connections)"]
        told = read_state(tmp_path / "state")
        assert told is not None
        assert (told.url, told.name, told.serves) == ("", "tunnel id", True)
        assert (told.hostnames, told.rules, told.configuration_version) == (["a.example", "*.b.example"], 3, 4)
        assert not (tmp_path / "state" / "tunnel.url").exists()
        announce(state_of(State.DEGRADED, connections=1, rules=3, serves=True))
        assert said() == ["STATUS=registered, 3 rules in force (1 of 2 connections)"], "ready is said once"


def state_of(state: State, *, rules: int, connections: int = 0, serves: bool = False) -> events.StateChanged:
    return events.StateChanged(state=state, serves=serves, url="", connections=connections, slots=2, rules=rules)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[Callable[[], list[str]]]:
    """A service manager; yields what takes all that it was told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.setblocking(False)

        def said() -> list[str]:
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(manager.recv(1000).decode())
            return found

        yield said


@contextlib.contextmanager
def announcing(
    tmp_path: Path, terminal: Callable[[events.Event], None] | None, notify: str = "/\0"
) -> Iterator[tuple[Announcer, LogCapture]]:
    """An announcer with a state folder of its own."""
    capture = LogCapture()
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[capture], wrapper_class=structlog.BoundLogger)
    context = sockets.make_context()
    publishing = sockets.make_socket(context, zmq.SocketType.PUB)
    folder = StateFolder(tmp_path / "state")
    folder.acquire()
    about = TunnelState(
        url="",
        tunnel_id="",
        pid=1,
        started_at=0.0,
        version="0",
        origin="",
        events_endpoint="",
        metrics_endpoint="",
        state=State.STARTING,
        serves=False,
        connections=0,
        slots=1,
    )
    stdout = OutputWriter("stdout")
    publisher = Publisher(publishing, payload="msgpack", stdout=None)
    announce = Announcer(publisher, log, folder, ServiceManager({"NOTIFY_SOCKET": notify}, 1), stdout, terminal, about)
    try:
        yield announce, capture
    finally:
        folder.release()
        stdout.close()
        context.destroy(linger=0)
