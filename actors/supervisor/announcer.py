"""Tells everybody what happens: the event socket, the log, the state files, stdout, the service manager."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.bus import events
from actors.processes.log import Logger
from actors.supervisor.output import OutputWriter
from actors.supervisor.publisher import Publisher
from actors.supervisor.readiness import SERVING, State, in_words
from actors.supervisor.service_manager import ServiceManager
from actors.supervisor.state_folder import StateFolder, TunnelState

_SAYS: Final = {
    State.STARTING: "asking for a tunnel",
    State.ASSIGNED: "connecting to the edge",
    State.DOWN: "no connection to the edge",
    State.STOPPING: "stopping",
    State.UNREACHABLE: "the public URL does not answer",
}
"""A state in words, where the URL alone does not say it."""


class Announcer:
    """Passes each event on to all of them."""

    def __init__(
        self,
        publisher: Publisher,
        log: Logger,
        folder: StateFolder,
        manager: ServiceManager,
        stdout: OutputWriter | None,
        terminal: Callable[[events.Event], None] | None,
        about: TunnelState,
    ) -> None:
        """`stdout`: where the URL goes. `terminal`: where a person looks. `about`: `tunnel.json`, to begin with."""
        self._publisher = publisher
        self._log = log
        self._folder = folder
        self._manager = manager
        self._stdout = stdout
        self._terminal = terminal
        self._about = about
        self._given_url = ""
        self._is_ready = False
        self._protocols: dict[int, str] = {}
        """What each slot's connection speaks."""
        self._files_fail = self._closed = False
        self._faults: set[str] = set()
        """Listeners in which there was a fault: said once."""

    def __call__(self, event: events.Event) -> None:
        """Tell everybody, the event socket after the files: a subscriber that hears the event finds the files true.

        A listener that cannot be told neither harms the tunnel nor keeps the event from the others.
        """
        for tell in (self._write_log, self._note, self._publisher.publish, self._terminal):
            if tell is None:
                continue
            try:
                tell(event)
            except Exception as error:
                self._fault(tell, error)

    def _fault(self, tell: Callable[[events.Event], None], error: Exception) -> None:
        who = getattr(tell, "__qualname__", type(tell).__name__)
        if who not in self._faults:
            self._faults.add(who)
            with contextlib.suppress(Exception):
                self._log.error("internal fault in what tells of the tunnel, which goes on", what=who, exc_info=error)

    def _note(self, event: events.Event) -> None:
        match event:
            case events.Starting():
                self._know(
                    origin=event.origin,
                    events_endpoint=event.events_endpoint,
                    metrics_endpoint=event.metrics_endpoint,
                    local_url=event.local_url,
                    local_ca=event.local_ca,
                    inspector_url=event.inspector_url,
                )
            case events.Assigned() | events.UrlChanged():
                self._protocols.clear()
                self._know(url=event.url, tunnel_id=event.tunnel_id, location="", protocols=[])
                self._write_files(clear_url=True)
            case events.Registered():
                self._protocols[event.slot] = event.protocol
                self._know(
                    location=self._about.location or event.location, protocols=sorted(set(self._protocols.values()))
                )
                self._write_files()
            case events.ConnectionEnded() if event.was_registered:
                self._protocols.pop(event.slot, None)
                self._know(protocols=sorted(set(self._protocols.values())))
            case events.ConfigurationApplied():
                self._know(configuration_version=event.version, hostnames=event.hostnames, rules=event.rules)
                self._write_files()
            case events.OriginUnreachable() | events.OriginReachable():
                self._know(origin_reachable=isinstance(event, events.OriginReachable))
                self._write_files()
            case events.StateChanged():
                self._state_changed(event)

    def _know(self, **changes: object) -> None:
        self._about = msgspec.structs.replace(self._about, **changes)

    def _state_changed(self, event: events.StateChanged) -> None:
        self._know(
            state=event.state,
            serves=event.serves,
            connections=event.connections,
            slots=event.slots,
            rules=event.rules,
        )
        words = _SAYS.get(State(event.state), event.url or in_words(event.rules))
        self._manager.status(f"{words} ({event.connections} of {event.slots} connections)")
        if event.state == State.STOPPING:
            self._manager.stopping()
        self._write_files(clear_url=event.state == State.STOPPING)
        # Rules of a tunnel of one's own may come at any time: it has started when it waits for them.
        if (event.serves if event.url else event.state in SERVING) and not self._is_ready:
            self._is_ready = True
            self._manager.ready()
        if event.serves and event.url != self._given_url:
            self._given_url = event.url
            if self._stdout is not None:
                self._stdout.write(event.url + "\n")

    def _is_news(self, event: events.StateChanged) -> bool:
        """Whether no other line of the log says the same."""
        changed = (event.state, event.serves) != (self._about.state, self._about.serves)
        return changed and event.state not in (State.ASSIGNED, State.STOPPING)

    # --- the state files ---

    def _write_files(self, *, clear_url: bool = False) -> None:
        about, folder = self._about, self._folder
        if not about.tunnel_id or self._closed:
            return
        work = [lambda: folder.write(about)]
        if clear_url:
            work.append(folder.clear_url)
        elif about.serves and about.url:
            work.append(lambda: folder.write_url(about.url))
        self._try(*work)

    def clear_files(self) -> None:
        """Remove the files of a tunnel that has ended; a late event does not bring them back."""
        self._closed = True
        self._try(self._folder.clear_url, self._folder.clear)

    def _try(self, *work: Callable[[], None]) -> None:
        """Do each step, also after one that failed."""
        failed = False
        for step in work:
            try:
                step()
            except OSError as error:
                failed = True
                self._files_failed(error)
        self._files_fail = failed

    def _files_failed(self, error: OSError) -> None:
        if self._files_fail:
            return  # said once
        self._files_fail = True
        path = Path(str(error.filename or self._folder.path))
        message = (
            f"cannot write the state files: {error.strerror}; the tunnel is not harmed. "
            "If programs need them, name a folder on another file system with --state-dir"
        )
        self._log.warning(message, path=str(path))
        self._publisher.publish(events.StateFileFailed(path=str(path), message=message))

    # --- the log ---

    def _write_log(self, event: events.Event) -> None:
        log = self._log
        match event:
            case events.Assigned() if event.url:
                log.info("tunnel assigned", url=event.url)
            case events.Assigned():
                log.info("tunnel of your own", tunnel_id=event.tunnel_id)
            case events.ConfigurationApplied(rules=0):
                log.info("no rules: every request gets 503 until the service sends some", version=event.version)
            case events.ConfigurationApplied():
                log.info("rules in force", rules=event.rules, version=event.version, hostnames=event.hostnames[:5])
            case events.ConfigurationRefused():
                log.error("rules from the service were refused", version=event.version, error=event.error)
            case events.Connecting():
                log.info("connecting", slot=event.slot, edge=event.edge, protocol=event.protocol, attempt=event.attempt)
            case events.Registered():
                log.info(
                    "connection registered",
                    slot=event.slot,
                    location=event.location,
                    protocol=event.protocol,
                    connections=event.connections,
                )
            case events.ProtocolChanged():
                log.warning(
                    "another protocol", slot=event.slot, previous=event.previous, to=event.to, cause=event.cause
                )
            case events.ConnectionEnded():
                log.warning(
                    "connection ended",
                    slot=event.slot,
                    reason=event.reason,
                    message=event.message,
                    failures=event.failures,
                    retry_in=None if event.retry_in is None else round(event.retry_in, 1),
                )
            case events.ConnectionRefused():
                log.error("the edge refused a connection for good", slot=event.slot, cause=event.cause)
            case events.ActorRestarted():
                log.error("an actor ended and is started again", actor_name=event.actor, status=event.exit_status)
            case events.EngineChanged():
                log.error(
                    "the QUIC engine is changed for good", to=event.engine, previous=event.previous, cause=event.cause
                )
            case events.StateChanged() if self._is_news(event):
                log.info(
                    "state", state=event.state, serves=event.serves, connections=f"{event.connections}/{event.slots}"
                )
            case events.UrlChanged():
                log.warning("the URL changed", url=event.url, previous_url=event.previous_url, cause=event.cause)
            case events.Online():
                log.info("this machine has a way out", sources=event.sources)
            case events.Offline() | events.Unreachable() | events.NameNotVisible():
                log.warning(event.message)
