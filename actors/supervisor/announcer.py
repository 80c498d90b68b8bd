"""Whoever is told what happens: the event socket, the log, the state files, stdout, the service manager."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.bus import events
from actors.processes.log import Logger
from actors.supervisor.output import OutputWriter
from actors.supervisor.publisher import Publisher
from actors.supervisor.readiness import State
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
        self._files_fail = self._closed = False
        self._faults: set[str] = set()
        """Who could not be told of something: said once."""

    def __call__(self, fact: events.Event) -> None:
        """Tell everybody: the files first, so that who hears the event finds them true.

        Who cannot be told has no say in the tunnel's life, nor in what the others hear.
        """
        for tell in (self._write_log, self._note, self._publisher.publish, self._terminal):
            if tell is None:
                continue
            try:
                tell(fact)
            except Exception as error:
                self._fault(tell, error)

    def _fault(self, tell: Callable[[events.Event], None], error: Exception) -> None:
        who = getattr(tell, "__qualname__", type(tell).__name__)
        if who not in self._faults:
            self._faults.add(who)
            with contextlib.suppress(Exception):
                self._log.error("internal fault in what tells of the tunnel, which goes on", what=who, exc_info=error)

    def _note(self, fact: events.Event) -> None:
        match fact:
            case events.Starting():
                self._know(
                    origin=fact.origin,
                    events_endpoint=fact.events_endpoint,
                    metrics_endpoint=fact.metrics_endpoint,
                    local_url=fact.local_url,
                    local_ca=fact.local_ca,
                )
            case events.Assigned() | events.UrlChanged():
                self._know(url=fact.url, tunnel_id=fact.tunnel_id, location="")
                self._write_files(clear_url=True)
            case events.Registered() if not self._about.location:
                self._know(location=fact.location)
                self._write_files()
            case events.OriginUnreachable() | events.OriginReachable():
                self._know(origin_reachable=isinstance(fact, events.OriginReachable))
                self._write_files()
            case events.StateChanged():
                self._state_changed(fact)

    def _know(self, **changes: object) -> None:
        self._about = msgspec.structs.replace(self._about, **changes)

    def _state_changed(self, fact: events.StateChanged) -> None:
        self._know(state=fact.state, serves=fact.serves, connections=fact.connections, slots=fact.slots)
        words = _SAYS.get(State(fact.state), fact.url)
        self._manager.status(f"{words} ({fact.connections} of {fact.slots} connections)")
        if fact.state == State.STOPPING:
            self._manager.stopping()
        self._write_files(clear_url=fact.state == State.STOPPING)
        if fact.serves and fact.url != self._given_url:
            if not self._given_url:
                self._manager.ready()
            self._given_url = fact.url
            if self._stdout is not None:
                self._stdout.write(fact.url + "\n")

    def _is_news(self, fact: events.StateChanged) -> bool:
        """Whether no other line of the log says the same."""
        changed = (fact.state, fact.serves) != (self._about.state, self._about.serves)
        return changed and fact.state not in (State.ASSIGNED, State.STOPPING)

    # --- the state files ---

    def _write_files(self, *, clear_url: bool = False) -> None:
        about, folder = self._about, self._folder
        if not about.url or self._closed:
            return
        work = [lambda: folder.write(about)]
        if clear_url:
            work.append(folder.clear_url)
        elif about.serves:
            work.append(lambda: folder.write_url(about.url))
        self._try(*work)

    def clear_files(self) -> None:
        """The tunnel is no more, and nothing that comes late brings its files back."""
        self._closed = True
        self._try(self._folder.clear_url, self._folder.clear)

    def _try(self, *work: Callable[[], None]) -> None:
        """Do what can be done: one file does not suffer from the other."""
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

    def _write_log(self, fact: events.Event) -> None:
        log = self._log
        match fact:
            case events.Assigned():
                log.info("tunnel assigned", url=fact.url)
            case events.Connecting():
                log.info("connecting", slot=fact.slot, edge=fact.edge, attempt=fact.attempt)
            case events.Registered():
                log.info("connection registered", slot=fact.slot, location=fact.location, connections=fact.connections)
            case events.ConnectionEnded():
                log.warning(
                    "connection ended",
                    slot=fact.slot,
                    reason=fact.reason,
                    message=fact.message,
                    failures=fact.failures,
                    retry_in=None if fact.retry_in is None else round(fact.retry_in, 1),
                )
            case events.ConnectionRefused():
                log.error("the edge refused a connection for good", slot=fact.slot, cause=fact.cause)
            case events.ActorRestarted():
                log.error("an actor ended and is started again", actor_name=fact.actor, status=fact.exit_status)
            case events.EngineChanged():
                log.error(
                    "the QUIC engine is changed for good", to=fact.engine, previous=fact.previous, cause=fact.cause
                )
            case events.StateChanged() if self._is_news(fact):
                log.info("state", state=fact.state, serves=fact.serves, connections=f"{fact.connections}/{fact.slots}")
            case events.UrlChanged():
                log.warning("the URL changed", url=fact.url, previous_url=fact.previous_url, cause=fact.cause)
            case events.Online():
                log.info("this machine has a way out", sources=fact.sources)
            case events.Offline() | events.Unreachable() | events.NameNotVisible():
                log.warning(fact.message)
