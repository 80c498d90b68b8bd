"""The rules that the service pushes: judged here, whichever connection they come on, and kept for the next start.

Their version is the supervisor's (`actors.ingress.versions`). The last good ones are kept in the state folder: the next
start goes by them from its first second, and still takes any version that the service pushes.
"""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.bus.messages import DECODE_ERRORS
from actors.bus.routes import Origin, Routes
from actors.ingress import parse, routing, versions
from actors.ingress.allowed import USUAL, Allowed
from actors.ingress.errors import IngressError
from actors.ingress.model import Configuration
from actors.ingress.versions import NEVER, Answer, Applied
from actors.processes.log import Logger
from actors.supervisor.settings import Settings
from actors.url_file import write_atomically

KEPT_FILE: Final = "configuration.json"
KEPT_MODE: Final = 0o600

KEEP_INTERVAL: Final = 1.0
"""Seconds between two writes of it: so much of the newest can be lost, and the service pushes it again."""

MAX_CA_BYTES: Final = 4 * 1024 * 1024
"""Of a file of roots that a rule names: the system's own has a quarter of a MB."""

MAX_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Of the file that is kept: a configuration of 1 MiB, as JSON within JSON."""

_MAY_NAME_PAGE: Final = re.compile(rb"hello|\\u")
"""What stands in a configuration that needs the page of our own: its name, or letters that are spelled as numbers."""


class _Kept(msgspec.Struct, frozen=True):
    """What the file holds."""

    tunnel_id: str
    version: int
    configuration: str
    """The JSON, as it was pushed."""


class RemoteRules:
    """What was pushed last, and was good."""

    def __init__(self, settings: Settings, folder: Path, *, page: Callable[[], Awaitable[Origin]], log: Logger) -> None:
        """`page` starts the page of our own, if it does not run, and says where it is."""
        assert settings.tunnel is not None
        self._tunnel_id = settings.tunnel.credentials.tunnel_id
        self._allowed = settings.remote_services or Allowed.parse(USUAL)
        self._file = folder / KEPT_FILE
        self._page = page
        self._log = log
        self._applied = Applied()
        self._unwritten: _Kept | None = None
        self._written_at = -KEEP_INTERVAL
        self._turn = asyncio.Lock()
        """Pushes are judged one after the other."""

    @property
    def routes(self) -> Routes:
        """Where requests go by them."""
        return self._applied.routes

    @property
    def configuration(self) -> Configuration:
        """The rules."""
        return self._applied.configuration

    async def take_kept(self) -> None:
        """Go by what was kept, if it is of this tunnel and still good. It has no version: any push replaces it."""
        try:
            if (kept := _read(self._file)) is None or kept.tunnel_id != self._tunnel_id:
                return
            data = kept.configuration.encode()
            configuration = parse.remote(data)
            routes = routing.routes(
                configuration,
                version=NEVER,
                hello_world=await self._page_for(data),
                allowed=self._allowed,
                read_file=_check_file,
            )
        except (OSError, ValueError, *DECODE_ERRORS) as error:
            self._log.warning("the rules that were kept cannot be used", file=str(self._file), error=str(error))
        else:
            self._applied = Applied(NEVER, configuration, routes)
            self._log.info("rules as they were kept, until the service pushes others", version=kept.version)

    async def judge(self, version: int, data: bytes) -> tuple[Answer, bool]:
        """Judge a push; return what the service is to be told of it, and whether it is in force from now on."""
        async with self._turn:
            present = self._applied
            self._applied, answer = versions.apply(
                present,
                version,
                data,
                hello_world=await self._page_for(data) if version > present.version else None,
                allowed=self._allowed,
                read_file=_check_file,
            )
            if is_new := self._applied is not present:
                self._keep(version, data)
            return answer, is_new

    async def _page_for(self, data: bytes) -> Origin | None:
        if _MAY_NAME_PAGE.search(data) is None:
            return None
        try:
            return await self._page() if parse.remote(data).has_hello_world else None
        except IngressError:
            return None  # whoever reads it next says so

    def _keep(self, version: int, data: bytes) -> None:
        """Keep it, at once or a little later: a service that pushes again and again costs no file for each time."""
        if self._unwritten is None:
            loop = asyncio.get_running_loop()
            pause = max(0.0, self._written_at + KEEP_INTERVAL - loop.time())
            loop.call_later(pause, self._write)
        self._unwritten = _Kept(self._tunnel_id, version, data.decode(errors="replace"))

    def _write(self) -> None:
        self._written_at = asyncio.get_running_loop().time()
        kept, self._unwritten = self._unwritten, None
        try:
            write_atomically(self._file, msgspec.json.encode(kept), mode=KEPT_MODE)
        except OSError as error:
            self._log.warning("the rules cannot be kept for the next start", file=str(self._file), error=error.strerror)


def _read(path: Path) -> _Kept | None:
    """What is kept, if anything is; of a file that only its owner, who is us, can have written."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as kept:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise OSError("others may have written it")
        return msgspec.json.decode(kept.read(MAX_KEPT_BYTES), type=_Kept)


def _check_file(path: str) -> None:
    """That a file of roots is one, and can be read.

    Raises:
        OSError: it cannot.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would keep us
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "is no file")
        if about.st_size > MAX_CA_BYTES:
            raise OSError(None, f"has more than {MAX_CA_BYTES} bytes")
    finally:
        os.close(file)
