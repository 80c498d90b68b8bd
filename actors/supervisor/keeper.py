"""With `--keep`: keeps the tunnel in the state folder, and has the next start find it there."""

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from actors.bus import events
from actors.bus.messages import Credentials
from actors.errors import RefusedByEdge, TunnelError
from actors.processes.log import Logger
from actors.supervisor import kept
from actors.supervisor.kept import CLIENT_ID_BYTES, Kept, NotOfUse
from actors.supervisor.state_folder import KEPT_FILE_NAME, StateFolder, forget_kept

TOUCH_INTERVAL: Final = 60.0
"""Seconds between two notes that the tunnel serves: by so much `--keep-for` is not exact."""


class Keeper:
    """Keeps one supervisor's tunnel. A file system that will not have it costs the keeping, and not the tunnel."""

    def __init__(self, folder: StateFolder, service_url: str, keep_for: float, log: Logger) -> None:
        """`keep_for`: seconds after its last use for which a tunnel is kept.

        Raises:
            LocalSetupError: others can look into the folder.
        """
        self._folder = folder
        self._service_url = service_url.rstrip("/")
        self._keep_for = keep_for
        self._log = log
        self._said = False
        try:
            folder.check_private()
            self._kept = self._find()
        except OSError as error:
            self._kept = None
            self._cannot("keep", error)
        self.client_id = secrets.token_bytes(CLIENT_ID_BYTES) if self._kept is None else self._kept.client_id
        """What the edge knows this connector by."""

    def _find(self) -> Kept | None:
        try:
            if (found := self._folder.read_kept()) is None:
                return None
            content, touched = found
            return kept.read(
                content,
                service_url=self._service_url,
                unused=max(time.time() - touched, 0.0),  # a clock that was set back says nothing
                keep_for=self._keep_for,
            )
        except OSError as error:
            cause = f"{error.filename}: {error.strerror}"
        except NotOfUse as error:
            cause = str(error)
        self._log.warning("the tunnel that was kept is of no use; asking for another", cause=cause)
        return None

    @property
    def has_one(self) -> bool:
        """Whether there is a tunnel that need not be asked for."""
        return self._kept is not None

    def take(self) -> Credentials | None:
        """The tunnel that an earlier supervisor had, once: if it is asked for again, it was of no use."""
        found, self._kept = self._kept, None
        if found is None:
            return None
        age = kept.in_words(max(time.time() - found.assigned_at, 0.0))
        self._log.info("taking the tunnel that was kept", url=found.url, assigned=f"{age} ago")
        return found.credentials

    def keep(self, credentials: Credentials, announce: Callable[[events.Event], None]) -> None:
        """This is the tunnel now."""
        tunnel = Kept.of(credentials, service_url=self._service_url, client_id=self.client_id, assigned_at=time.time())
        try:
            self._folder.write_kept(kept.write(tunnel))
        except OSError as error:
            message = self._cannot("keep", error)
            announce(events.StateFileFailed(path=str(self._folder.path / KEPT_FILE_NAME), message=message))

    async def keep_touching(self, serves: Callable[[], bool]) -> NoReturn:
        """Note now and then that the tunnel serves."""
        while True:
            if serves():
                try:
                    self._folder.touch_kept()
                except OSError as error:
                    self._cannot("touch", error)
            await asyncio.sleep(TOUCH_INTERVAL)

    def ended(self, error: TunnelError | None) -> None:
        """The supervisor ends. A tunnel that the edge has dropped is of use to nobody."""
        if isinstance(error, RefusedByEdge):
            try:
                forget_kept(self._folder.path)
            except OSError as problem:
                self._cannot("remove", problem)

    def _cannot(self, what: str, error: OSError) -> str:
        """Say it once; return what was said."""
        path = Path(str(error.filename or self._folder.path))
        message = f"cannot {what} the tunnel for the next start: {error.strerror}; the tunnel itself is not harmed"
        if not self._said:
            self._said = True
            self._log.warning(message, path=str(path))
        return message
