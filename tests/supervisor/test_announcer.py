"""Whoever is told what happens: one that fails costs nobody else anything."""

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
from actors.supervisor.state_folder import StateFolder, TunnelState


async def test_listener_that_fails_ends_nothing_and_is_said_once(tmp_path: Path) -> None:
    """A terminal that cannot be drawn on: files, log and stdout are served all the same."""

    def fail(_: events.Event) -> None:
        raise ZeroDivisionError("broken by a test")

    capture = LogCapture()
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[capture], wrapper_class=structlog.BoundLogger)
    context = sockets.make_context()
    socket = sockets.make_socket(context, zmq.SocketType.PUB)
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
    publisher = Publisher(socket, payload="msgpack", stdout=None)
    announce = Announcer(publisher, log, folder, ServiceManager({"NOTIFY_SOCKET": "/\0"}, 1), stdout, fail, about)
    try:
        for serves in (False, True):
            announce(events.Assigned(url="https://a.example", tunnel_id="id"))
            state = State.REGISTERED if serves else State.ASSIGNED
            announce(events.StateChanged(state=state, serves=serves, url="https://a.example", connections=1, slots=1))
        assert (tmp_path / "state" / "tunnel.url").read_text().strip() == "https://a.example"
        faults = [entry for entry in capture.entries if "internal fault" in entry["event"]]
        assert [entry["what"] for entry in faults] == [fail.__qualname__]
    finally:
        folder.release()
        stdout.close()
        context.destroy(linger=0)
